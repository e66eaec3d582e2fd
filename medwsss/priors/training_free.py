"""Baselines that train nothing: a result that does not beat them has learned nothing useful.

All masks are built in the slice plane of ``volumes.slicing.slices_of``, so they do not depend on the axis order and
flips of a file, and come back on the grid of the volume they were made for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Integer
from scipy.ndimage import label, map_coordinates

from medwsss.config.cine import MotionConfig
from medwsss.priors.motion import smoothed_change
from medwsss.types import Mask3D
from medwsss.volumes.reassembly import reassemble
from medwsss.volumes.slicing import SliceStack, slices_of
from medwsss.volumes.volume import Volume

PRIOR_SPACING_MM = 2.0
PRIOR_REACH_MM = 150.0
"""Half the side of the square map of a shape prior."""


def centre_disc(like: Volume, *, radius_mm: float) -> Mask3D:
    """A disc of ``radius_mm`` around the image centre in every slice.

    Raises:
        ValueError: ``radius_mm`` is not positive.
    """
    if not radius_mm > 0.0:
        raise ValueError(f"radius_mm must be positive, not {radius_mm}")
    stack = slices_of(like)
    rows_mm, columns_mm = _from_centre_mm(stack)
    disc = rows_mm[:, None] ** 2 + columns_mm[None, :] ** 2 <= radius_mm**2
    return _on_grid(np.broadcast_to(disc, stack.array.shape), like)


def motion_mask(ed: Volume, es: Volume, *, sigma_mm: float = 9.0, fraction: float = 0.3) -> Mask3D:
    """Where end-diastole and end-systole differ: the heart moves, the rest hardly does.

    Each volume is scaled so that its 1st and 99th percentile are 0 and 1. The difference is what remains of |ED − ES|
    after the best shift by one pixel, so that misregistration costs nothing; it is smoothed by a Gaussian of
    ``sigma_mm`` in plane and one slice across, cut at ``fraction`` of its maximum, and the largest component in 3D is
    kept. Both frames share the mask; it is empty where the frames are equal.

    Raises:
        ValueError: the frames lie on different grids, ``sigma_mm`` is not positive or ``fraction`` is outside (0, 1).
    """
    if ed.grid != es.grid:
        raise ValueError(f"es must lie on the grid of ed, {ed.grid}, not {es.grid}")
    if not sigma_mm > 0.0 or not 0.0 < fraction < 1.0:
        raise ValueError(f"sigma_mm must be positive and fraction in (0, 1), not {sigma_mm} and {fraction}")
    stack = slices_of(ed)
    first, second = _scaled(stack.array), _scaled(slices_of(es).array)
    motion = smoothed_change(
        (first, second),
        spacing_mm=stack.spacing_mm,
        config=MotionConfig(shift_mm=min(stack.spacing_mm), sigma_mm=sigma_mm),
    )
    return _on_grid(_largest_component(motion > fraction * motion.max()), ed)


@dataclass(frozen=True, eq=False)
class ShapePrior:
    """How often each place belongs to the heart in other patients, in mm from the image centre.

    It is built from masks, so it is no result of weak supervision: it stands beside the results for orientation only.
    """

    probability: Float32[np.ndarray, "n n"]
    """Share of slices, in [0, 1], at ``PRIOR_SPACING_MM``; rows run to posterior, columns to the patient's left."""


def mean_shape(masks: Sequence[tuple[Mask3D, Volume]]) -> ShapePrior:
    """Average of masks of OTHER patients, each with the volume it lies on; slices without the structure do not count.

    This uses masks: for orientation only (see ``ShapePrior``).

    Raises:
        ValueError: ``masks`` is empty, a mask does not fit its volume, or no mask holds a voxel.
    """
    if not masks:
        raise ValueError("masks must hold at least one mask")
    side_mm = np.arange(-PRIOR_REACH_MM, PRIOR_REACH_MM + 1e-6, PRIOR_SPACING_MM)
    total, count = np.zeros((len(side_mm), len(side_mm)), np.float64), 0
    for mask, volume in masks:
        stack = slices_of(volume.with_array(mask))
        rows, columns = (
            side_mm / spacing + (length - 1) / 2.0
            for spacing, length in zip(stack.spacing_mm, stack.array.shape[1:], strict=True)
        )
        where = np.stack(np.meshgrid(rows, columns, indexing="ij"))
        for plane in stack:
            if plane.any():
                total += map_coordinates(plane.astype(np.float32), where, order=1)
                count += 1
    if not count:
        raise ValueError("masks must hold at least one voxel of the structure")
    return ShapePrior((total / count).astype(np.float32))


def shape_mask(prior: ShapePrior, like: Volume, *, fraction: float = 0.5) -> Mask3D:
    """The prior on every slice of ``like``, cut at ``fraction`` of its maximum; nothing is learned from the case.

    Raises:
        ValueError: ``fraction`` is outside (0, 1).
    """
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fraction must be in (0, 1), not {fraction}")
    stack = slices_of(like)
    middle = (len(prior.probability) - 1) / 2.0
    rows, columns = (offset / PRIOR_SPACING_MM + middle for offset in _from_centre_mm(stack))
    probability = map_coordinates(prior.probability, np.stack(np.meshgrid(rows, columns, indexing="ij")), order=1)
    shape = probability > fraction * float(prior.probability.max())
    return _on_grid(np.broadcast_to(shape, stack.array.shape), like)


def gated(mask: Mask3D, present: Bool[np.ndarray, " n"], like: Volume) -> Mask3D:
    """The mask without the slices whose tag is absent; ``present`` follows the slice order of ``slices_of``.

    Raises:
        ValueError: ``present`` does not have one entry a slice, or ``mask`` lies on another grid than ``like``.
    """
    stack = slices_of(like.with_array(mask))
    if present.shape != (len(stack),):
        raise ValueError(f"present must have one entry for each of {len(stack)} slices, not shape {present.shape}")
    return _on_grid(stack.array & present[:, None, None], like)


TRAINING_FREE: Mapping[str, Callable[[Volume, Volume], Mask3D]] = {
    "disc 30 mm": lambda ed, es: centre_disc(ed, radius_mm=30.0),
    "disc 38 mm": lambda ed, es: centre_disc(ed, radius_mm=38.0),
    "motion": lambda ed, es: motion_mask(ed, es),
}
"""Rows of a report: from end-diastole and end-systole of a patient to one mask for both. The mean shape stands apart,
because it needs masks of other patients."""


def _from_centre_mm(stack: SliceStack) -> tuple[Float[np.ndarray, " h"], Float[np.ndarray, " w"]]:
    height, width = stack.array.shape[1:]
    rows_mm = (np.arange(height) - (height - 1) / 2.0) * stack.spacing_mm[0]
    return rows_mm, (np.arange(width) - (width - 1) / 2.0) * stack.spacing_mm[1]


def _on_grid(stack: Bool[np.ndarray, "n h w"], like: Volume) -> Mask3D:
    mask: Mask3D = reassemble(np.asarray(stack), like=like).array
    return mask


def _scaled(stack: Float[np.ndarray, "n h w"] | Integer[np.ndarray, "n h w"]) -> Float32[np.ndarray, "n h w"]:
    low, high = np.percentile(stack, (1.0, 99.0))
    scaled: Float32[np.ndarray, "n h w"] = np.clip((stack - low) / max(high - low, 1e-6), 0.0, 1.0).astype(np.float32)
    return scaled


def _largest_component(mask: Bool[np.ndarray, "n h w"]) -> Bool[np.ndarray, "n h w"]:
    components, count = label(mask)
    if not count:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    largest: Bool[np.ndarray, "n h w"] = components == sizes.argmax()
    return largest
