"""The right ventricle beside the left one, slice after slice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from medwsss.config.cine import RightVentricleConfig
from medwsss.priors.cardiac.shapes import centroid, component, distance_from, distance_to, grown, hull, opened

Mask = Bool[np.ndarray, "h w"]
Plane = Float32[np.ndarray, "h w"]
_STILL = 0.02
"""Contraction that a pixel counts at least, so that a slice without contraction still has a largest component."""


@dataclass(frozen=True, eq=False)
class LeftHeart:
    """Left ventricle of one slice and phase, beside which the right one is looked for."""

    plane: Plane
    cavity: Mask
    outer: Mask
    """Wall and cavity together."""


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Where blood of the right ventricle may be in one slice."""

    blood: Mask
    outer: Mask
    nearness: Float[np.ndarray, "h w"]


def right_ventricles(
    diastole: Sequence[LeftHeart | None],
    systole: Sequence[LeftHeart | None],
    *,
    right: tuple[float, float],
    spacing_mm: float,
    config: RightVentricleConfig,
) -> tuple[list[Mask | None], list[Mask | None]]:
    """Cavity of the right ventricle at end-diastole and at end-systole; None where the left one is not known.

    Prior knowledge: it lies beside the septum toward the patient's right, is bright, contracts, continues from slice
    to slice, and at end-systole lies about where it was. The slice with the most contraction beside the wall comes
    first; its neighbours stay within ``step_mm`` of it, and so on to both ends.

    Args:
        diastole: the left ventricle in every slice at end-diastole.
        systole: the same at end-systole.
        right: unit vector (row, column) toward the patient's right.
        spacing_mm: of square pixels.
        config: sector, reach and levels.
    """
    known = next((heart for heart in diastole if heart is not None), None)
    if known is None:
        return [None] * len(diastole), [None] * len(diastole)
    still = np.zeros(known.plane.shape)
    contraction = [
        still if first is None or second is None else np.clip(first.plane - second.plane, 0.0, None)
        for first, second in zip(diastole, systole, strict=True)
    ]
    wide = [_candidates(heart, right, spacing_mm, config) for heart in diastole]
    found = _through_slices(wide, contraction, spacing_mm, config)
    later: list[Mask | None] = []
    for heart, before, moving in zip(systole, found, contraction, strict=True):
        near = _candidates(heart, right, spacing_mm, config)
        if near is None or before is None:
            later.append(None)
        else:
            later.append(_chosen(near, moving, before, spacing_mm, config)[0])
    return found, later


def _through_slices(
    candidates: Sequence[_Candidates | None],
    contraction: Sequence[Float[np.ndarray, "h w"]],
    spacing_mm: float,
    config: RightVentricleConfig,
) -> list[Mask | None]:
    alone = [
        None if near is None else _chosen(near, moving, None, spacing_mm, config)
        for near, moving in zip(candidates, contraction, strict=True)
    ]
    found: list[Mask | None] = [None] * len(candidates)
    scores = [-1.0 if one is None else one[1] for one in alone]
    start = int(np.argmax(scores))
    first = alone[start]
    if first is None:
        return found
    found[start] = first[0]
    for indices in (range(start + 1, len(candidates)), range(start - 1, -1, -1)):
        neighbour = first[0]
        for index in indices:
            near = candidates[index]
            if near is None:
                continue
            within = grown(neighbour, config.step_mm / spacing_mm)
            chosen, _ = _chosen(near, contraction[index], within, spacing_mm, config)
            found[index] = chosen
            neighbour = chosen if chosen.any() else neighbour
    return found


def _candidates(
    heart: LeftHeart | None, right: tuple[float, float], spacing_mm: float, config: RightVentricleConfig
) -> _Candidates | None:
    if heart is None:
        return None
    rim = heart.outer & ~grown(heart.cavity, config.edge_mm / spacing_mm)
    blood = float(np.median(heart.plane[heart.cavity]))
    muscle = float(np.percentile(heart.plane[rim], config.muscle_percentile)) if rim.any() else 0.0
    apart_mm = distance_from(heart.outer) * spacing_mm
    place = _in_sector(centroid(heart.cavity), heart.outer.shape, right, config.half_angle)
    bright = heart.plane > muscle + config.blood_level * (blood - muscle)
    near = (apart_mm > 0) & (apart_mm <= config.reach_mm)
    return _Candidates(place & bright & near, heart.outer, np.exp(-apart_mm / config.decay_mm))


def _chosen(
    near: _Candidates,
    contraction: Float[np.ndarray, "h w"],
    within: Mask | None,
    spacing_mm: float,
    config: RightVentricleConfig,
) -> tuple[Mask, float]:
    """The component with most contraction near the wall as a convex hull without the left ventricle, and its score."""
    blood = near.blood if within is None else near.blood & within
    weights = (contraction + _STILL) * near.nearness
    chosen = component(opened(blood, config.open_mm / spacing_mm), weights)
    return hull(chosen) & ~near.outer, float(weights[chosen].sum())


def _in_sector(
    centre: Float[np.ndarray, "2"], shape: tuple[int, int], toward: tuple[float, float], half_angle: float
) -> Mask:
    rows, columns = np.arange(shape[0]) - centre[0], np.arange(shape[1]) - centre[1]
    along = rows[:, None] * toward[0] + columns[None] * toward[1]
    inside: Mask = along >= np.cos(np.deg2rad(half_angle)) * distance_to(centre, shape)
    return inside
