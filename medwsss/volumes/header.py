"""What headers of volumes have in common, whatever the file: which claims are believed, and which are refused."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.types import Affine, SpacingMm

DEFLATE_LIMIT = 1032
"""No deflate stream expands further than this."""
_TOLERANCE = 0.01
"""Relative difference of affine and voxel sizes that is reported."""
_SMALLEST_MM, _LARGEST_MM = 1e-6, 1e6
"""Voxel sizes and places beyond these are mistakes of a header, and no NIfTI could store them."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the voxels of a file lie; as the fields of ``Volume``."""

    spacing_mm: SpacingMm
    affine: Affine
    units: tuple[str, str]
    frame_spacing: float
    form_codes: tuple[int, int]


def checked_shape(path: Path, stored: tuple[int, ...]) -> tuple[int, ...]:
    """Three axes or four, without trailing ones of length 1; other shapes are refused."""
    shape = tuple(int(length) for length in stored)
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise VolumeError(f"{path}: the image has shape {shape}; medwsss reads 3D (x, y, z) and 4D (x, y, z, t)")
    return shape


def refuse_oversize(path: Path, claimed: int, *, expansion: int) -> None:
    """Refuse a file that cannot hold the bytes claimed, even if it expands that many times."""
    size = path.stat().st_size
    if claimed > size * expansion:
        raise VolumeError(f"{path}: header claims {claimed} bytes, the file has only {size}; copy or export it again")


def check_extent(path: Path, geometry: Geometry) -> None:
    """Refuse voxels, or places of them, that no body has."""
    sizes = (*geometry.spacing_mm, *np.linalg.norm(geometry.affine[:3, :3], axis=0))
    if min(sizes) < _SMALLEST_MM or max(*sizes, np.abs(geometry.affine).max()) > _LARGEST_MM:
        raise VolumeError(
            f"{path}: voxels of {_rounded(geometry.spacing_mm)} mm, or their place, lie beyond {_SMALLEST_MM:g} to"
            f" {_LARGEST_MM:g} mm; correct the header"
        )


def believed_spacing(path: Path, affine: Affine, pixdim: SpacingMm) -> SpacingMm:
    """Voxel size of the affine, or ``pixdim`` where the affine is unit-scale; a warning says where they differ."""
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise VolumeError(f"{path}: the affine in the header is singular or not finite; correct the header")
    x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    norms = (x, y, z)
    if np.allclose(norms, pixdim, rtol=_TOLERANCE, atol=0.0):
        return norms
    believed, name = (pixdim, "pixdim") if np.allclose(norms, 1.0, rtol=_TOLERANCE) else (norms, "the affine")
    message = f"{path}: voxel size is {_rounded(norms)} mm in the affine but {_rounded(pixdim)} mm in pixdim; "
    warnings.warn(f"{message}{name} was believed", MedwsssWarning, stacklevel=6)
    return believed


def _rounded(spacing_mm: SpacingMm) -> str:
    return " x ".join(f"{step:.4g}" for step in spacing_mm)


def last_line(error: BaseException) -> str:
    """The last line of what a library says, or the kind of error where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
