"""The labels of a heart from end-diastole and end-systole: axis, cavity, wall and right ventricle put together."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy.ndimage import distance_transform_edt

from medwsss.config.cine import CavityConfig, CineConfig
from medwsss.priors.cardiac.axis import VentricleAxis, ventricle_axis
from medwsss.priors.cardiac.cavity import Cavity, left_cavity
from medwsss.priors.cardiac.right_ventricle import LeftHeart, right_ventricles
from medwsss.priors.cardiac.shapes import grown
from medwsss.priors.cardiac.wall import outer_wall
from medwsss.priors.motion import relative_change, smoothed_change

RV, MYO, LV = 1, 2, 3
"""As ACDC stores them."""

Stack = Float32[np.ndarray, "n h w"]
Labels = UInt8[np.ndarray, "n h w"]
LeftVentricles = tuple[list[LeftHeart | None], list[LeftHeart | None]]
"""Of every slice, at end-diastole and at end-systole."""


@dataclass(frozen=True, eq=False)
class HeartSeeds:
    """Labels of both phases, and what they grew from."""

    diastole: Labels
    systole: Labels
    axis: VentricleAxis
    largest_change: float
    """Of ``motion.smoothed_change``: 0 where nothing moves."""


def heart_seeds(
    diastole: Stack, systole: Stack, *, spacing_mm: float, right: tuple[float, float], config: CineConfig
) -> HeartSeeds:
    """RV (1), MYO (2) and LV (3) in both phases of a short-axis study; 0 elsewhere. No mask is used.

    Args:
        diastole: slices at end-diastole, grey levels in [0, 1].
        systole: the same slices at end-systole.
        spacing_mm: of square pixels.
        right: unit vector (row, column) toward the patient's right, see ``volumes.slicing.in_plane_direction``.
        config: what is known of hearts, in mm.

    Raises:
        ValueError: the phases differ in shape.
    """
    change = smoothed_change((diastole, systole), spacing_mm=(spacing_mm, spacing_mm), config=config.motion)
    motion, largest_change = relative_change(change), float(change.max())
    axis = ventricle_axis((diastole, systole), motion, spacing_mm=spacing_mm, config=config.axis)
    left = left_ventricles(diastole, systole, axis, spacing_mm=spacing_mm, config=config)
    first, second = painted_beside(left, diastole.shape[1:], right=right, spacing_mm=spacing_mm, config=config)
    return HeartSeeds(first, second, axis, largest_change)


def left_ventricles(
    diastole: Stack, systole: Stack, axis: VentricleAxis, *, spacing_mm: float, config: CineConfig
) -> LeftVentricles:
    """The left ventricle of every slice at end-diastole and at end-systole; depends on cavity and wall only."""
    pairs = [
        left_hearts(first, second, axis, index, spacing_mm=spacing_mm, config=config)
        for index, (first, second) in enumerate(zip(diastole, systole, strict=True))
    ]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def painted_beside(
    left: LeftVentricles,
    shape: tuple[int, ...],
    *,
    right: tuple[float, float],
    spacing_mm: float,
    config: CineConfig,
) -> tuple[Labels, Labels]:
    """The right ventricle beside ``left_ventricles``, and all painted on slices of ``shape``, at ED and at ES."""
    found = right_ventricles(*left, right=right, spacing_mm=spacing_mm, config=config.right_ventricle)
    labels = [
        np.stack([_painted(heart, rv, shape) for heart, rv in zip(hearts, rvs, strict=True)])
        for hearts, rvs in zip(left, found, strict=True)
    ]
    return labels[0], labels[1]


def left_hearts(
    diastole: Float32[np.ndarray, "h w"],
    systole: Float32[np.ndarray, "h w"],
    axis: VentricleAxis,
    index: int,
    *,
    spacing_mm: float,
    config: CineConfig,
) -> tuple[LeftHeart | None, LeftHeart | None]:
    """The left ventricle of one slice in both phases; None where no cavity is seen.

    Prior knowledge beyond that of its parts: the cavity at end-systole lies within that at end-diastole, and muscle is
    conserved, so that its wall is expected to cover the same area.
    """
    centre = axis.centres[index].astype(float)
    radii = axis.radii_mm[:, index]
    first = left_cavity(diastole, centre, radius_mm=float(radii[0]), spacing_mm=spacing_mm, config=config.cavity)
    if not first.mask.any():
        return None, None
    outer = outer_wall(
        diastole,
        first,
        expected_mm=config.wall.thickness_mm,
        range_mm=config.wall.range_mm,
        spacing_mm=spacing_mm,
        config=config.wall,
    )
    early = LeftHeart(diastole, first.mask, outer)
    second = left_cavity(systole, centre, radius_mm=float(radii[1]), spacing_mm=spacing_mm, config=config.cavity)
    second = _at_systole(second, first, spacing_mm, config.cavity)
    if not second.mask.any():
        return early, None
    area = float((outer & ~first.mask).sum())
    radius = math.sqrt(second.mask.sum() / math.pi)
    expected_mm = (math.sqrt(radius**2 + area / math.pi) - radius) * spacing_mm
    thin, thick = config.wall.systole_range_mm
    outer = outer_wall(
        systole,
        second,
        expected_mm=min(max(expected_mm, thin), thick),
        range_mm=(thin, thick),
        spacing_mm=spacing_mm,
        config=config.wall,
    )
    return early, LeftHeart(systole, second.mask, outer)


def edge_confidence(labels: Labels, *, spacing_mm: float, edge_mm: float) -> Float32[np.ndarray, "n h w"]:
    """1 − exp(−d/``edge_mm``), d the distance in mm from the nearest pixel of another label in the slice: in [0, 1].

    A slice of a single label has confidence 1. The seeds are least sure of where a contour runs.
    """
    confidence = np.ones(labels.shape, np.float32)
    for plane, out in zip(labels, confidence, strict=True):
        present = np.unique(plane)
        if len(present) > 1:
            distance = np.max([distance_transform_edt(plane == label) for label in present], axis=0)
            out[:] = 1.0 - np.exp(-distance * spacing_mm / edge_mm)
    return confidence


def gated_by_tags(labels: Labels, present: Bool[np.ndarray, "n 3"]) -> Labels:
    """Labels without the classes (RV, MYO, LV) whose tag is absent in a slice.

    A slice that shows muscle and no cavity keeps both as muscle: near the apex the wall closes.
    """
    gated = labels.copy()
    for plane, (rv, myo, lv) in zip(gated, present, strict=True):
        if not lv:
            plane[plane == LV] = MYO if myo else 0
        if not myo:
            plane[plane == MYO] = 0
        if not rv:
            plane[plane == RV] = 0
    return gated


def _at_systole(found: Cavity, diastole: Cavity, spacing_mm: float, config: CavityConfig) -> Cavity:
    return Cavity(grown(found.mask, config.systole_grow_mm / spacing_mm) & diastole.mask, found.threshold)


def _painted(
    heart: LeftHeart | None, right_ventricle: Bool[np.ndarray, "h w"] | None, shape: tuple[int, ...]
) -> UInt8[np.ndarray, "h w"]:
    labels = np.zeros(shape, np.uint8)
    if right_ventricle is not None:
        labels[right_ventricle] = RV
    if heart is not None:
        labels[heart.outer] = MYO
        labels[heart.cavity] = LV
    return labels
