"""Where something moves in a cine study: the heart does, the rest hardly."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import gaussian_filter

from medwsss.config.cine import MotionConfig

Stack = Float32[np.ndarray, "n h w"]


def smoothed_change(frames: Sequence[Stack], *, spacing_mm: tuple[float, float], config: MotionConfig) -> Stack:
    """How much grey levels change over the study around each place, on the scale of the grey levels: in [0, 1].

    Prior knowledge: nothing in the chest changes as much between end-diastole and end-systole as the heart. A pixel's
    change is its largest shift-tolerant difference from the first frame over all others, so that a whole cycle may be
    given as well as two phases; what a shift of ``config.shift_mm`` explains costs nothing.

    Args:
        frames: two or more stacks of the same slices, grey levels in [0, 1].
        spacing_mm: distance of rows, and of columns.
        config: tolerance and smoothing, in mm.

    Raises:
        ValueError: fewer than two frames, or frames of different shapes.
    """
    if len(frames) < 2:
        raise ValueError("frames must be two or more")
    first = frames[0]
    if any(frame.shape != first.shape for frame in frames):
        raise ValueError(f"frames must have one shape, not {[frame.shape for frame in frames]}")
    rows, columns = (round(config.shift_mm / step) for step in spacing_mm)
    change = np.zeros_like(first)
    for frame in frames[1:]:
        for fixed, moving in ((first, frame), (frame, first)):
            np.maximum(change, shift_tolerant_difference(fixed, moving, reach=(rows, columns)), out=change)
    sigmas = (config.sigma_slices, config.sigma_mm / spacing_mm[0], config.sigma_mm / spacing_mm[1])
    smooth: Stack = gaussian_filter(change, sigmas)
    return smooth


def motion_map(frames: Sequence[Stack], *, spacing_mm: tuple[float, float], config: MotionConfig) -> Stack:
    """``smoothed_change`` divided by its maximum: 1 where most moves, 0 everywhere if nothing does."""
    return relative_change(smoothed_change(frames, spacing_mm=spacing_mm, config=config))


def relative_change(change: Stack) -> Stack:
    """The change divided by its maximum; one that is 0 everywhere stays so."""
    largest = float(change.max())
    scaled: Stack = change / largest if largest > 0 else change
    return scaled


def shift_tolerant_difference(
    fixed: Float[np.ndarray, "n h w"], moving: Float[np.ndarray, "n h w"], *, reach: tuple[int, int] = (1, 1)
) -> Float[np.ndarray, "n h w"]:
    """Smallest |fixed − shifted moving| over shifts by at most ``reach`` pixels along rows and columns."""
    height, width = fixed.shape[1:]
    rows, columns = reach
    padded = np.pad(moving, ((0, 0), (rows, rows), (columns, columns)), mode="edge")
    smallest = np.full_like(fixed, np.inf)
    for row in range(2 * rows + 1):
        for column in range(2 * columns + 1):
            shifted = padded[:, row : row + height, column : column + width]
            np.minimum(smallest, np.abs(fixed - shifted), out=smallest)
    return smallest
