"""The steps of MONAI that slices go through; in a module of its own, because loading MONAI takes seconds."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from monai.transforms import (
    Affine,
    Compose,
    RandAdjustContrast,
    RandFlip,
    RandomizableTransform,
    RandScaleIntensity,
    RandSpatialCrop,
    Resize,
    SpatialPad,
)
from torch import Tensor

from medwsss.config.data import AugmentationConfig, GridConfig


def resized(slices: Float32[Tensor, "n h w"], size: Sequence[int]) -> Float32[Tensor, "n rows columns"]:
    """Bilinear, with anti-aliasing where a side shrinks."""
    return _plain(Resize(size, mode="bilinear", anti_aliasing=True)(slices))


class SeededSteps:
    """What becomes of channels of a slice; everything random comes from the seed."""

    def __init__(self, *steps: Callable[[Tensor], Tensor]) -> None:
        self._steps = Compose(steps)

    def __call__(self, image: Float32[np.ndarray, "c h w"], seed: int) -> Float32[Tensor, "c crop crop"]:
        self._steps.set_random_state(seed=seed)
        return _plain(self._steps(torch.from_numpy(np.array(image))))


def slice_steps(grid: GridConfig, augmentation: AugmentationConfig) -> SeededSteps:
    """Geometry, then grey levels."""
    grey_levels = (
        RandAdjustContrast(prob=1.0, gamma=augmentation.gamma),
        RandScaleIntensity(augmentation.intensity_scale, prob=1.0),
    )
    return SeededSteps(*_geometry(grid, augmentation, mode="bilinear"), *grey_levels, _padding(grid))


def map_steps(grid: GridConfig, augmentation: AugmentationConfig) -> SeededSteps:
    """Geometry alone, the same for the same seed: Compose seeds its random steps in their order."""
    return SeededSteps(*_geometry(grid, augmentation, mode="nearest"), _padding(grid))


def _padding(grid: GridConfig) -> SpatialPad:
    return SpatialPad((grid.crop, grid.crop), method="symmetric")


def _geometry(grid: GridConfig, augmentation: AugmentationConfig, *, mode: str) -> Iterator[Callable[[Tensor], Tensor]]:
    """The steps that move pixels."""
    yield RandFlip(augmentation.flip_probability, spatial_axis=0)
    yield RandFlip(augmentation.flip_probability, spatial_axis=1)
    yield _RandSimilarity(augmentation.rotation_degrees, augmentation.zoom, mode=mode)
    yield RandSpatialCrop((grid.crop, grid.crop), random_center=True, random_size=False)


class _RandSimilarity(RandomizableTransform):  # type: ignore[misc]  # MONAI has no types
    """Rotation and magnification about the centre in one resampling; MONAI's own would stretch the axes apart.

    The logarithm of the magnification is uniform, so that 0.8 and 1.25 are equally likely.
    """

    def __init__(self, rotation_degrees: float, zoom: tuple[float, float], *, mode: str) -> None:
        super().__init__(prob=1.0)
        self._mode = mode
        self._rotation = np.deg2rad(rotation_degrees)
        self._log_zoom = np.log(zoom)

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        angle = self.R.uniform(-self._rotation, self._rotation)
        shrink = float(np.exp(-self.R.uniform(*self._log_zoom)))  # MONAI maps output to input
        moved = Affine(
            rotate_params=angle, scale_params=(shrink, shrink), mode=self._mode, padding_mode="zeros", image_only=True
        )(image)
        return _plain(moved)


def _plain(image: Tensor) -> Tensor:
    """The tensor itself, without the meta data that MONAI attaches."""
    return image.as_subclass(Tensor)
