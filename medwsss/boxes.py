"""Boxes [top, bottom, left, right): the valid area of an image that was padded."""

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor


def inside_boxes(boxes: Shaped[Tensor, "..."] | None, labels: Shaped[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    """True inside the box of each image, for every pixel of ``labels``; True everywhere without boxes.

    Args:
        boxes: (B, 4), [top, bottom, left, right) in pixels, any integer dtype; None means everywhere.
        labels: maps that give the size and the device; their values do not matter.

    Raises:
        ValueError: ``boxes`` is not integers of shape (B, 4), runs backwards or leaves the image.
    """
    if boxes is None:
        return torch.ones_like(labels, dtype=torch.bool)
    batch, height, width = labels.shape
    if boxes.shape != (batch, 4) or boxes.is_floating_point() or boxes.dtype == torch.bool:
        raise ValueError(f"boxes must be integers of shape ({batch}, 4), not {boxes.dtype} of {tuple(boxes.shape)}")
    top, bottom, left, right = boxes.to(labels.device, torch.int64)[:, :, None, None].unbind(dim=1)
    if not ((top >= 0) & (top <= bottom) & (bottom <= height) & (left >= 0) & (left <= right) & (right <= width)).all():
        raise ValueError(f"boxes must be [top, bottom, left, right) within {height}×{width}, not {boxes.tolist()}")
    rows = torch.arange(height, device=labels.device)[:, None]
    columns = torch.arange(width, device=labels.device)
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
