"""Uncertainty of a prediction from scaled responses: a pixel whose label flips under scaling deserves less weight."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import accumulate

import torch
from jaxtyping import Float, Int
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
    counts = _counts_on_top(present, scales) if refine is None else _refined_counts(present, scales, refine)
    total = len(scales)
    # Unbiased variance of an indicator that is 1 at n of S scales; integers, so that equal counts give equal weights.
    spread = reduce(torch.maximum, (count * (total - count) for count in counts))
    return (1 - _min_max(spread.to(wide.dtype) / (total * (total - 1)))).to(probs.dtype)


def _counts_on_top(probs: Float[Tensor, "k h w"], scales: Sequence[float]) -> Iterator[Int[Tensor, "h w"]]:
    """For every channel, at how many scales it is the arg-max.

    Only one channel changes at a time, so it is enough to compare it with the highest channel before it, which wins a
    tie, and the highest after it, which does not.
    """
    floor = torch.full_like(probs[0], -1.0)
    before = [floor, *accumulate(probs[:-1], torch.maximum)]
    after = [floor, *accumulate(reversed(probs[1:]), torch.maximum)]
    for channel, above, beside in zip(probs, before, reversed(after), strict=True):
        count = torch.zeros_like(channel, dtype=torch.int64)
        for scale in scales:
            scaled = channel**scale
            count += (scaled > above) & (scaled >= beside)
        yield count


def _refined_counts(
    probs: Float[Tensor, "k h w"], scales: Sequence[float], refine: Refine
) -> Iterator[Int[Tensor, "h w"]]:
    """For every channel, at how many scales it is the arg-max of the refined responses."""
    for channel in range(len(probs)):
        count = torch.zeros_like(probs[0], dtype=torch.int64)
        for scale in scales:
            scaled = probs.clone()
            scaled[channel] **= scale
            count += refine(scaled).max(dim=0).indices == channel
        yield count


def _min_max(values: Float[Tensor, "h w"], epsilon: float = 1e-6) -> Float[Tensor, "h w"]:
    return (values - values.min()) / (values.max() - values.min() + epsilon)
