"""What an evaluation of label images found, as plain values: the engine fills them, the reports print them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from medwsss.labels import LabelSet

BACKGROUND_NAME = "background"
CONTOUR_F = "contour_f"
PIXEL_METRICS = ("iou", "precision", "recall", "confusion_ratio", "false_positive_rate", "false_negative_rate")
IMAGE_METRICS = (*PIXEL_METRICS, CONTOUR_F)


@dataclass(frozen=True)
class ImageSources:
    """Which label images were compared, and which had no partner."""

    predictions: str
    references: str
    part: str | None = None
    """Name of the list whose images were compared, all of them; None when names decided."""
    unmatched_predictions: tuple[str, ...] = ()
    """Images with a prediction that were not compared: no reference, or not in the list."""
    unmatched_references: tuple[str, ...] = ()
    """Images with a reference and no prediction, as far as the references can be listed."""


@dataclass(frozen=True)
class ImageSummary:
    """Means over a group of classes, from counts summed over all images; NaN where nothing could enter."""

    occurring: int
    """Classes of the group that occur in the reference."""
    iou: float
    """Mean over the classes that occur (mIoU; J of HFPL)."""
    precision: float
    """Mean over the classes that occur and are predicted somewhere."""
    recall: float
    """Mean over the classes that occur, like both rates: with ``iou`` the rates sum to 1."""
    false_positive_rate: float
    false_negative_rate: float
    confusion_ratio: float
    """FP / TP, mean over the classes where it is finite."""
    pooled_confusion_ratio: float
    """Sum of FP over sum of TP."""
    finite_ratios: int
    infinite_ratios: int
    """Classes that were predicted and never rightly."""
    undefined_ratios: int
    """Classes that were never predicted."""
    undefined_precisions: int
    """Classes that occur and were never predicted."""
    contour_f: float | None
    """Mean over the classes with a boundary in the reference; None when contours were not measured."""

    @property
    def j_and_f(self) -> float | None:
        """(J + F) / 2, as HFPL has it."""
        return None if self.contour_f is None else (self.iou + self.contour_f) / 2


@dataclass(frozen=True, eq=False)
class ImageEvaluation:
    """Everything a report prints. Classes are rows: background first, then those of the label set."""

    labels: LabelSet
    matrix: Int64[np.ndarray, "k k"]
    """Pixels by reference (rows) and prediction (columns), summed over images; 255 in either is left out."""
    undecided: Int64[np.ndarray, " k"]
    """Pixels left out because the prediction says 255, by their class in the reference."""
    contours: Int64[np.ndarray, "k 4"] | None
    """``contour.contour_counts`` summed over images; None when not measured."""
    per_class: Mapping[str, Float64[np.ndarray, " k"]]
    """Metric of ``IMAGE_METRICS`` -> a value per class, NaN or infinite as ``confusion.ClassScores`` defines it.

    Without contours it has no ``CONTOUR_F``.
    """
    with_background: ImageSummary
    without_background: ImageSummary
    images: int
    sources: ImageSources
    device: str
    """Where the pixels were counted."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Background and the classes of the label set: the rows."""
        return (BACKGROUND_NAME, *self.labels.names)

    @property
    def pixels(self) -> int:
        """Pixels whose class the reference knows."""
        return int(self.matrix.sum()) + int(self.undecided.sum())

    @property
    def undecided_share(self) -> float:
        """Of those, the share where the prediction says 255; NaN without pixels."""
        return int(self.undecided.sum()) / self.pixels if self.pixels else float("nan")

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes that no counted pixel of the reference has: they enter no mean but that of the confusion ratio."""
        found = self.matrix.sum(axis=1).tolist()
        return tuple(name for name, count in zip(self.class_names, found, strict=True) if not count)

    @property
    def false_positives(self) -> Int64[np.ndarray, " k"]:
        """FP per class."""
        return np.asarray(self.matrix.sum(axis=0) - self.matrix.diagonal())

    @property
    def false_negatives(self) -> Int64[np.ndarray, " k"]:
        """FN per class."""
        return np.asarray(self.matrix.sum(axis=1) - self.matrix.diagonal())
