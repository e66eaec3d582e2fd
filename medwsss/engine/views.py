"""Test-time augmentation: the mean prediction over scales, flips and rotations of the same images."""

import math
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from medwsss.cam.multi_scale import magnified
from medwsss.config.training import InferenceConfig
from medwsss.data.transforms import native_maps
from medwsss.methods.method import Prediction, Predictor


@torch.no_grad()
def predict_views(
    method: Predictor,
    images: Float[Tensor, "b 3 h w"],
    image_labels: Float[Tensor, "b cls"] | None,
    inference: InferenceConfig,
) -> Prediction:
    """The mean prediction over all combinations of scale and rotation, each with its flip if that is on."""
    total: tuple[Tensor, Tensor, Tensor] | None = None  # a running sum: the maps of 81 classes are large
    views = list(product(inference.scales, inference.rotations, (False, True) if inference.flip else (False,)))
    for scale, degrees, flip in views:
        view = _view(method, images, image_labels, scale=scale, degrees=degrees, flip=flip)
        parts = (view.probs, view.uncertainty, view.tag_probs)
        total = parts if total is None else (total[0] + parts[0], total[1] + parts[1], total[2] + parts[2])
    assert total is not None  # the configuration holds a scale and a rotation
    probs, uncertainty, tag_probs = (summed / len(views) for summed in total)
    return Prediction(probs, uncertainty, tag_probs)


def resized(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    """The maps of a prediction resized bilinearly; probabilities still sum to 1."""
    return Prediction(
        native_maps(prediction.probs, size),
        native_maps(prediction.uncertainty[:, None], size)[:, 0],
        prediction.tag_probs,
    )


def rotated(maps: Float[Tensor, "b c h w"], degrees: float, *, padding: str) -> Float[Tensor, "b c h w"]:
    """Maps turned about their centre, bilinearly, pixels being square; 0 changes nothing.

    Args:
        maps: images, or maps of them.
        degrees: counter-clockwise where rows count downwards.
        padding: what comes in from outside, ``zeros`` or ``border``, the nearest pixel.
    """
    if degrees == 0:
        return maps
    height, width = maps.shape[-2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # grid coordinates run from -1 to 1 along each side, so the aspect ratio comes in where they mix
    matrix = maps.new_tensor([[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]])
    grid = F.affine_grid(matrix.expand(len(maps), 2, 3), list(maps.shape), align_corners=False)
    return F.grid_sample(maps, grid, padding_mode=padding, align_corners=False)


def _view(
    method: Predictor,
    images: Float[Tensor, "b 3 h w"],
    image_labels: Float[Tensor, "b cls"] | None,
    *,
    scale: float,
    degrees: float,
    flip: bool,
) -> Prediction:
    """What a method says of changed images, at their own size and the right way round."""
    scaled = images if scale == 1 else magnified(images, scale)
    turned = rotated(scaled, degrees, padding="zeros")
    found = _flipped(method.predict(turned.flip(-1), image_labels)) if flip else method.predict(turned, image_labels)
    upright = Prediction(
        rotated(found.probs, -degrees, padding="border"),
        rotated(found.uncertainty[:, None], -degrees, padding="border")[:, 0],
        found.tag_probs,
    )
    height, width = images.shape[-2:]
    return resized(upright, (height, width))


def _flipped(prediction: Prediction) -> Prediction:
    return Prediction(prediction.probs.flip(-1), prediction.uncertainty.flip(-1), prediction.tag_probs)
