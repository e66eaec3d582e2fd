"""Class scores from one confusion matrix: counts add up over images, volumes and processes (see methods, section 5)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64, Integer
from torch import Tensor

from medwsss.dtypes import as_label_map
from medwsss.labels import IGNORE


@dataclass(frozen=True)
class ClassScores:
    """Scores per class, as fractions; NaN where a score has no denominator.

    With T and P the pixels of a class in reference and prediction, and U = TP + FP + FN their union.
    """

    iou: Float64[Tensor, " k"]
    """TP / U."""
    dice: Float64[Tensor, " k"]
    """2 TP / (T + P)."""
    precision: Float64[Tensor, " k"]
    """TP / P; NaN for a class that is never predicted."""
    recall: Float64[Tensor, " k"]
    """TP / T; NaN for a class that does not occur in the reference."""
    confusion_ratio: Float64[Tensor, " k"]
    """FP / TP; infinite where only FP occurs, NaN where neither does. Tied to Dice: at most 2 / Dice - 2."""
    false_positive_rate: Float64[Tensor, " k"]
    """FP / U (USAGE, Eq. 4: T + FP = U); with the next one and IoU it sums to 1."""
    false_negative_rate: Float64[Tensor, " k"]
    """FN / U (USAGE, Eq. 4: P + FN = U)."""
    reference_count: Int64[Tensor, " k"]
    """T."""

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur in the reference; NaN when none does."""
        return float(self.iou[self.reference_count > 0].mean())


def confusion_matrix(
    prediction: Integer[Tensor, "*grid"],
    reference: Integer[Tensor, "*grid"],
    *,
    classes: int,
    ignore_index: int = IGNORE,
) -> Int64[Tensor, "k k"]:
    """Count pixels by reference class (rows) and predicted class (columns), on the device of the label maps.

    Pixels where either map says ``ignore_index`` are left out. Matrices of several images may be summed.

    Raises:
        ValueError: shapes differ, a map is not of integers, ``classes`` is below 1, or a label is neither in
            [0, classes) nor ``ignore_index``.
    """
    _check_maps(prediction, reference, classes)
    return _counted(prediction[None], reference[None], classes, ignore_index)[0]


def confusion_matrices(
    prediction: Integer[Tensor, "n h w"],
    reference: Integer[Tensor, "n h w"],
    *,
    classes: int,
    ignore_index: int = IGNORE,
) -> Int64[Tensor, "n k k"]:
    """``confusion_matrix`` of each slice of a volume, in one pass.

    Raises:
        ValueError: as ``confusion_matrix``.
    """
    return _counted(prediction, reference, classes, ignore_index)


def _counted(prediction: Tensor, reference: Tensor, classes: int, ignore_index: int) -> Int64[Tensor, "n k k"]:
    """A matrix for each map along the first axis."""
    _check_maps(prediction, reference, classes)
    predicted, true = _as_wide_as_needed("prediction", prediction), _as_wide_as_needed("reference", reference)
    kept = (predicted != ignore_index) & (true != ignore_index)
    for name, label in (("prediction", predicted), ("reference", true)):
        if not ((label >= 0) & (label < classes) | ~kept).all():
            raise ValueError(f"{name} holds labels outside 0..{classes - 1} that are not {ignore_index}")
    maps, cells = len(prediction), classes * classes
    first = cells * torch.arange(maps, dtype=torch.int32, device=reference.device)
    pairs = true * classes + predicted + first.view(-1, *(1,) * (true.ndim - 1))
    codes = torch.where(kept, pairs, maps * cells)  # the last bin takes what is left out
    counts: Tensor = torch.bincount(codes.flatten(), minlength=maps * cells + 1)[:-1]
    return counts.view(maps, classes, classes)


def _as_wide_as_needed(name: str, labels: Tensor) -> Tensor:
    """Label maps of few bits in 32 of them, in which counting takes half the time."""
    return labels.int() if labels.dtype in (torch.uint8, torch.int8, torch.int16) else as_label_map(name, labels)


def class_scores(matrix: Integer[Tensor, "k k"]) -> ClassScores:
    """Scores of every class from a confusion matrix with the reference in rows, in float64 on the CPU.

    Raises:
        ValueError: the matrix is not square, not of integers, or has negative counts.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must be square, not {tuple(matrix.shape)}")
    if matrix.is_floating_point() or bool((matrix < 0).any()):
        raise ValueError("matrix must hold counts: integers from 0")
    counts = matrix.cpu().double()  # 0/0 is NaN and x/0 is infinite there, as the scores define
    hit = counts.diagonal()
    reference, predicted = counts.sum(dim=1), counts.sum(dim=0)
    false_positive, false_negative = predicted - hit, reference - hit
    union = hit + false_positive + false_negative
    return ClassScores(
        iou=hit / union,
        dice=2 * hit / (reference + predicted),
        precision=hit / predicted,
        recall=hit / reference,
        confusion_ratio=false_positive / hit,
        false_positive_rate=false_positive / union,
        false_negative_rate=false_negative / union,
        reference_count=reference.long(),
    )


def _check_maps(prediction: Tensor, reference: Tensor, classes: int) -> None:
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction has shape {tuple(prediction.shape)}, reference {tuple(reference.shape)}")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, not {classes}")
