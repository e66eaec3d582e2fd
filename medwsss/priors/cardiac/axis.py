"""The left ventricle along its axis: where its centre is in every slice, and how large its cavity."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex64, Float, Float32, Int
from scipy import fft
from scipy.ndimage import maximum_filter

from medwsss.config.cine import AxisConfig

Stack = Float32[np.ndarray, "n h w"]
SECTORS = 8
"""Parts of the ring, each of which must be darker than the disc: a wall encloses, a fold of fat does not."""
_PEAK = 5
"""Pixels: a candidate is the highest within a square of this side."""


@dataclass(frozen=True, eq=False)
class VentricleAxis:
    """The centre of the left ventricle in every slice."""

    centres: Int[np.ndarray, "n 2"]
    """Row and column."""
    radii_mm: Float[np.ndarray, "phases n"]
    """Radius of the cavity in every phase."""
    scores: Float[np.ndarray, " n"]
    """How much each centre looks like a left ventricle, relative to the best of the volume: in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Every place of a phase as the centre of a bright disc in a dark ring."""

    contrast: Stack
    """Grey level of the disc above the brightest part of its ring, at the best radius."""
    radius_mm: Stack
    """That radius."""


def ventricle_axis(
    phases: tuple[Stack, Stack], motion: Stack, *, spacing_mm: float, config: AxisConfig
) -> VentricleAxis:
    """Centre and radius of the left ventricle in every slice of end-diastole and end-systole.

    Prior knowledge: a disc of blood, fully enclosed by a darker ring, where the study moves, along a continuous axis.
    A place scores its enclosure at end-diastole plus ``systole_share`` of that at end-systole, times the square of
    its motion; the axis is the path through the best places of every slice with the highest sum of scores less its
    squared steps.

    Args:
        phases: end-diastole and end-systole, grey levels in [0, 1].
        motion: of ``priors.motion.motion_map``.
        spacing_mm: of square pixels.
        config: radii and costs.
    """
    best = [best_enclosure(stack, spacing_mm=spacing_mm, config=config) for stack in phases]
    return axis_through((best[0], best[1]), motion, spacing_mm=spacing_mm, config=config)


def best_enclosure(stack: Stack, *, spacing_mm: float, config: AxisConfig) -> Enclosure:
    """How well each place is enclosed, at the radius where it is best; depends on the radii and the ring only."""
    radii_mm = np.arange(config.radii_mm[0], config.radii_mm[1] + 1e-6, config.radius_step_mm)
    found = enclosures(stack, radii_mm / spacing_mm, ring=config.ring_mm / spacing_mm)
    return Enclosure(found.max(axis=0), radii_mm[found.argmax(axis=0)].astype(np.float32))


def axis_through(
    phases: tuple[Enclosure, Enclosure], motion: Stack, *, spacing_mm: float, config: AxisConfig
) -> VentricleAxis:
    """The axis through what ``best_enclosure`` found at end-diastole and end-systole, see ``ventricle_axis``."""
    diastole, systole = phases
    score = np.clip(diastole.contrast + config.systole_share * systole.contrast, 0.0, None) * motion**2
    score /= max(float(score.max()), 1e-12)
    centres = continuous_path(score, candidates=config.candidates, bend=config.bend * spacing_mm**2)
    places = (np.arange(len(centres)), centres[:, 0], centres[:, 1])
    radii = np.stack([phase.radius_mm[places] for phase in phases]).astype(float)
    return VentricleAxis(centres, radii, score[places])


def enclosures(stack: Stack, radii: Float[np.ndarray, " r"], *, ring: float) -> Float32[np.ndarray, "r n h w"]:
    """For every radius and centre, the mean of the disc minus the brightest of eight sector means in the ring outside.

    Radii and ``ring``, the width of the ring, are in pixels. Outside the image is 0.
    """
    height, width = stack.shape[1:]
    margin = int(np.ceil(radii.max() + ring)) + 1
    shape = (fft.next_fast_len(height + margin, real=True), fft.next_fast_len(width + margin, real=True))
    spectrum = fft.rfft2(stack, shape)

    def mean_over(kernel: Complex64[np.ndarray, "kh kw"]) -> Stack:
        found: Stack = fft.irfft2(spectrum * kernel, shape)[:, :height, :width]
        return found

    found = np.empty((len(radii), *stack.shape), np.float32)
    for index, radius in enumerate(radii):
        disc, *sectors = _kernels(float(radius), ring, shape)
        brightest = mean_over(sectors[0])
        for sector in sectors[1:]:
            np.maximum(brightest, mean_over(sector), out=brightest)
        found[index] = mean_over(disc) - brightest
    return found


def continuous_path(score: Stack, *, candidates: int, bend: float) -> Int[np.ndarray, "n 2"]:
    """One place a slice: the highest sum of scores less ``bend`` times the squared steps between slices, in pixels.

    Only the ``candidates`` highest local maxima of a slice are considered; a slice without any counts as one at its
    middle with score 0.
    """
    places = [_peaks(plane, candidates) for plane in score]
    total, came_from = score[0][tuple(places[0].T)].astype(float), []
    for index in range(1, len(score)):
        steps = places[index][:, None] - places[index - 1][None]
        reached = total[None] - bend * (steps**2).sum(axis=2)
        came_from.append(reached.argmax(axis=1))
        total = score[index][tuple(places[index].T)] + reached.max(axis=1)
    chosen = [int(total.argmax())]
    for back in reversed(came_from):
        chosen.append(int(back[chosen[-1]]))
    return np.stack([places[index][k] for index, k in enumerate(reversed(chosen))])


def _peaks(plane: Float32[np.ndarray, "h w"], count: int) -> Int[np.ndarray, "k 2"]:
    found = np.argwhere((plane == maximum_filter(plane, _PEAK)) & (plane > 0))
    if not len(found):
        return np.array([[plane.shape[0] // 2, plane.shape[1] // 2]])
    order = np.argsort(-plane[tuple(found.T)], kind="stable")
    highest: Int[np.ndarray, "k 2"] = found[order[:count]]
    return highest


def _kernels(radius: float, ring: float, shape: tuple[int, int]) -> Iterator[Complex64[np.ndarray, "kh kw"]]:
    """Transforms of the mean over the disc, then over every sector of the ring, in pixels."""
    rows, columns = (fft.fftfreq(length, 1 / length) for length in shape)
    distance = np.hypot(rows[:, None], columns[None])
    turn = (np.arctan2(rows[:, None], columns[None]) + np.pi) / (2 * np.pi)
    sector = (SECTORS * turn).astype(int) % SECTORS
    in_ring = (distance > radius) & (distance <= radius + ring)
    for area in (distance <= radius, *(in_ring & (sector == index) for index in range(SECTORS))):
        yield np.conj(fft.rfft2((area / max(area.sum(), 1)).astype(np.float32)))
