"""Volume to slices: a stack in one fixed patient orientation, whatever the axis order and flips of the file."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from jaxtyping import Float, Shaped

from medwsss.types import Affine, SpacingMm
from medwsss.volumes.volume import Volume

RIGHT, ANTERIOR, SUPERIOR = 0, 1, 2
"""World axes of an affine (RAS+)."""

_TIE = 0.99
"""Spacings at least this fraction of the coarsest one count as equally coarse."""
_PERPENDICULAR = 1e-3
"""Direction cosine below which a voxel axis says nothing about a world axis."""

_IN_PLANE = 0.2
"""Length of a projected unit vector below which it has no direction in the plane: within 12 degrees of its normal."""


@dataclass(frozen=True)
class SliceAxes:
    """How a volume becomes a stack: ``array.transpose(permutation)``, then a flip where ``flips`` is true."""

    permutation: tuple[int, int, int]
    """Voxel axes that become slice, row and column."""
    flips: tuple[bool, bool, bool]
    """Whether slice, row and column run against their voxel axis."""

    @property
    def flipped(self) -> tuple[int, ...]:
        """Axes of the stack that are flipped."""
        return tuple(axis for axis, flip in enumerate(self.flips) if flip)


@dataclass(frozen=True, eq=False)
class SliceStack:
    """The slices of a volume, feet to head; rows run anterior to posterior, columns from the patient's right."""

    array: Shaped[np.ndarray, "n h w"]
    spacing_mm: tuple[float, float]
    """Distance of neighbouring rows, and of neighbouring columns."""
    slice_spacing_mm: float

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Shaped[np.ndarray, "h w"]]:
        return iter(self.array)


def slices_of(volume: Volume) -> SliceStack:
    """The slices of a 3D volume as (n, h, w); ``reassembly.reassemble`` is the inverse.

    The order of slices, rows and columns follows the affine, so that a file stored with permuted or flipped axes
    gives the same stack (see ``slice_axes``).

    Raises:
        ValueError: the volume has a time axis.
    """
    if volume.array.ndim != 3:
        raise ValueError("volume must be 3D: take one frame of it first")
    axes = slice_axes(volume.affine, volume.spacing_mm, volume.grid)
    stack = np.flip(volume.array.transpose(axes.permutation), axes.flipped)
    slice_mm, row_mm, column_mm = (float(volume.spacing_mm[axis]) for axis in axes.permutation)
    # numpy calls a flipped axis of one voxel contiguous, with a stride that torch refuses: copy whatever it says
    return SliceStack(np.array(stack, order="C"), (row_mm, column_mm), slice_mm)


def slice_axes(affine: Affine, spacing_mm: SpacingMm, grid: tuple[int, int, int]) -> SliceAxes:
    """The voxel axes that become slice, row and column, and their directions.

    Slices follow the axis with the coarsest spacing, or the only axis with a single voxel; between axes equally
    coarse (within 1 %) the one closest to superior-inferior decides. Of the remaining two, rows take the axis
    closest to anterior-posterior and columns the one closest to right-left. Slices grow toward superior, rows toward
    posterior, columns toward left; an axis perpendicular to its world axis is directed by the world axis closest to it.

    Raises:
        ValueError: the affine is singular.
    """
    lengths_mm = np.linalg.norm(affine[:3, :3], axis=0)
    if np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise ValueError("affine must not be singular")
    directions = affine[:3, :3] / lengths_mm
    across = _slice_axis(directions, spacing_mm, grid)
    row, column = _in_plane_axes(directions, across)
    flips = (
        _runs_against(directions[:, across], SUPERIOR, toward=(-1, -1, 1)),
        _runs_against(directions[:, row], ANTERIOR, toward=(-1, -1, -1)),
        _runs_against(directions[:, column], RIGHT, toward=(-1, -1, -1)),
    )
    return SliceAxes((across, row, column), flips)


def in_plane_direction(volume: Volume, world: int) -> tuple[float, float] | None:
    """Where a world axis (RIGHT, ANTERIOR or SUPERIOR) points within the slices of ``slices_of``.

    Returns:
        A unit vector (row, column), the axis projected onto the slice plane, whatever axis order and flips the file
        has; None where the axis stands nearly perpendicular to the slices, so that no direction within them is meant.
    """
    axes = slice_axes(volume.affine, volume.spacing_mm, volume.grid)
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    _, row, column = (
        -directions[world, axis] if flip else directions[world, axis]
        for axis, flip in zip(axes.permutation, axes.flips, strict=True)
    )
    length = math.hypot(row, column)
    return (float(row) / length, float(column) / length) if length > _IN_PLANE else None


def _slice_axis(directions: Float[np.ndarray, "3 3"], spacing_mm: SpacingMm, grid: tuple[int, int, int]) -> int:
    single = [axis for axis in range(3) if grid[axis] == 1]
    if len(single) == 1:
        return single[0]
    coarse = [axis for axis in range(3) if spacing_mm[axis] >= _TIE * max(spacing_mm)]
    return max(coarse, key=lambda axis: _alignment(directions[:, axis], SUPERIOR, ANTERIOR))


def _in_plane_axes(directions: Float[np.ndarray, "3 3"], across: int) -> tuple[int, int]:
    def fit(pair: tuple[int, int]) -> tuple[float, float]:
        row, column = pair
        cosine, side = _alignment(directions[:, row], ANTERIOR, RIGHT)
        return round(cosine + abs(float(directions[RIGHT, column])), 6), side

    return max(permutations([axis for axis in range(3) if axis != across], 2), key=fit)


def _alignment(direction: Float[np.ndarray, "3"], world: int, other: int) -> tuple[float, float]:
    """Cosine with a world axis; axes exactly between two world axes differ in the second number.

    Both numbers stay the same when the direction is reversed, so the choice does not depend on flips.
    """
    return round(abs(float(direction[world])), 6), float(direction[world] * direction[other])


def _runs_against(direction: Float[np.ndarray, "3"], world: int, *, toward: tuple[int, int, int]) -> bool:
    if abs(direction[world]) < _PERPENDICULAR:
        world = int(np.argmax(np.round(np.abs(direction), 6)))
    return bool(direction[world] * toward[world] < 0)
