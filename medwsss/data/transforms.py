"""From native slices to what a network sees, and back: resampling, grey levels, channels, augmentation (MONAI)."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Integer, Shaped
from torch import Tensor
from torch.nn import functional

from medwsss.config.data import AugmentationConfig, GridConfig
from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

_MOST_PIXELS = 8192
"""Along one side of a working slice."""


def working_slices(volume: Volume, grid: GridConfig, *, name: str = "volume") -> Float32[np.ndarray, "n h w"]:
    """The slices of a 3D volume in [0, 1] at the in-plane spacing of ``grid``.

    Grey levels are scaled with percentiles of the whole volume; a constant one becomes zeros with a
    ``MedwsssWarning`` that says ``name``. Side lengths are ``round(pixels * native / working spacing)``.

    Raises:
        ValueError: the volume has a time axis or voxels that are not finite.
        VolumeError: slices would have more pixels than memory can hold, as when a header counts in other units.
    """
    from medwsss.data.monai_steps import resized  # noqa: PLC0415  # loading MONAI takes seconds

    stack = slices_of(volume)
    native = stack.array.astype(np.float32)
    if not np.isfinite(native).all():
        raise ValueError("volume must be finite")
    if native.min() == native.max():
        warnings.warn(f"{name} is constant: its slices become zeros", MedwsssWarning, stacklevel=2)
    size = [
        max(1, round(pixels * native_mm / grid.spacing_mm))
        for pixels, native_mm in zip(native.shape[1:], stack.spacing_mm, strict=True)
    ]
    if max(size) > _MOST_PIXELS:
        raise VolumeError(
            f"{name}: slices of {native.shape[1]} x {native.shape[2]} pixels become {size[0]} x {size[1]} at"
            f" data.grid.spacing_mm {grid.spacing_mm:g}; correct the voxel size in the header, or choose a coarser grid"
        )
    scaled = grey_levels(native, grid.percentiles)
    return np.asarray(resized(torch.from_numpy(scaled), size).clamp(0.0, 1.0))


def grey_levels(stack: Float32[np.ndarray, "n h w"], percentiles: Sequence[float]) -> Float32[np.ndarray, "n h w"]:
    """The slices of a whole volume in [0, 1], clipped at percentiles of its voxels; a constant one becomes zeros."""
    low, high = (float(level) for level in np.percentile(stack, percentiles))
    if high <= low:  # nearly all voxels are equal
        low, high = float(stack.min()), float(stack.max())
    if high <= low:
        return np.zeros_like(stack)
    with np.errstate(over="ignore"):  # what is infinite is clipped
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
        from medwsss.data.monai_steps import map_steps, slice_steps  # noqa: PLC0415  # loading MONAI takes seconds

        self._crop = grid.crop
        self._steps = slice_steps(grid, augmentation)
        self._map_steps = map_steps(grid, augmentation)

    def __call__(
        self, image: Float32[np.ndarray, "3 h w"], seed: int
    ) -> tuple[Float[Tensor, "3 crop crop"], Int[Tensor, "4"]]:
        """The augmented slice in [0, 1], and [top, bottom, left, right) of the area that is not padding.

        Raises:
            ValueError: ``seed`` is negative.
        """
        augmented = self._steps(image, _checked(seed)).clamp(0.0, 1.0)
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
        return self._map_steps(maps, _checked(seed))


def _checked(seed: int) -> int:
    if seed < 0:
        raise ValueError(f"seed must not be negative, it is {seed}")
    return seed


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


def _centred(length: int, crop: int) -> tuple[int, int]:
    """Where a side lies after a crop and symmetric padding to ``crop``, as MONAI places it."""
    kept = min(length, crop)
    start = (crop - kept) // 2
    return start, start + kept
