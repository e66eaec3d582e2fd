"""A volume: voxels, where they lie in the patient, and what one step along each axis measures."""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped

from medwsss.types import Affine, SpacingMm


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels of shape (x, y, z) or (x, y, z, t) with the affine that maps voxel indices to RAS+ millimetres.

    ``spacing_mm`` is the believed voxel size; it equals the column norms of ``affine`` unless the file's header
    contradicted itself (see ``medwsss.volumes.io.load_volume``). The remaining fields are kept so that a file
    written ``like`` this one carries the same header units and codes.
    """

    array: Shaped[np.ndarray, "x y z *t"]
    spacing_mm: SpacingMm
    affine: Affine
    units: tuple[str, str] = ("mm", "sec")
    frame_spacing: float = 1.0
    """Step of the fourth axis in ``units[1]``; unused in 3D."""
    form_codes: tuple[int, int] = (1, 1)
    """NIfTI qform and sform codes."""

    def __post_init__(self) -> None:
        if self.array.ndim not in (3, 4):
            raise ValueError(f"array must have 3 or 4 axes, not {self.array.ndim}")
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise ValueError("affine must be a finite matrix of 4 by 4")
        if not all(np.isfinite(step) and step > 0 for step in self.spacing_mm):
            raise ValueError(f"spacing_mm must be three positive numbers, not {self.spacing_mm}")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Number of voxels along the three spatial axes."""
        x, y, z = self.array.shape[:3]
        return x, y, z

    @property
    def frames(self) -> int:
        """Number of time points; 1 in 3D."""
        return self.array.shape[3] if self.array.ndim == 4 else 1

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL: the product of its sides, less where they do not meet at right angles."""
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return abs(float(np.linalg.det(directions))) * math.prod(self.spacing_mm) / 1000.0

    def frame(self, index: int) -> "Volume":
        """The 3D volume at one time point, counted from 0."""
        return self if self.array.ndim == 3 else replace(self, array=self.array[..., index])

    def with_array(self, array: Shaped[np.ndarray, "x y z *t"]) -> "Volume":
        """Other voxels on the same grid."""
        if array.shape[:3] != self.grid:
            raise ValueError(f"array has grid {array.shape[:3]}, the volume has {self.grid}")
        return replace(self, array=array)
