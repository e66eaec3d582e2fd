"""Uncertainty of a prediction from scaled responses: a pixel whose label flips under scaling deserves less weight."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from medwsss.dtypes import at_least_float32

Refine = Callable[[Tensor], Tensor]


def response_scaling_weights(
    probs: Float[Tensor, "c h w"], *, scales: Sequence[float], refine: Refine | None = None
) -> Float[Tensor, "h w"]:
    """W = 1 − U in [0, 1], U the min-max normalised spread of the labels under response scaling (URN, Eq. 6-10).

    For every class in the arg-max of ``probs``, background included, and every scale s: X_c ← X_c^s, the others as
    they are (Eq. 6); ``refine`` (Eq. 7); arg-max over the present channels (Eq. 8). Eq. 9 prints the variance of label
    indices, which depends on how classes are numbered; built here is the unbiased variance over scales of "this pixel
    is class c", its maximum over classes, and min-max to [0, 1] (Eq. 10). If no label ever flips, W is 1 everywhere.

    Args:
        probs: class probabilities, background first, in [0, 1].
        scales: exponents, > 0, at least two. Few scales give few distinct weights.
        refine: present channels (K, h, w) -> the same shape, such as a dense CRF on the image; None skips it.

    Raises:
        ValueError: ``probs`` is not (C, h, w) floats in [0, 1], or fewer than two or non-positive scales are given.
    """
    if probs.ndim != 3 or not probs.is_floating_point():
        raise ValueError(f"probs must be floats (C, h, w), not {probs.dtype} of shape {tuple(probs.shape)}")
    if not ((probs >= 0) & (probs <= 1 + 1e-4)).all():
        raise ValueError("probs must lie in [0, 1]")
    if len(scales) < 2 or any(not scale > 0 for scale in scales):
        raise ValueError(f"scales must be two or more positive exponents, not {tuple(scales)}")
    wide = at_least_float32("probs", probs)
    present = wide[torch.unique(wide.max(dim=0).indices)]
    variances = [_label_variance(present, channel, scales, refine) for channel in range(len(present))]
    return (1 - _min_max(torch.stack(variances).amax(dim=0))).to(probs.dtype)


def _label_variance(
    probs: Float[Tensor, "k h w"], channel: int, scales: Sequence[float], refine: Refine | None
) -> Float[Tensor, "h w"]:
    """Unbiased variance over scales of the indicator that the arg-max is ``channel``."""
    indicators = []
    for scale in scales:
        scaled = probs.clone()
        scaled[channel] = scaled[channel] ** scale
        refined = scaled if refine is None else refine(scaled)
        indicators.append(refined.max(dim=0).indices == channel)
    return torch.stack(indicators).to(probs.dtype).var(dim=0)


def _min_max(values: Float[Tensor, "h w"], epsilon: float = 1e-6) -> Float[Tensor, "h w"]:
    return (values - values.min()) / (values.max() - values.min() + epsilon)
