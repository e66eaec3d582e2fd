"""From photographs to what a network sees: the random scale, flip, colours and crop of the papers on VOC and COCO."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Shaped, UInt8
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional

from medwsss.config.data import PhotographAugmentationConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean red, green and blue of ImageNet's training images (ILSVRC 2012), as torchvision and timm normalise with it."""
LEVELS = 255
"""The brightest value of a channel in an image file; it becomes 1."""


class PhotographTransform:
    """Random scale, crop, flip and colours of a photograph; everything random comes from the seed.

    The crop lies anywhere within the scaled image. Where a side is shorter than the crop, the image lies anywhere
    within the crop instead, and ImageNet's mean colour, 0 after ImageNet's normalisation, fills the rest.
    """

    def __init__(self, config: PhotographAugmentationConfig, crop: int) -> None:
        """``crop`` is the side of the result in pixels.

        Raises:
            ValueError: ``crop`` is not positive.
        """
        if crop < 1:
            raise ValueError(f"crop must be at least 1, it is {crop}")
        self._config = config
        self._crop = crop
        self._padding = torch.tensor(IMAGENET_MEAN)[:, None, None].expand(3, crop, crop)

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"], seed: int
    ) -> tuple[Float[Tensor, "3 crop crop"], Int[Tensor, "4"]]:
        """The augmented photograph in [0, 1], and [top, bottom, left, right) of the area that is not padding.

        Raises:
            ValueError: ``seed`` is negative, or ``image`` has no pixels.
        """
        rng = _generator(seed)
        pixels = _channels_first(image)
        height, width = image.shape[:2]
        place = self._drawn(height, width, rng)
        scaled: Tensor = functional.resize(pixels, list(place.size), antialias=True)  # bilinear
        shown = place.taken(scaled)  # colours change after the crop, plane by plane: fast
        augmented = self._padding.clone()
        augmented[:, place.rows.placed, place.columns.placed] = _recoloured(shown, self._config, rng).float() / LEVELS
        return augmented, place.box

    def moved(self, maps: Float32[np.ndarray, "c h w"], seed: int) -> Float32[Tensor, "c crop crop"]:
        """Maps of a photograph, moved as this seed moves the photograph: nearest neighbour, 0 where there is no image.

        Args:
            maps: of the size of the photograph; their values stay as they are.
            seed: the one that the photograph was augmented with.

        Raises:
            ValueError: ``seed`` is negative, or ``maps`` has no pixels.
        """
        if maps.size == 0:
            raise ValueError(f"maps must have pixels, not the shape {maps.shape}")
        height, width = maps.shape[1:]
        place = self._drawn(height, width, _generator(seed))
        # a copy, so that maps which nobody may write to are welcome
        scaled = interpolate(torch.from_numpy(maps.copy())[None], size=place.size, mode="nearest-exact")[0]
        moved = torch.zeros(len(maps), self._crop, self._crop)
        moved[:, place.rows.placed, place.columns.placed] = place.taken(scaled)
        return moved

    def _drawn(self, height: int, width: int, rng: np.random.Generator) -> "_Place":
        """The geometry, which is drawn before anything else: maps get the same one as their photograph."""
        factor = rng.uniform(*self._config.scale)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        rows, columns = _window(size[0], self._crop, rng), _window(size[1], self._crop, rng)
        return _Place(size, rows, columns, flipped=rng.random() < self._config.flip_probability)


def as_network_input(image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "3 h w"]:
    """A whole photograph in [0, 1], for prediction.

    Raises:
        ValueError: ``image`` has no pixels.
    """
    return _channels_first(image).float().contiguous() / LEVELS


class _Window(NamedTuple):
    """One axis of a crop: which pixels are taken, and where they are placed."""

    taken: slice
    placed: slice


class _Place(NamedTuple):
    """Where the pixels of a photograph go."""

    size: tuple[int, int]
    """Of the scaled photograph."""
    rows: _Window
    columns: _Window
    flipped: bool

    @property
    def box(self) -> Int[Tensor, "4"]:
        """[top, bottom, left, right) of the area that is not padding."""
        return torch.tensor(
            [self.rows.placed.start, self.rows.placed.stop, self.columns.placed.start, self.columns.placed.stop]
        )

    def taken(self, scaled: Shaped[Tensor, "c h w"]) -> Shaped[Tensor, "c rows columns"]:
        """The part of a scaled image that comes into the crop."""
        part = scaled[:, self.rows.taken, self.columns.taken].contiguous()
        flipped: Tensor = functional.horizontal_flip(part) if self.flipped else part
        return flipped


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise ValueError(f"seed must not be negative, it is {seed}")
    return np.random.default_rng(seed)


def _window(side: int, crop: int, rng: np.random.Generator) -> _Window:
    """A window of a longer side, or a shorter side somewhere within the crop."""
    length = min(side, crop)
    start = int(rng.integers(0, abs(side - crop), endpoint=True))
    anywhere, whole = slice(start, start + length), slice(0, length)
    return _Window(anywhere, whole) if side > crop else _Window(whole, anywhere)


def _recoloured(
    image: UInt8[Tensor, "3 h w"], config: PhotographAugmentationConfig, rng: np.random.Generator
) -> UInt8[Tensor, "3 h w"]:
    """Brightness, contrast, saturation and hue, each or none of them; contrast comes second or last.

    The photometric distortion of SSD (Liu et al., ECCV 2016), which the code bases on VOC and COCO share: brightness
    shifts and contrast multiplies all channels, so that black stays black.
    """
    contrast = float(rng.uniform(*config.contrast))
    shift = round(LEVELS * float(rng.uniform(-config.brightness, config.brightness)))
    saturation = float(rng.uniform(*config.saturation))
    turn = float(rng.uniform(-config.hue, config.hue))
    steps: list[Callable[[Tensor], Tensor]] = [
        lambda pixels: (pixels.short() + shift).clamp(0, LEVELS).byte(),
        lambda pixels: functional.adjust_saturation(pixels, saturation),
        lambda pixels: functional.adjust_hue(pixels, turn),
    ]
    # torchvision calls a factor of all channels brightness; its own contrast would keep the mean
    steps.insert(int(rng.choice([1, 3])), lambda pixels: functional.adjust_brightness(pixels, contrast))
    for step, wanted in zip(steps, rng.random(4) < config.photometric_probability, strict=True):
        image = step(image) if wanted else image
    return image


def _channels_first(image: Shaped[np.ndarray, "..."]) -> UInt8[Tensor, "3 h w"]:
    """A copy, so that images which nobody may write to are welcome."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"image must be uint8 of shape (h, w, 3) with pixels, not {image.dtype} of {image.shape}")
    return torch.from_numpy(image.copy()).permute(2, 0, 1)
