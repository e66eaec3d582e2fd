"""From a volume to its segmentation: slices on the working grid, averaged views, back to the native grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from medwsss.config.schema import GridConfig, InferenceConfig
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
    cams: Volume
    """float32 (x, y, z, foreground class) in [0, 1]."""
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
    stack = working_slices(volume, grid, name=name)
    images = torch.from_numpy(np.stack([channels_of(stack, index, grid) for index in range(len(stack))]))
    tags = None if image_labels is None else torch.from_numpy(image_labels)
    native_size = slices_of(volume).array.shape[1:]
    parts = [
        _native_prediction(
            predict_views(
                method,
                images[batch].to(device),
                None if tags is None else tags[batch].to(device),
                scales=inference.scales,
                flip=inference.flip,
            ),
            (native_size[0], native_size[1]),
        )
        for batch in _batches(len(images), inference.batch_size)
    ]
    probs = np.concatenate([part.probs.cpu().numpy() for part in parts])
    return Segmentation(
        labels=reassemble(probs.argmax(axis=1).astype(np.uint8), like=volume),
        probs=reassemble_channels(probs, like=volume),
        cams=reassemble_channels(np.concatenate([part.cams.cpu().numpy() for part in parts]), like=volume),
        uncertainty=reassemble(np.concatenate([part.uncertainty.cpu().numpy() for part in parts]), like=volume),
        tag_probs=np.concatenate([part.tag_probs.cpu().numpy() for part in parts]),
    )


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
    views: list[Prediction] = []
    for scale in scales:
        scaled = images if scale == 1 else F.interpolate(images, scale_factor=scale, mode="bilinear")
        views.append(_at_size(method.predict(scaled, image_labels), images))
        if flip:
            views.append(_at_size(_flipped(method.predict(scaled.flip(-1), image_labels)), images))
    return Prediction(
        torch.stack([view.probs for view in views]).mean(dim=0),
        torch.stack([view.cams for view in views]).mean(dim=0),
        torch.stack([view.uncertainty for view in views]).mean(dim=0),
        torch.stack([view.tag_probs for view in views]).mean(dim=0),
    )


def _at_size(prediction: Prediction, images: Float[Tensor, "b 3 h w"]) -> Prediction:
    height, width = images.shape[-2:]
    return _native_prediction(prediction, (height, width))


def _native_prediction(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    return Prediction(
        native_maps(prediction.probs, size),
        native_maps(prediction.cams, size),
        native_maps(prediction.uncertainty[:, None], size)[:, 0],
        prediction.tag_probs,
    )


def _flipped(prediction: Prediction) -> Prediction:
    return Prediction(
        prediction.probs.flip(-1), prediction.cams.flip(-1), prediction.uncertainty.flip(-1), prediction.tag_probs
    )


def _batches(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
