"""Whether a study is what the cine prior believes in; where it is not, no seed is better than a false one."""

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import minimum_spanning_tree

from medwsss.config.cine import DoubtConfig
from medwsss.priors.cardiac.labels import LV, MYO, HeartSeeds
from medwsss.priors.cardiac.shapes import component, distance_to, opened

Stack = Float32[np.ndarray, "n h w"]


def study_doubts(diastole: Stack, systole: Stack, *, spacing_mm: float, limits: DoubtConfig) -> tuple[str, ...]:
    """Reasons against a study that its images show before a heart is looked for; none for most.

    Args:
        diastole: slices at end-diastole, grey levels in [0, 1].
        systole: the same slices at end-systole.
        spacing_mm: of square pixels.
        limits: what is still believed.
    """
    moved_mm = body_shift_mm(diastole, systole, spacing_mm=spacing_mm, limits=limits)
    order = max(slice_order(stack, spacing_mm=spacing_mm, limits=limits) for stack in (diastole, systole))
    reasons = {
        f"it has {len(diastole)} slices, too few for a stack along the heart": len(diastole) < limits.fewest_slices,
        f"the whole body moves by {moved_mm:.0f} mm between ED and ES": moved_mm > limits.largest_shift_mm,
        "its slices are in the wrong order (neighbours look less alike than others)": order < limits.least_order,
    }
    return _holding(reasons)


def heart_doubts(
    diastole: Stack, systole: Stack, seeds: HeartSeeds, *, spacing_mm: float, limits: DoubtConfig
) -> tuple[str, ...]:
    """Reasons against what was found in a study; none for most.

    Where nothing moves, or everything does, the heart was looked for in vain, and no other reason is given.

    Args:
        diastole: slices at end-diastole, grey levels in [0, 1].
        systole: the same slices at end-systole.
        seeds: of ``labels.heart_seeds``.
        spacing_mm: of square pixels.
        limits: what is still believed.
    """
    if seeds.largest_change < limits.least_change:
        return ("nothing moves between ED and ES (is it one frame twice?)",)
    loss, apart_mm = diastole - systole, _from_axis_mm(seeds, spacing_mm)
    if _spread(loss, apart_mm, limits) > limits.largest_spread:
        return ("grey levels change far from the heart as they do in it (does the body move?)",)
    seen = (seeds.diastole == LV).any(axis=(1, 2))
    steps_mm = np.hypot(*np.diff(seeds.axis.centres, axis=0).T) * spacing_mm
    cut = _cut_share(seeds.diastole, rim=max(1, round(limits.rim_mm / spacing_mm)))
    roundness = blood_roundness(diastole, seeds, spacing_mm=spacing_mm, limits=limits)
    reasons = {
        "its heart is cut by the border of the image": cut > limits.largest_cut,
        "the heart does not empty from ED to ES (are they swapped?)": _emptying(loss, apart_mm, limits)
        < limits.least_emptying,
        f"a left ventricle is seen in {int(seen.sum())} of {len(seen)} slices": float(seen.mean())
        < limits.least_slices,
        "its centre jumps between neighbouring slices": float(np.median(steps_mm)) > limits.largest_step_mm,
        "the blood of its left ventricle is long, not round (long-axis images?)": roundness < limits.least_roundness,
    }
    return _holding(reasons)


def body_shift_mm(early: Stack, late: Stack, *, spacing_mm: float, limits: DoubtConfig) -> float:
    """How far the second stack lies from the first within the slices, in mm: where their correlation is highest.

    Most of an image stands still in a breath-hold, so that a beating heart alone gives 0.
    """
    sigma = limits.detail_mm / spacing_mm
    first, second = (rfft2(stack - gaussian_filter(stack, (0.0, sigma, sigma))) for stack in (early, late))
    correlation = irfft2((first * second.conj()).sum(axis=0), early.shape[1:])
    place = np.unravel_index(int(correlation.argmax()), correlation.shape)
    steps = [min(int(step), length - int(step)) for step, length in zip(place, correlation.shape, strict=True)]
    return float(np.hypot(*steps)) * spacing_mm


def slice_order(stack: Stack, *, spacing_mm: float, limits: DoubtConfig) -> float:
    """1 if no slice looks more like another one than like its neighbours, less the more do.

    With one less the correlation of two slices as their distance: the length of the shortest tree that joins all
    slices over that of the stack as it lies.
    """
    sigma, step = limits.coarse_mm / spacing_mm, max(1, round(limits.coarse_mm / spacing_mm))
    planes = gaussian_filter(stack, (0.0, sigma, sigma))[:, ::step, ::step].reshape(len(stack), -1)
    planes -= planes.mean(axis=1, keepdims=True)
    planes /= np.maximum(np.linalg.norm(planes, axis=1, keepdims=True), 1e-6)
    distance = np.maximum(1.0 - planes @ planes.T, 1e-6)  # csgraph takes 0 for no edge
    lying = float(np.diag(distance, 1).sum())
    return float(minimum_spanning_tree(np.triu(distance, 1)).sum()) / lying if len(stack) > 1 else 1.0


def blood_roundness(diastole: Stack, seeds: HeartSeeds, *, spacing_mm: float, limits: DoubtConfig) -> float:
    """Shorter over longer axis of the blood that is connected with the cavity, median over slices: in [0, 1].

    Unlike the seeds it is followed beyond the ventricle: long-axis images show it from the apex into the atrium. nan
    where none is seen.
    """
    found = []
    for plane, labels, centre, radius_mm in zip(
        diastole, seeds.diastole, seeds.axis.centres, seeds.axis.radii_mm[0], strict=True
    ):
        cavity, wall = labels == LV, labels == MYO
        if not cavity.any() or not wall.any():
            continue
        distance_mm = distance_to(centre.astype(float), plane.shape) * spacing_mm
        level = (float(plane[cavity].mean()) + float(plane[wall].mean())) / 2
        bright = (plane > level) & (distance_mm <= radius_mm + limits.blood_mm)
        blood = component(opened(bright, limits.coarse_mm / spacing_mm), cavity.astype(float))
        if blood.any():
            spread = np.linalg.eigvalsh(np.cov(np.argwhere(blood).T))
            found.append(float(np.sqrt(max(spread[0], 0.0) / spread[1])))
    return float(np.median(found)) if found else float("nan")


def _holding(reasons: dict[str, bool]) -> tuple[str, ...]:
    return tuple(reason for reason, holds in reasons.items() if holds)


def _from_axis_mm(seeds: HeartSeeds, spacing_mm: float) -> Float[np.ndarray, "n h w"]:
    shape = seeds.diastole.shape[1:]
    return np.stack([distance_to(centre, shape) * spacing_mm for centre in seeds.axis.centres.astype(float)])


def _spread(loss: Stack, apart_mm: Float[np.ndarray, "n h w"], limits: DoubtConfig) -> float:
    """Mean change far from the heart over that within it, in the half of the slices that change most there.

    The other half may lie beyond base and apex. nan where the image ends before anything is far.
    """
    far = apart_mm > limits.surroundings_mm
    if not far.any():
        return float("nan")
    near = [float(np.abs(plane[apart <= limits.heart_mm]).mean()) for plane, apart in zip(loss, apart_mm, strict=True)]
    return float(np.abs(loss[far]).mean() / np.mean(sorted(near)[len(near) // 2 :]))


def _emptying(loss: Stack, apart_mm: Float[np.ndarray, "n h w"], limits: DoubtConfig) -> float:
    """Loss of brightness from ED to ES within the heart over all change there: in [-1, 1], 0 for none or for noise.

    Blood is bright and leaves: where it was at end-diastole is muscle at end-systole.
    """
    near = loss[apart_mm <= limits.heart_mm]
    return float(near.sum() / np.abs(near).sum())


def _cut_share(labels: UInt8[np.ndarray, "n h w"], *, rim: int) -> float:
    """Share of slices with a label within ``rim`` pixels of the border."""
    inner = np.zeros(labels.shape[1:], bool)
    inner[rim:-rim, rim:-rim] = True
    return float((labels[:, ~inner] > 0).any(axis=1).mean())
