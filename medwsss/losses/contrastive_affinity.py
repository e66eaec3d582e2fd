"""Contrast between the affinities of equally and differently labelled token pairs (UniA, Eq. 16)."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from medwsss.dtypes import as_label_map, at_least_float32


def contrastive_affinity_loss(
    affinity: Float[Tensor, "b n n"],
    labels: Integer[Tensor, "b h w"],
    *,
    temperature: float = 0.5,
    negatives: Literal["mean", "sum"] = "mean",
    form: Literal["infonce", "literal"] = "infonce",
    radius: int | None = None,
    ignore_index: int = 255,
) -> Float[Tensor, ""]:
    """Raise the affinity of pairs of one class above that of pairs of different classes (UniA, Eq. 16).

    Ordered pairs (i, j) of two different tokens; positive: one label, background included; negative: two labels.
    With q the affinity of a positive pair and R = e^{q/τ} / (e^{q/τ} + mean or sum over negatives of e^{k/τ}), an
    image's loss is the mean over its positive pairs of −log R (``infonce``) or of −R (``literal``, as printed). Both
    means run within an image, then images are averaged, so a batch is the mean of its images. An image without
    positive or without negative pairs counts as 0, with a zero gradient. Memory is O(B·N²).

    Args:
        affinity: N×N affinities of the N = H·W tokens, row-major.
        labels: class of each token, 0 background; pairs with ``ignore_index`` are out.
        temperature: τ, positive.
        negatives: how the negative pairs enter the denominator; the paper prints a sum. With "mean" and equal
            affinities the InfoNCE form is log 2.
        form: InfoNCE, or Eq. 16 as printed, which has no logarithm and lies in [−1, 0].
        radius: pairs farther apart than this Chebyshev distance in tokens are out; None keeps all.
        ignore_index: label of tokens that take no part.

    Raises:
        ValueError: shapes or dtype do not fit, or an option is out of range.
    """
    _check(affinity, labels, temperature, radius)
    if negatives not in ("mean", "sum"):
        raise ValueError(f'negatives must be "mean" or "sum", got {negatives!r}')
    if form not in ("infonce", "literal"):
        raise ValueError(f'form must be "infonce" or "literal", got {form!r}')
    labels = as_label_map("labels", labels)
    positive, negative = token_pairs(labels, radius=radius, ignore_index=ignore_index)
    logits = at_least_float32("affinity", affinity) / temperature
    log_negatives = _masked_logsumexp(logits, negative)
    if negatives == "mean":
        log_negatives = log_negatives - negative.sum(dim=(1, 2)).clamp(min=1).to(logits.dtype).log()
    margin = logits - log_negatives[:, None, None]  # R = sigmoid(margin)
    pair_loss = F.softplus(-margin) if form == "infonce" else -margin.sigmoid()
    per_image = (pair_loss * positive).sum(dim=(1, 2)) / positive.sum(dim=(1, 2)).clamp(min=1)
    return (per_image * negative.any(dim=2).any(dim=1)).mean()


def token_pairs(
    labels: Integer[Tensor, "b h w"], *, radius: int | None = None, ignore_index: int = 255
) -> tuple[Bool[Tensor, "b n n"], Bool[Tensor, "b n n"]]:
    """Positive (one label) and negative (two labels) ordered pairs; the diagonal, ignored and far pairs are in neither.

    Args:
        labels: class of each token.
        radius: largest Chebyshev distance of a pair, in tokens; None for no limit.
        ignore_index: label of tokens that take no part.
    """
    height, width = labels.shape[1:]
    flat = labels.flatten(1)
    kept = flat != ignore_index
    considered = kept[:, :, None] & kept[:, None, :]
    rows = torch.arange(height, device=labels.device).repeat_interleave(width)
    columns = torch.arange(width, device=labels.device).repeat(height)
    distance = torch.maximum(_pairwise_distance(rows), _pairwise_distance(columns))
    considered &= distance > 0
    if radius is not None:
        considered &= distance <= radius
    same = flat[:, :, None] == flat[:, None, :]
    return considered & same, considered & ~same


def _pairwise_distance(coordinate: Tensor) -> Tensor:
    return (coordinate[:, None] - coordinate[None, :]).abs()


def _masked_logsumexp(logits: Tensor, mask: Tensor) -> Tensor:
    """Per image; where the mask is empty a large negative number, so that neither value nor gradient is NaN."""
    lowest = 0.5 * torch.finfo(logits.dtype).min
    return logits.masked_fill(~mask, lowest).flatten(1).logsumexp(dim=1)


def _check(affinity: Tensor, labels: Tensor, temperature: float, radius: int | None) -> None:
    if labels.ndim != 3:
        raise ValueError(f"labels must be (B,H,W), got shape {tuple(labels.shape)}")
    tokens = labels.shape[1] * labels.shape[2]
    if affinity.shape != (labels.shape[0], tokens, tokens):
        raise ValueError(f"affinity must be ({labels.shape[0]},{tokens},{tokens}), got {tuple(affinity.shape)}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be positive, got {temperature}")
    if radius is not None and radius < 1:
        raise ValueError(f"radius must be at least 1 or None, got {radius}")
