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
    predicted, true = as_label_map("prediction", prediction), as_label_map("reference", reference)
    kept = (predicted != ignore_index) & (true != ignore_index)
    row, column = true[kept], predicted[kept]
    for name, label in (("prediction", column), ("reference", row)):
        if label.numel() and not (label.min() >= 0 and label.max() < classes):
            raise ValueError(f"{name} holds labels outside 0..{classes - 1} that are not {ignore_index}")
    return torch.bincount(row * classes + column, minlength=classes * classes).view(classes, classes)


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
