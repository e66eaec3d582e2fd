"""The outer contour of the left ventricle's wall in one slice, by a closed shortest path in polar coordinates."""

import math

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates
from skimage.draw import polygon

from medwsss.config.cine import WallConfig
from medwsss.priors.cardiac.cavity import Cavity
from medwsss.priors.cardiac.shapes import centroid

ANGLES = 72
STEP = 0.5
"""Radial sampling, in pixels."""
_JUMP = 2
"""Radial samples by which neighbouring angles may differ."""
_EDGE = 3
"""Radial samples that are averaged on either side of an edge."""


def outer_wall(
    plane: Float32[np.ndarray, "h w"],
    cavity: Cavity,
    *,
    expected_mm: float,
    range_mm: tuple[float, float],
    spacing_mm: float,
    config: WallConfig,
) -> Bool[np.ndarray, "h w"]:
    """Wall and cavity together: what the outer contour encloses.

    Prior knowledge: the wall is dark and about ``expected_mm`` thick; outside lies brighter tissue (the blood of the
    right ventricle, fat) or dark lung. The thickness at 72 angles around the cavity's centre is the closed path of
    least cost: edges are rewarded where the inside is muscle, blood inside the wall and unusual thickness cost.

    Args:
        plane: grey levels in [0, 1].
        cavity: not empty.
        expected_mm: thickness that costs nothing.
        range_mm: thinnest and thickest.
        spacing_mm: of square pixels.
        config: rewards and costs.
    """
    centre = centroid(cavity.mask)
    samples = np.arange(round(range_mm[0] / spacing_mm / STEP), round(range_mm[1] / spacing_mm / STEP) + 1)
    reach = 2.2 * math.sqrt(cavity.mask.sum() / math.pi) + range_mm[1] / spacing_mm + 6.0
    rays = gaussian_filter(_rays(plane, centre, reach), (0.7, 1.0), mode=("wrap", "nearest"))
    inner = _last_inside(_rays(cavity.mask.astype(np.float32), centre, reach) > 0.5)
    thickness_mm = samples * STEP * spacing_mm
    unusual = config.expected_weight * ((thickness_mm - expected_mm) / expected_mm) ** 2
    cost = _edge_cost(rays, inner[:, None] + samples[None], cavity.threshold, config) + unusual
    cost += config.blood_weight * spacing_mm * _blood_inside(rays, inner, samples, cavity.threshold)
    chosen = samples[closed_path(cost, smoothness=config.smoothness)]
    smooth = gaussian_filter1d(chosen.astype(float), 1.0, mode="wrap")
    enclosed: Bool[np.ndarray, "h w"] = cavity.mask | _filled(
        centre, (inner + smooth) * STEP - config.shrink_mm / spacing_mm, plane.shape
    )
    return enclosed


def closed_path(cost: Float[np.ndarray, "angles n"], *, smoothness: float) -> Int[np.ndarray, " angles"]:
    """One sample an angle, closed around the circle, with the least sum of costs.

    Neighbours differ by at most two samples; a difference d costs ``smoothness`` · d². The path is found without
    closing it first; the place where that one passes the far side is then held fixed, and the path closed there.
    """
    half = len(cost) // 2
    total, came_from = _accumulated(cost, smoothness)
    anchor = int(_traced(came_from, int(total.argmin()))[half])
    turned = np.roll(cost, -half, axis=0)
    _, came_from = _accumulated(turned, smoothness, start=anchor)
    path: Int[np.ndarray, " angles"] = np.roll(_traced(came_from, anchor), half)
    return path


def _accumulated(
    cost: Float[np.ndarray, "angles n"], smoothness: float, *, start: int | None = None
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, "angles n"]]:
    """Least cost of arriving back at the first angle in each sample, and where each angle was reached from."""
    count = cost.shape[1]
    total = cost[0].copy() if start is None else np.where(np.arange(count) == start, cost[0], np.inf)
    came_from = np.zeros(cost.shape, int)
    jumps = np.arange(-_JUMP, _JUMP + 1)
    for angle in [*range(1, len(cost)), 0]:
        padded = np.pad(total, _JUMP, constant_values=np.inf)
        options = np.stack([padded[_JUMP + jump : _JUMP + jump + count] for jump in jumps])
        options += smoothness * jumps[:, None] ** 2
        best = options.argmin(axis=0)
        came_from[angle] = np.clip(np.arange(count) + jumps[best], 0, count - 1)
        total = options.min(axis=0) + (cost[angle] if angle else 0.0)
    return total, came_from


def _traced(came_from: Int[np.ndarray, "angles n"], end: int) -> Int[np.ndarray, " angles"]:
    """The samples of the path that arrives back at the first angle in ``end``, by angle."""
    path = np.zeros(len(came_from), int)
    sample = int(came_from[0, end])
    for angle in range(len(came_from) - 1, -1, -1):
        path[angle] = sample
        sample = int(came_from[angle, sample]) if angle else sample
    return path


def _edge_cost(
    rays: Float32[np.ndarray, "angles r"], places: Int[np.ndarray, "angles n"], blood: float, config: WallConfig
) -> Float[np.ndarray, "angles n"]:
    """Minus the reward of an edge at each place of a ray."""
    angles, last = np.arange(len(rays))[:, None], rays.shape[1] - 1

    def mean(offsets: range) -> Float[np.ndarray, "angles n"]:
        near = [rays[angles, np.clip(places + offset, 0, last)] for offset in offsets]
        level: Float[np.ndarray, "angles n"] = np.mean(near, axis=0)
        return level

    inside, outside = mean(range(-_EDGE, 0)), mean(range(1, _EDGE + 1))
    brighter = np.clip(outside - inside, 0, None) * (inside < blood)
    darker = np.clip(inside - outside, 0, None) * (inside < blood + 0.1) * (outside < config.lung)
    cost: Float[np.ndarray, "angles n"] = -(config.bright_edge_weight * brighter + config.dark_edge_weight * darker)
    return cost


def _blood_inside(
    rays: Float32[np.ndarray, "angles r"],
    inner: Int[np.ndarray, " angles"],
    samples: Int[np.ndarray, " n"],
    blood: float,
) -> Float[np.ndarray, "angles n"]:
    """Brightness above the threshold of blood, summed along each ray from the cavity to each place, in pixels."""
    summed = np.cumsum(np.clip(rays - blood, 0, None), axis=1) * STEP
    angles, last = np.arange(len(rays)), rays.shape[1] - 1
    start = summed[angles, np.minimum(inner + 2, last)]  # the edge of the cavity itself is blurred
    reached = summed[angles[:, None], np.minimum(inner[:, None] + samples, last)]
    inside: Float[np.ndarray, "angles n"] = np.clip(reached - start[:, None], 0, None)
    return inside


def _directions() -> tuple[Float[np.ndarray, " angles"], Float[np.ndarray, " angles"]]:
    turn = np.arange(ANGLES) * 2 * np.pi / ANGLES
    return np.sin(turn), np.cos(turn)


def _rays(
    plane: Float32[np.ndarray, "h w"], centre: Float[np.ndarray, "2"], reach: float
) -> Float32[np.ndarray, "angles r"]:
    radius = np.arange(0.0, reach, STEP)
    places = [middle + side[:, None] * radius for middle, side in zip(centre, _directions(), strict=True)]
    sampled: Float32[np.ndarray, "angles r"] = map_coordinates(plane, places, order=1, mode="nearest")
    return sampled


def _last_inside(rays: Bool[np.ndarray, "angles r"]) -> Int[np.ndarray, " angles"]:
    """Index of the last sample inside along each ray, 0 where there is none."""
    last = rays.shape[1] - 1 - rays[:, ::-1].argmax(axis=1)
    found: Int[np.ndarray, " angles"] = np.where(rays.any(axis=1), last, 0)
    return found


def _filled(
    centre: Float[np.ndarray, "2"], radii: Float[np.ndarray, " angles"], shape: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    mask = np.zeros(shape, bool)
    rows, columns = (middle + radii * side for middle, side in zip(centre, _directions(), strict=True))
    mask[polygon(rows, columns, shape)] = True
    return mask
