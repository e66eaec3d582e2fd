"""From a volume to its segmentation: slices on the working grid, averaged views, back to the native grid."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from medwsss.config.data import GridConfig
from medwsss.config.training import InferenceConfig
from medwsss.data.transforms import channels_of, native_maps, working_slices
from medwsss.engine.views import predict_views, resized
from medwsss.methods.method import Predictor
from medwsss.refinement.components import keep_largest_components
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
    method: Predictor,
    volume: Volume,
    *,
    grid: GridConfig,
    inference: InferenceConfig,
    device: torch.device,
    image_labels: Float32[np.ndarray, "n cls"] | None = None,
    name: str = "volume",
) -> Segmentation:
    """Segment one 3D volume; ``image_labels`` rule out absent classes where the tags are known.

    Maps are resized to the native slices before the arg-max, so that labels follow the native grid; the filter by
    components, where it is on, changes labels only.
    """
    native_size = _native_size(volume)
    parts = [
        resized(predict_views(method, images, tags, inference=inference), native_size)
        for images, tags in _batches(volume, grid, image_labels, inference.batch_size, device, name)
    ]
    probs = np.concatenate([part.probs.cpu().numpy() for part in parts])
    labels = probs.argmax(axis=1).astype(np.uint8)
    if inference.largest_components:
        labels = keep_largest_components(labels)
    return Segmentation(
        labels=reassemble(labels, like=volume),
        probs=reassemble_channels(probs, like=volume),
        uncertainty=reassemble(np.concatenate([part.uncertainty.cpu().numpy() for part in parts]), like=volume),
        tag_probs=np.concatenate([part.tag_probs.cpu().numpy() for part in parts]),
    )


def volume_cams(
    method: Predictor,
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
