"""From class activation maps to label maps: 0 background, 1..M classes, 255 ignore."""

import torch
from jaxtyping import Float, Int, Integer, Shaped
from torch import Tensor

from medwsss.boxes import inside_boxes
from medwsss.cam.maps import keep_tagged
from medwsss.labels import BACKGROUND, IGNORE


def threshold_cams(
    cams: Float[Tensor, "b cls h w"],
    image_labels: Shaped[Tensor, "b cls"],
    *,
    low: float,
    high: float,
    boxes: Integer[Tensor, "b 4"] | None = None,
    ignore_index: int = IGNORE,
) -> Int[Tensor, "b h w"]:
    """Labels for training: the strongest tagged class above ``high``, background up to ``low``, ignored in between.

    Args:
        cams: normalised maps in [0, 1]; where two classes tie, the lower one wins.
        image_labels: multi-hot tags; an image without a tag is background inside its box.
        low: score at or below which a pixel is background.
        high: score at or below which, above ``low``, a pixel is ignored.
        boxes: valid area [top, bottom, left, right) of each image, ignored outside; None means everywhere.
        ignore_index: label of ignored pixels.

    Raises:
        ValueError: shapes do not fit, thresholds are not 0 <= low <= high <= 1, or a box leaves the image.
    """
    if not 0 <= low <= high <= 1:
        raise ValueError(f"low and high must satisfy 0 <= low <= high <= 1, not low={low}, high={high}")
    score, strongest = keep_tagged(cams, image_labels).max(dim=1)
    labels = torch.where(score > high, strongest + 1, ignore_index)
    labels = labels.masked_fill(score <= low, BACKGROUND)
    return labels.masked_fill(~inside_boxes(boxes, labels), ignore_index)


def argmax_cams(
    cams: Float[Tensor, "b cls h w"], image_labels: Shaped[Tensor, "b cls"], *, background: float
) -> Int[Tensor, "b h w"]:
    """Labels for validation: the strongest tagged class above ``background``, else 0; nothing is ignored.

    Raises:
        ValueError: shapes do not fit, or ``background`` is outside [0, 1].
    """
    if not 0 <= background <= 1:
        raise ValueError(f"background must lie in [0, 1], not {background}")
    score, strongest = keep_tagged(cams, image_labels).max(dim=1)
    return torch.where(score > background, strongest + 1, BACKGROUND)
