"""From native slices to what a network sees, and back: resampling, grey levels, channels, augmentation (MONAI)."""

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Integer, Shaped
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
from torch.nn import functional

from medwsss.config.data import AugmentationConfig, GridConfig
from medwsss.errors import MedwsssWarning
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume


def working_slices(volume: Volume, grid: GridConfig, *, name: str = "volume") -> Float32[np.ndarray, "n h w"]:
    """The slices of a 3D volume in [0, 1] at the in-plane spacing of ``grid``.

    Grey levels are scaled with percentiles of the whole volume; a constant one becomes zeros with a
    ``MedwsssWarning`` that says ``name``. Side lengths are ``round(pixels * native / working spacing)``.

    Raises:
        ValueError: the volume has a time axis or voxels that are not finite.
    """
    stack = slices_of(volume)
    native = stack.array.astype(np.float32)
    if not np.isfinite(native).all():
        raise ValueError("volume must be finite")
    if native.min() == native.max():
        warnings.warn(f"{name} is constant: its slices become zeros", MedwsssWarning, stacklevel=2)
    scaled = grey_levels(native, grid.percentiles)
    size = [
        max(1, round(pixels * native_mm / grid.spacing_mm))
        for pixels, native_mm in zip(scaled.shape[1:], stack.spacing_mm, strict=True)
    ]
    resized = Resize(size, mode="bilinear", anti_aliasing=True)(torch.from_numpy(scaled))
    return np.asarray(_plain(resized).clamp(0.0, 1.0))


def grey_levels(stack: Float32[np.ndarray, "n h w"], percentiles: Sequence[float]) -> Float32[np.ndarray, "n h w"]:
    """The slices of a whole volume in [0, 1], clipped at percentiles of its voxels; a constant one becomes zeros."""
    low, high = (float(level) for level in np.percentile(stack, percentiles))
    if high <= low:  # nearly all voxels are equal
        low, high = float(stack.min()), float(stack.max())
    if high <= low:
        return np.zeros_like(stack)
    return np.clip((stack - low) / (high - low), 0.0, 1.0).astype(np.float32)


def working_labels(volume: Volume, size: tuple[int, int]) -> Shaped[np.ndarray, "n h w"]:
    """The slices of a label map, or of a map of weights, on the working grid: nearest neighbour, pixel for pixel.

    Args:
        volume: 3D, on the native grid of its frame.
        size: rows and columns of the frame's ``working_slices``.

    Raises:
        ValueError: the volume has a time axis, or ``size`` is not positive.
    """
    return _resampled(slices_of(volume).array, size)


def native_labels(working: Shaped[np.ndarray, "n h w"], size: tuple[int, int]) -> Shaped[np.ndarray, "n rows columns"]:
    """Labels or weights on the working grid, read at the centres of native pixels: the way back of ``working_labels``.

    Raises:
        ValueError: ``size`` is not positive.
    """
    return _resampled(working, size)


def native_maps(maps: Float[Tensor, "n c h w"], native_size: tuple[int, int]) -> Float[Tensor, "n c rows columns"]:
    """Maps on the working grid resized bilinearly to native slices; probabilities still sum to 1.

    Raises:
        ValueError: ``native_size`` is not positive.
    """
    if min(native_size) < 1:
        raise ValueError(f"native_size must be positive, not {native_size}")
    return functional.interpolate(maps, size=native_size, mode="bilinear", align_corners=False)


def channels_of(stack: Float32[np.ndarray, "n h w"], index: int, grid: GridConfig) -> Float32[np.ndarray, "3 h w"]:
    """Three input channels of a slice: itself three times, or with both neighbours (the edge slice stands for none).

    Raises:
        ValueError: ``index`` is no slice of the stack.
    """
    if not 0 <= index < len(stack):
        raise ValueError(f"index must be within 0 to {len(stack) - 1}, not {index}")
    reach = 0 if grid.channels == "repeat" else 1
    below, above = max(index - reach, 0), min(index + reach, len(stack) - 1)
    return np.stack([stack[below], stack[index], stack[above]])


class TrainingTransform:
    """Random flips, rotation, magnification, crop and grey levels of a slice; everything random comes from the seed.

    Rotation precedes the crop, so that its empty corners come into view as rarely as possible. The crop lies
    anywhere within the image; sides shorter than the crop are padded with zeros on both ends.
    """

    def __init__(self, grid: GridConfig, augmentation: AugmentationConfig) -> None:
        self._crop = grid.crop
        padding = SpatialPad((grid.crop, grid.crop), method="symmetric")
        self._steps = Compose(
            [
                *_geometry(grid, augmentation, mode="bilinear"),
                RandAdjustContrast(prob=1.0, gamma=augmentation.gamma),
                RandScaleIntensity(augmentation.intensity_scale, prob=1.0),
                padding,
            ]
        )
        # Compose seeds its random steps in their order, so geometry draws the same whatever comes after it
        self._map_steps = Compose([*_geometry(grid, augmentation, mode="nearest"), padding])

    def __call__(
        self, image: Float32[np.ndarray, "3 h w"], seed: int
    ) -> tuple[Float[Tensor, "3 crop crop"], Int[Tensor, "4"]]:
        """The augmented slice in [0, 1], and [top, bottom, left, right) of the area that is not padding.

        Raises:
            ValueError: ``seed`` is negative.
        """
        augmented = _applied(self._steps, image, seed).clamp(0.0, 1.0)
        top, bottom = _centred(image.shape[1], self._crop)
        left, right = _centred(image.shape[2], self._crop)
        return augmented, torch.tensor([top, bottom, left, right])

    def moved(self, maps: Float32[np.ndarray, "c h w"], seed: int) -> Float32[Tensor, "c crop crop"]:
        """Maps of a slice, moved as this seed moves the slice itself: nearest neighbour, 0 where there is no image.

        Args:
            maps: of the size of the slice; their values stay as they are.
            seed: the one that the slice was augmented with.

        Raises:
            ValueError: ``seed`` is negative.
        """
        return _applied(self._map_steps, maps, seed)


def _geometry(grid: GridConfig, augmentation: AugmentationConfig, *, mode: str) -> Iterator[Callable[[Tensor], Tensor]]:
    """The steps that move pixels."""
    yield RandFlip(augmentation.flip_probability, spatial_axis=0)
    yield RandFlip(augmentation.flip_probability, spatial_axis=1)
    yield _RandSimilarity(augmentation.rotation_degrees, augmentation.zoom, mode=mode)
    yield RandSpatialCrop((grid.crop, grid.crop), random_center=True, random_size=False)


def _applied(steps: Compose, image: Float32[np.ndarray, "c h w"], seed: int) -> Float32[Tensor, "c crop crop"]:
    if seed < 0:
        raise ValueError(f"seed must not be negative, it is {seed}")
    steps.set_random_state(seed=seed)
    return _plain(steps(torch.from_numpy(np.array(image))))


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


def _resampled(slices: Shaped[np.ndarray, "n h w"], size: tuple[int, int]) -> Shaped[np.ndarray, "n rows columns"]:
    if min(size) < 1:
        raise ValueError(f"size must be positive, not {size}")
    rows, columns = (_nearest(length, wanted) for length, wanted in zip(slices.shape[1:], size, strict=True))
    resampled: Shaped[np.ndarray, "n rows columns"] = slices[:, rows[:, None], columns]
    return resampled


def _nearest(length: int, wanted: int) -> Integer[np.ndarray, " wanted"]:
    """The pixels whose centres are nearest when ``length`` pixels become ``wanted``; the field of view stays."""
    # the centre of pixel i lies at (i + 1/2) length / wanted; whole numbers round exactly
    return (2 * np.arange(wanted) + 1) * length // (2 * wanted)


def _plain(image: Tensor) -> Tensor:
    """The tensor itself, without the meta data that MONAI attaches."""
    return image.as_subclass(Tensor)


def _centred(length: int, crop: int) -> tuple[int, int]:
    """Where a side lies after a crop and symmetric padding to ``crop``, as MONAI places it."""
    kept = min(length, crop)
    start = (crop - kept) // 2
    return start, start + kept
