"""Two sets of predictions on the same volumes: is one better, by how much, and how sure is that?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, wilcoxon

from medwsss.metrics.statistics import Interval, bootstrap_interval


@dataclass(frozen=True)
class PairedDifference:
    """Second minus first, of the volumes where both values are finite."""

    first: float
    """Mean over these volumes."""
    second: float
    difference: Interval
    """Mean difference with its 95 % bootstrap interval over patients; pairs that are not finite are counted in it."""
    p_value: float
    """Two-sided Wilcoxon signed-rank test on the mean difference of each patient; NaN where no patient differs."""
    effect: float
    """Matched-pairs rank-biserial correlation of the same: 1 if every patient is higher in the second, −1 if lower."""
    patients: int
    higher: int
    """Patients that are higher in the second."""
    lower: int


def paired_difference(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    patients: Sequence[str],
    *,
    generator: np.random.Generator,
    resamples: int = 2000,
) -> PairedDifference:
    """How the second differs from the first, volume by volume.

    Volumes of one patient are not independent: intervals resample patients, and the test sees one value a patient.

    Args:
        first: one value per volume.
        second: the same volumes.
        patients: of each volume.
        generator: draws the resamples.
        resamples: at least 1.
    """
    both = np.isfinite(first) & np.isfinite(second)
    differences = np.where(both, second - np.where(both, first, 0.0), np.nan)
    means = _per_patient(differences[both], [name for name, known in zip(patients, both, strict=True) if known])
    return PairedDifference(
        first=_mean(first[both]),
        second=_mean(second[both]),
        difference=bootstrap_interval(differences, patients, generator=generator, resamples=resamples),
        p_value=float(wilcoxon(means).pvalue) if np.any(means != 0) else math.nan,
        effect=rank_biserial(means),
        patients=len(means),
        higher=int((means > 0).sum()),
        lower=int((means < 0).sum()),
    )


def rank_biserial(differences: Float[np.ndarray, " n"]) -> float:
    """(R⁺ − R⁻) / (R⁺ + R⁻) of the ranks of absolute differences that are not 0 (Kerby 2014); NaN without any."""
    moved = differences[differences != 0]
    if not len(moved):
        return math.nan
    ranks = rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())


def _per_patient(values: Float[np.ndarray, " n"], patients: Sequence[str]) -> Float[np.ndarray, " p"]:
    """Mean of each patient's values, in the order of their names."""
    names, owner = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    sums = np.bincount(owner, weights=values, minlength=len(names))
    means: Float[np.ndarray, " p"] = sums / np.maximum(np.bincount(owner, minlength=len(names)), 1)
    return means


def _mean(values: Float[np.ndarray, " n"]) -> float:
    return float(values.mean()) if len(values) else math.nan
