"""From counts and per-case values to means with intervals; each aggregation has one function and one name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from medwsss.metrics.confusion import ClassScores, class_scores
from medwsss.metrics.results import MEAN_OF_CLASSES, OVERLAP_METRICS, Scores
from medwsss.metrics.statistics import Interval, bootstrap_interval

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn; every interval starts from the same seed, so it does not depend on the others."""

    resamples: int = 2000
    seed: int = 0

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def interval(self, values: Float[np.ndarray, " n"], patients: Sequence[str]) -> Interval:
        """Mean of the finite values with its 95 % interval over patients."""
        return bootstrap_interval(values, patients, generator=self.generator(), resamples=self.resamples)


def overlap_scores(matrix: Int64[Tensor, "k k"]) -> Mapping[str, Float[np.ndarray, " cls"]]:
    """Overlap metrics of the foreground classes from one confusion matrix.

    Raises:
        RuntimeError: confusion ratio and Dice contradict each other (FP/TP ≤ 2/Dice − 2 holds for counts of one set).
    """
    scores = class_scores(matrix)
    _check_consistency(scores)
    return {metric: getattr(scores, metric)[1:].numpy() for metric in OVERLAP_METRICS}


def mean_scores(
    frame: pd.DataFrame, classes: Sequence[str], metrics: Sequence[str], *, bootstrap: Bootstrap
) -> dict[str, dict[str, Interval]]:
    """Mean over the rows of each class, rows being volumes or slices; columns case, patient, class and ``metrics``.

    With several classes ``MEAN_OF_CLASSES`` is added: the mean over the classes of a volume (infinite if one is,
    undefined classes left out), then over volumes.
    """
    parts = {name: frame[frame["class"] == name] for name in classes}
    if len(classes) > 1:
        keys = ["case", "patient", *(["slice"] if "slice" in frame else [])]
        parts[MEAN_OF_CLASSES] = frame.groupby(keys, sort=False)[list(metrics)].mean().reset_index()
    return {
        name: {
            metric: bootstrap.interval(part[metric].to_numpy(dtype=np.float64), part["patient"].tolist())
            for metric in metrics
        }
        for name, part in parts.items()
    }


def pooled_scores(
    matrices: Int64[Tensor, "n k k"], patients: Sequence[str], classes: Sequence[str], *, bootstrap: Bootstrap
) -> Scores:
    """Overlap metrics of the summed counts; the mean of classes is over those that occur in the reference."""
    by_patient = _sums_by_patient(matrices, patients)
    estimate = _pooled_values(by_patient.sum(dim=0))
    drawn = bootstrap.generator().integers(len(by_patient), size=(bootstrap.resamples, len(by_patient)))
    resampled = np.stack([_pooled_values(by_patient[rows].sum(dim=0)) for rows in torch.from_numpy(drawn)])
    names = (*classes, MEAN_OF_CLASSES)[: estimate.shape[0] if len(classes) > 1 else 1]
    return {
        name: {
            metric: _pooled_interval(
                float(estimate[row, column]), resampled[:, row, column], len(patients), len(by_patient)
            )
            for column, metric in enumerate(OVERLAP_METRICS)
        }
        for row, name in enumerate(names)
    }


def _sums_by_patient(matrices: Int64[Tensor, "n k k"], patients: Sequence[str]) -> Int64[Tensor, "p k k"]:
    names, owner = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    sums = torch.zeros(len(names), *matrices.shape[1:], dtype=matrices.dtype)
    return sums.index_add(0, torch.from_numpy(owner), matrices)


def _pooled_values(matrix: Int64[Tensor, "k k"]) -> Float[np.ndarray, "rows metrics"]:
    """Classes down and their mean below, metrics across."""
    values = np.stack(list(overlap_scores(matrix).values()), axis=1)
    occurs = matrix.sum(dim=1)[1:].numpy() > 0
    mean = values[occurs].mean(axis=0) if occurs.any() else np.full(values.shape[1], np.nan)
    return np.concatenate([values, mean[None]])


def _pooled_interval(estimate: float, resampled: Float[np.ndarray, " r"], volumes: int, patients: int) -> Interval:
    defined = resampled[~np.isnan(resampled)]
    low, high = np.nan, np.nan
    if patients > 1 and len(defined):
        low, high = np.quantile(defined, [0.025, 0.975], method="inverted_cdf").tolist()  # infinite values stay apart
    undefined, infinite = int(np.isnan(estimate)), int(np.isinf(estimate))
    return Interval(estimate, low, high, 0 if undefined or infinite else volumes, undefined, infinite)


def _check_consistency(scores: ClassScores) -> None:
    bound = 2.0 / scores.dice - 2.0
    if bool((scores.confusion_ratio > bound * (1.0 + _ROUNDING) + _ROUNDING).any()):
        raise RuntimeError("confusion ratio exceeds 2/Dice - 2: these numbers do not come from the same counts")
