"""How far two surfaces lie apart, in millimetres."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import ndimage
from scipy.spatial import KDTree

from medwsss.metrics.dice import check_masks

SPARSE = 0.05
"""Share of the voxels around both masks below which it is quicker to search their surfaces than to fill the box."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances of two surfaces in mm; both NaN when both masks are empty, both infinite when one is."""

    hd95: float
    """Larger of the two directed 95th percentiles (linear interpolation)."""
    assd: float
    """Average symmetric surface distance: mean over all surface voxels of both masks."""


def surface_distances(
    prediction: Bool[np.ndarray, "*grid"], reference: Bool[np.ndarray, "*grid"], *, spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Distance from every surface voxel of one mask to the nearest surface voxel of the other, both ways.

    A surface voxel belongs to the mask and shares a face with a voxel outside it; beyond the array is outside.
    Distances run between voxel centres. ``spacing_mm`` has one step an axis.

    Raises:
        ValueError: the masks are not boolean or differ in shape, or ``spacing_mm`` does not fit them.
    """
    check_masks(prediction, reference)
    if len(spacing_mm) != prediction.ndim or not all(math.isfinite(step) and step > 0 for step in spacing_mm):
        raise ValueError(f"spacing_mm must be {prediction.ndim} positive numbers, not {tuple(spacing_mm)}")
    if not prediction.any() or not reference.any():
        value = math.inf if prediction.any() or reference.any() else math.nan
        return SurfaceDistances(value, value)
    box = bounding_box(prediction | reference)
    predicted, true = _surface(prediction[box]), _surface(reference[box])
    sparse = np.count_nonzero(predicted) + np.count_nonzero(true) < SPARSE * predicted.size
    distances_mm = searched_distances_mm if sparse else filled_distances_mm
    forth = distances_mm(predicted, true, spacing_mm)
    back = distances_mm(true, predicted, spacing_mm)
    hd95 = max(float(np.percentile(forth, 95)), float(np.percentile(back, 95)))
    return SurfaceDistances(hd95, float(np.concatenate([forth, back]).mean()))


def bounding_box(mask: Shaped[np.ndarray, "*grid"]) -> tuple[slice, ...]:
    """The smallest box around all that is not 0; empty on every axis where all is 0.

    Axis by axis, on what the axes before have left.
    """
    box: tuple[slice, ...] = ()
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(mask[box].any(axis=others))
        box += (slice(int(filled[0]), int(filled[-1]) + 1) if len(filled) else slice(0, 0),)
    return box


def _surface(mask: Bool[np.ndarray, "*grid"]) -> Bool[np.ndarray, "*grid"]:
    return np.asarray(mask & ~ndimage.binary_erosion(mask))  # faces only; the outside of the array counts as empty


def filled_distances_mm(
    start: Bool[np.ndarray, "*grid"], target: Bool[np.ndarray, "*grid"], spacing_mm: Sequence[float]
) -> Float[np.ndarray, " n"]:
    """From each voxel of ``start`` to the nearest of ``target``, by a distance map of all voxels."""
    return np.asarray(ndimage.distance_transform_edt(~target, sampling=tuple(spacing_mm))[start])


def searched_distances_mm(
    start: Bool[np.ndarray, "*grid"], target: Bool[np.ndarray, "*grid"], spacing_mm: Sequence[float]
) -> Float[np.ndarray, " n"]:
    """The same by a search tree, quicker where stray voxels make the box large and the surfaces thin in it."""
    places_mm = [np.argwhere(mask) * np.asarray(spacing_mm) for mask in (start, target)]
    return np.asarray(KDTree(places_mm[1]).query(places_mm[0])[0])
