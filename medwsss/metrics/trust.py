"""How well estimates of quality order cases by their true scores."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr


def risk_coverage(
    estimates: Sequence[float], scores: Sequence[float]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Share of the cases that are kept, best estimates first, and the mean score of those (El-Yaniv and Wiener 2010).

    Cases without estimate or score are left out.
    """
    known = [(estimate, score) for estimate, score in zip(estimates, scores, strict=True)
             if math.isfinite(estimate) and math.isfinite(score)]  # fmt: skip
    kept = np.array([score for _, score in sorted(known, key=lambda pair: -pair[0])], dtype=np.float64)
    counts = np.arange(1, len(kept) + 1)
    return counts / max(len(kept), 1), np.cumsum(kept) / counts


def rank_correlation(estimates: Sequence[float], scores: Sequence[float]) -> float:
    """Spearman's rank correlation of the pairs that are finite; NaN for fewer than three, or where one is constant."""
    pairs = np.array([estimates, scores], dtype=np.float64)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    if pairs.shape[1] < 3 or (pairs.min(axis=1) == pairs.max(axis=1)).any():
        return math.nan
    return float(spearmanr(pairs[0], pairs[1]).statistic)
