"""Contour quality: how much of each boundary has a counterpart nearby (HFPL, after the DAVIS boundary measure)."""

import math

import torch
from jaxtyping import Bool, Float64, Int64, Integer
from torch import Tensor
from torch.nn import functional

from medwsss.dtypes import as_label_map


def contour_counts(
    prediction: Integer[Tensor, "*b h w"],
    reference: Integer[Tensor, "*b h w"],
    *,
    classes: int,
    tolerance: float = 0.008,
) -> Int64[Tensor, "k 4"]:
    """Boundary pixels of every class, matched with those of the other map, summed over images.

    Columns: matched pixels of the reference boundary, matched pixels of the predicted boundary, length of the
    reference boundary, length of the predicted boundary. A pixel matches when the other boundary passes within
    a disk of ceil(``tolerance`` × image diagonal) pixels. Leading axes are images; counts of several calls may be
    added. Labels from ``classes`` up, such as 255, belong to no class.

    Raises:
        ValueError: shapes differ, a map is not of integers or has fewer than two axes, ``classes`` is below 1,
            or ``tolerance`` is outside [0, 1).
    """
    _check(prediction, reference, classes, tolerance)
    height, width = prediction.shape[-2:]
    radius = math.ceil(tolerance * math.hypot(height, width))
    predicted = _boundaries(as_label_map("prediction", prediction).reshape(-1, height, width), classes)
    true = _boundaries(as_label_map("reference", reference).reshape(-1, height, width), classes)
    columns = (
        _matched(true, predicted, radius),
        _matched(predicted, true, radius),
        _lengths(true),
        _lengths(predicted),
    )
    return torch.stack([column.sum(dim=0) for column in columns], dim=1)


def contour_f(counts: Int64[Tensor, "k 4"]) -> Float64[Tensor, " k"]:
    """Boundary F-score per class in [0, 1]: harmonic mean of matched shares, from counts summed over images.

    0 where only one of the maps has the class or no pixel matches; NaN where neither has a boundary.

    Raises:
        ValueError: ``counts`` does not have four columns.
    """
    if counts.ndim != 2 or counts.shape[1] != 4:
        raise ValueError(f"counts must have shape (classes, 4), not {tuple(counts.shape)}")
    matched_true, matched_predicted, true, predicted = counts.cpu().double().unbind(dim=1)
    recall = matched_true / true.clamp(min=1)
    precision = matched_predicted / predicted.clamp(min=1)
    score = 2 * precision * recall / (precision + recall)
    return torch.where(true + predicted > 0, score.nan_to_num(nan=0.0), math.nan)


def mean_contour_f(counts: Int64[Tensor, "k 4"]) -> float:
    """Mean boundary F-score over the classes with a boundary in the reference; NaN when none has one."""
    return float(contour_f(counts)[counts[:, 2].cpu() > 0].mean())


def _boundaries(labels: Int64[Tensor, "n h w"], classes: int) -> Bool[Tensor, "n k h w"]:
    """Pixels whose membership differs from the right, lower or lower-right neighbour; the edge repeats outside."""
    names = torch.arange(classes, device=labels.device)
    inside = labels[:, None] == names[:, None, None]
    right = torch.cat([inside[..., 1:], inside[..., -1:]], dim=-1)
    lower = torch.cat([inside[..., 1:, :], inside[..., -1:, :]], dim=-2)
    diagonal = torch.cat([right[..., 1:, :], right[..., -1:, :]], dim=-2)
    return (inside ^ right) | (inside ^ lower) | (inside ^ diagonal)


def _matched(boundary: Bool[Tensor, "n k h w"], other: Bool[Tensor, "n k h w"], radius: int) -> Int64[Tensor, "n k"]:
    """Pixels of a boundary near the other one, per image and class."""
    counts = torch.zeros(boundary.shape[:2], dtype=torch.int64, device=boundary.device)
    both = (_lengths(boundary) > 0) & (_lengths(other) > 0)  # most classes are in few images
    counts[both] = _lengths(boundary[both] & _dilated(other[both], radius))
    return counts


def _lengths(boundary: Bool[Tensor, "*b h w"]) -> Int64[Tensor, "*b"]:
    return boundary.sum(dim=(-2, -1))


def _dilated(mask: Bool[Tensor, "m h w"], radius: int) -> Bool[Tensor, "m h w"]:
    """Every pixel within ``radius`` of the mask: per row of the disk, whether its stretch holds a mask pixel."""
    height, width = mask.shape[-2:]
    running = functional.pad(mask, (radius + 1, radius, radius, radius)).cumsum(dim=-1, dtype=torch.int32)
    near = torch.zeros_like(mask)
    for offset in range(-radius, radius + 1):
        half = math.isqrt(radius * radius - offset * offset)
        rows = running[:, radius + offset : radius + offset + height]
        start, end = radius - half, radius + half + 1
        near |= rows[..., end : end + width] > rows[..., start : start + width]
    return near


def _check(prediction: Tensor, reference: Tensor, classes: int, tolerance: float) -> None:
    if prediction.shape != reference.shape or prediction.ndim < 2:
        raise ValueError(f"prediction has shape {tuple(prediction.shape)}, reference {tuple(reference.shape)}")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, not {classes}")
    if not 0.0 <= tolerance < 1.0:
        raise ValueError(f"tolerance must be in [0, 1), not {tolerance}")
