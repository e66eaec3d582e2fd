"""How sure a mean is: intervals from resampled patients, since images of one patient are not independent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Interval:
    """A mean over the finite values, its interval, and what could not enter it."""

    estimate: float
    """NaN when no value is finite."""
    low: float
    """NaN, like ``high``, when fewer than two patients have a finite value."""
    high: float
    n: int
    """Finite values."""
    undefined: int
    """Values that are NaN."""
    infinite: int


def bootstrap_interval(
    values: Float[np.ndarray, " n"],
    patients: Sequence[str],
    *,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Mean of the finite values with a percentile bootstrap interval over patients.

    ``patients`` names the patient of each value. A resample draws as many patients as there are, with replacement, and
    takes all values of each.

    Raises:
        ValueError: lengths differ, ``confidence`` is outside (0, 1) or ``resamples`` is below 1.
    """
    if values.ndim != 1 or len(values) != len(patients):
        raise ValueError(f"patients must name one patient a value: {len(patients)} for values of shape {values.shape}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), not {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    finite = np.isfinite(values)
    sums, counts = _per_patient(values, patients, finite)
    low, high = math.nan, math.nan
    if len(sums) > 1:
        drawn = generator.integers(len(sums), size=(resamples, len(sums)))
        means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        tail = (1.0 - confidence) / 2.0
        low, high = np.quantile(means, [tail, 1.0 - tail]).tolist()
    estimate = float(values[finite].mean()) if finite.any() else math.nan
    undefined, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    return Interval(estimate, low, high, int(finite.sum()), undefined, infinite)


def _per_patient(
    values: Float[np.ndarray, " n"], patients: Sequence[str], finite: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Sum and number of finite values of each patient who has any."""
    names, owner = np.unique(np.asarray(patients, dtype=str)[finite], return_inverse=True)
    sums = np.bincount(owner, weights=values[finite], minlength=len(names))
    counts = np.bincount(owner, minlength=len(names))
    return sums.astype(np.float64), counts.astype(np.float64)
