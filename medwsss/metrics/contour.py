"""Contour quality: how much of each boundary has a counterpart nearby (HFPL, after the DAVIS boundary measure)."""

import math
from collections.abc import Mapping

import numpy as np
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
    added. Labels from ``classes`` up, such as 255, belong to no class. On the CPU the work grows with the length of
    the boundaries; on another device all pixels of all classes are looked at, side by side.

    Raises:
        ValueError: shapes differ, a map is not of integers or has fewer than two axes, ``classes`` is below 1,
            or ``tolerance`` is outside [0, 1).
    """
    _check(prediction.shape, reference.shape, classes, tolerance)
    height, width = prediction.shape[-2:]
    predicted = as_label_map("prediction", prediction).reshape(-1, height, width)
    true = as_label_map("reference", reference).reshape(-1, height, width)
    radius = _radius(height, width, tolerance)
    if prediction.device.type != "cpu":
        return _dense_counts(predicted, true, classes, radius)
    counts = np.zeros((classes, 4), dtype=np.int64)
    for one, other in zip(predicted.numpy(), true.numpy(), strict=True):
        counts += _sparse_counts(one, other, classes, radius)
    return torch.from_numpy(counts)


def contour_counts_of_arrays(
    prediction: Integer[np.ndarray, "h w"],
    reference: Integer[np.ndarray, "h w"],
    *,
    classes: int,
    tolerance: float = 0.008,
) -> Int64[np.ndarray, "k 4"]:
    """``contour_counts`` of one image without torch, for worker processes that read label images.

    Raises:
        ValueError: as ``contour_counts``.
    """
    _check(prediction.shape, reference.shape, classes, tolerance)
    height, width = prediction.shape
    return _sparse_counts(prediction, reference, classes, _radius(height, width, tolerance))


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


# --- Boundary pixels alone, for a CPU --------------------------------------------------------------------------------


def _sparse_counts(
    prediction: Integer[np.ndarray, "h w"], reference: Integer[np.ndarray, "h w"], classes: int, radius: int
) -> Int64[np.ndarray, "k 4"]:
    """Counts of one image. Positions are those on a canvas with a margin, so that no neighbour falls off it."""
    height, width = prediction.shape
    stride = width + 2 * radius
    canvas = np.zeros((height + 2 * radius) * stride, dtype=np.bool_)
    offsets = _disk(radius, stride)
    predicted, true = (_boundary_places(labels, classes, radius) for labels in (prediction, reference))
    counts = np.zeros((classes, 4), dtype=np.int64)
    for label in predicted.keys() & true.keys():
        counts[label, 0] = _near(true[label], predicted[label], offsets, canvas)
        counts[label, 1] = _near(predicted[label], true[label], offsets, canvas)
    for column, boundaries in ((2, true), (3, predicted)):
        for label, places in boundaries.items():
            counts[label, column] = places.size
    return counts


def _boundary_places(
    labels: Integer[np.ndarray, "h w"], classes: int, margin: int
) -> Mapping[int, Int64[np.ndarray, " _"]]:
    """Where each class has its boundary, as ``_boundaries`` defines it: a pixel may belong to that of several."""
    if labels.size == 0:
        return {}
    width = labels.shape[1]
    grid = np.pad(labels, ((0, 1), (0, 1)), mode="edge")
    beside = (grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:])
    differs = np.logical_or.reduce([labels != neighbour for neighbour in beside])
    rows, columns = np.divmod(np.flatnonzero(differs), width)
    involved = np.stack([labels[rows, columns], *(neighbour[rows, columns] for neighbour in beside)])
    places = (rows + margin) * (width + 2 * margin) + columns + margin
    return {
        label: places[(involved == label).any(axis=0)] for label in np.unique(involved).tolist() if 0 <= label < classes
    }


def _near(
    places: Int64[np.ndarray, " _"],
    others: Int64[np.ndarray, " _"],
    offsets: Int64[np.ndarray, " _"],
    canvas: Bool[np.ndarray, " _"],
) -> int:
    """How many places have one of the others at one of the offsets; the canvas is empty before and after."""
    canvas[others] = True
    alone = places
    for offset in offsets:
        alone = alone[~canvas[alone + offset]]  # those that have found one are not asked again
        if not alone.size:
            break
    canvas[others] = False
    return places.size - alone.size


def _disk(radius: int, stride: int) -> Int64[np.ndarray, " _"]:
    """Offsets of the pixels of a disk on a canvas with ``stride`` columns, nearest first."""
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1)
    squared = rows**2 + columns**2
    order = np.argsort(squared, kind="stable")
    inside = order[squared[order] <= radius * radius]
    return np.asarray(rows[inside] * stride + columns[inside])


def _radius(height: int, width: int, tolerance: float) -> int:
    return math.ceil(tolerance * math.hypot(height, width))


# --- All pixels at once, for a GPU -----------------------------------------------------------------------------------


def _dense_counts(
    prediction: Int64[Tensor, "n h w"], reference: Int64[Tensor, "n h w"], classes: int, radius: int
) -> Int64[Tensor, "k 4"]:
    names = torch.unique(torch.stack([prediction, reference]))
    names = names[(names >= 0) & (names < classes)]  # most classes are in few images
    predicted, true = _boundaries(prediction, names), _boundaries(reference, names)
    columns = (
        _matched(true, predicted, radius),
        _matched(predicted, true, radius),
        _lengths(true),
        _lengths(predicted),
    )
    found = torch.stack([column.sum(dim=0) for column in columns], dim=1)
    return found.new_zeros(classes, 4).index_copy_(0, names, found)


def _boundaries(labels: Int64[Tensor, "n h w"], names: Int64[Tensor, " k"]) -> Bool[Tensor, "n k h w"]:
    """Pixels whose membership differs from the right, lower or lower-right neighbour; the edge repeats outside."""
    inside = labels[:, None] == names[:, None, None]
    right = torch.cat([inside[..., 1:], inside[..., -1:]], dim=-1)
    lower = torch.cat([inside[..., 1:, :], inside[..., -1:, :]], dim=-2)
    diagonal = torch.cat([right[..., 1:, :], right[..., -1:, :]], dim=-2)
    return (inside ^ right) | (inside ^ lower) | (inside ^ diagonal)


def _matched(boundary: Bool[Tensor, "n k h w"], other: Bool[Tensor, "n k h w"], radius: int) -> Int64[Tensor, "n k"]:
    """Pixels of a boundary near the other one, per image and class."""
    counts = torch.zeros(boundary.shape[:2], dtype=torch.int64, device=boundary.device)
    both = (_lengths(boundary) > 0) & (_lengths(other) > 0)
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


def _check(prediction: tuple[int, ...], reference: tuple[int, ...], classes: int, tolerance: float) -> None:
    if prediction != reference or len(prediction) < 2:
        raise ValueError(f"prediction has shape {tuple(prediction)}, reference {tuple(reference)}")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, not {classes}")
    if not 0.0 <= tolerance < 1.0:
        raise ValueError(f"tolerance must be in [0, 1), not {tolerance}")
