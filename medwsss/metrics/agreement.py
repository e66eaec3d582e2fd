"""How well a measurement agrees with a reference over patients (Bland and Altman, Lancet 1986)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from medwsss.metrics.statistics import Interval

_NORMAL_95 = 1.96
Pairs = Float[np.ndarray, "n 2"]


@dataclass(frozen=True)
class Agreement:
    """Of the patients that have both values."""

    bias: Interval
    """Mean of measurement minus reference."""
    lower: Interval
    """Lower limit of agreement, bias − 1.96 sample standard deviations of the difference."""
    upper: Interval
    """Upper limit of agreement."""
    correlation: Interval
    """Pearson's r; undefined where either does not vary."""


def agreement(
    measured: Float[np.ndarray, " n"],
    reference: Float[np.ndarray, " n"],
    *,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Agreement:
    """Bias, limits of agreement and correlation, each with a percentile bootstrap interval over patients.

    Args:
        measured: one value per patient; those that are not finite, or whose reference is not, are left out and counted.
        reference: the same patients.
        generator: draws the resamples, which all four share.
        confidence: of the intervals, in (0, 1).
        resamples: at least 1.
    """
    pairs = np.stack([measured, reference], axis=1).astype(np.float64)
    finite = np.isfinite(pairs).all(axis=1)
    known = pairs[finite]
    drawn = known[generator.integers(len(known), size=(resamples, len(known)))] if len(known) > 1 else None
    tail = (1.0 - confidence) / 2.0

    def interval(statistic: Callable[[Float[np.ndarray, "... n 2"]], Float[np.ndarray, "..."]]) -> Interval:
        estimate = float(statistic(known)) if len(known) else math.nan
        low, high = math.nan, math.nan
        if drawn is not None:
            found = statistic(drawn)
            found = found[np.isfinite(found)]
            if len(found):
                low, high = np.quantile(found, [tail, 1.0 - tail]).tolist()
        return Interval(estimate, low, high, int(finite.sum()), int((~finite).sum()), 0)

    return Agreement(
        bias=interval(_bias),
        lower=interval(lambda pairs: _bias(pairs) - _NORMAL_95 * _deviation(pairs)),
        upper=interval(lambda pairs: _bias(pairs) + _NORMAL_95 * _deviation(pairs)),
        correlation=interval(_correlation),
    )


def _bias(pairs: Float[np.ndarray, "... n 2"]) -> Float[np.ndarray, "..."]:
    return np.asarray((pairs[..., 0] - pairs[..., 1]).mean(axis=-1))


def _deviation(pairs: Float[np.ndarray, "... n 2"]) -> Float[np.ndarray, "..."]:
    """Sample standard deviation of the difference; NaN for one pair."""
    if pairs.shape[-2] < 2:
        return np.full(pairs.shape[:-2], np.nan)
    return np.asarray((pairs[..., 0] - pairs[..., 1]).std(axis=-1, ddof=1))


def _correlation(pairs: Float[np.ndarray, "... n 2"]) -> Float[np.ndarray, "..."]:
    centred = pairs - pairs.mean(axis=-2, keepdims=True)
    products = (centred[..., 0] * centred[..., 1]).sum(axis=-1)
    scale = np.sqrt((centred**2).sum(axis=-2).prod(axis=-1))
    found: Float[np.ndarray, ...] = np.divide(products, scale, out=np.full_like(scale, np.nan), where=scale > 0)
    return found
