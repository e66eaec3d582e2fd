"""From a volume to its segmentation: slices on the working grid, averaged views, back to the native grid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from medwsss.config.data import GridConfig
from medwsss.config.training import InferenceConfig
from medwsss.data.transforms import channels_of, native_maps, working_slices
from medwsss.methods.method import Method, Prediction
from medwsss.volumes.reassembly import reassemble, reassemble_channels
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume


@dataclass(frozen=True)
class Segmentation:
    """Everything a method says about a 3D volume, on the volume's own grid."""

    labels: Volume
    """uint8: 0 background, i for the i-th class of the task."""
    probs: Volume
    """float32 (x, y, z, class), background first."""
    uncertainty: Volume
    """float32 in [0, 1]."""
    tag_probs: Float32[np.ndarray, "n cls"]
    """Probability per slice, in the order of ``slices_of``, that it shows each class."""


def segment_volume(
    method: Method,
    volume: Volume,
    *,
    grid: GridConfig,
    inference: InferenceConfig,
    device: torch.device,
    image_labels: Float32[np.ndarray, "n cls"] | None = None,
    name: str = "volume",
) -> Segmentation:
    """Segment one 3D volume; ``image_labels`` rule out absent classes where the tags are known.

    Maps are resized to the native slices before the arg-max, so that labels follow the native grid.
    """
    native_size = _native_size(volume)
    parts = [
        _resized(predict_views(method, images, tags, scales=inference.scales, flip=inference.flip), native_size)
        for images, tags in _batches(volume, grid, image_labels, inference.batch_size, device, name)
    ]
    probs = np.concatenate([part.probs.cpu().numpy() for part in parts])
    return Segmentation(
        labels=reassemble(probs.argmax(axis=1).astype(np.uint8), like=volume),
        probs=reassemble_channels(probs, like=volume),
        uncertainty=reassemble(np.concatenate([part.uncertainty.cpu().numpy() for part in parts]), like=volume),
        tag_probs=np.concatenate([part.tag_probs.cpu().numpy() for part in parts]),
    )


def volume_cams(
    method: Method,
    volume: Volume,
    *,
    grid: GridConfig,
    inference: InferenceConfig,
    device: torch.device,
    image_labels: Float32[np.ndarray, "n cls"] | None = None,
    name: str = "volume",
) -> Volume:
    """Multi-scale class activation maps on the volume's own grid: float32 (x, y, z, foreground class) in [0, 1]."""
    native_size = _native_size(volume)
    parts = [
        native_maps(method.cams(images, tags), native_size).cpu().numpy()
        for images, tags in _batches(volume, grid, image_labels, inference.batch_size, device, name)
    ]
    return reassemble_channels(np.concatenate(parts), like=volume)


def slice_batches(
    volume: Volume, grid: GridConfig, size: int, *, name: str = "volume"
) -> Iterator[Float[Tensor, "b 3 h w"]]:
    """What a network sees of a 3D volume: its slices on the working grid, ``size`` at a time."""
    stack = working_slices(volume, grid, name=name)
    images = torch.from_numpy(np.stack([channels_of(stack, index, grid) for index in range(len(stack))]))
    yield from torch.split(images, size)


@torch.no_grad()
def predict_views(
    method: Method,
    images: Float[Tensor, "b 3 h w"],
    image_labels: Float[Tensor, "b cls"] | None,
    *,
    scales: Sequence[float],
    flip: bool,
) -> Prediction:
    """The mean prediction over image scales and, with ``flip``, their horizontal flips."""
    total: tuple[Tensor, Tensor, Tensor] | None = None  # a running sum: the maps of 81 classes are large
    for view in _views(method, images, image_labels, scales, flip):
        parts = (view.probs, view.uncertainty, view.tag_probs)
        total = parts if total is None else (total[0] + parts[0], total[1] + parts[1], total[2] + parts[2])
    if total is None:
        raise ValueError("scales must name at least one scale")
    views = len(scales) * (2 if flip else 1)
    probs, uncertainty, tag_probs = (summed / views for summed in total)
    return Prediction(probs, uncertainty, tag_probs)


def _views(
    method: Method,
    images: Float[Tensor, "b 3 h w"],
    image_labels: Float[Tensor, "b cls"] | None,
    scales: Sequence[float],
    flip: bool,
) -> Iterator[Prediction]:
    """Predictions at image size and the right way round."""
    for scale in scales:
        scaled = images if scale == 1 else F.interpolate(images, scale_factor=scale, mode="bilinear")
        yield _at_size(method.predict(scaled, image_labels), images)
        if flip:
            yield _at_size(_flipped(method.predict(scaled.flip(-1), image_labels)), images)


def _at_size(prediction: Prediction, images: Float[Tensor, "b 3 h w"]) -> Prediction:
    height, width = images.shape[-2:]
    return _resized(prediction, (height, width))


def _resized(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    return Prediction(
        native_maps(prediction.probs, size),
        native_maps(prediction.uncertainty[:, None], size)[:, 0],
        prediction.tag_probs,
    )


def _flipped(prediction: Prediction) -> Prediction:
    return Prediction(prediction.probs.flip(-1), prediction.uncertainty.flip(-1), prediction.tag_probs)


def _native_size(volume: Volume) -> tuple[int, int]:
    _, rows, columns = slices_of(volume).array.shape
    return rows, columns


def _batches(
    volume: Volume,
    grid: GridConfig,
    image_labels: Float32[np.ndarray, "n cls"] | None,
    size: int,
    device: torch.device,
    name: str,
) -> Iterator[tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b cls"] | None]]:
    """Batches of slices with their tags."""
    for number, images in enumerate(slice_batches(volume, grid, size, name=name)):
        part = slice(number * size, (number + 1) * size)
        tags = None if image_labels is None else torch.from_numpy(image_labels[part]).to(device)
        yield images.to(device), tags
