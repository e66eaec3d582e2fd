"""Cross-entropy against pseudo-labels: balanced between background and foreground (UniA), or weighted (URN)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def balanced_cross_entropy(
    logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"], *, ignore_index: int = 255
) -> Float[Tensor, ""]:
    """Half the cross-entropy over background pixels plus half over foreground pixels of the batch (UniA, L_seg).

    Each half is sum / (count + 1e-6), so a batch without background, foreground or both gets 0 for that half.

    Args:
        logits: class scores, background first, at the size of the labels.
        labels: 0 background, 1.. classes; ``ignore_index`` is left out.
        ignore_index: label of pixels without supervision.

    Raises:
        ValueError: shapes or dtype do not fit, or labels holds a class that logits does not have.
    """
    check_labels(labels, logits, ignore_index=ignore_index)
    pixel_loss = F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction="none")
    background = labels == 0
    foreground = ~background & (labels != ignore_index)
    halves = [(pixel_loss * region).sum() / (region.sum() + 1e-6) for region in (background, foreground)]
    return 0.5 * (halves[0] + halves[1])


def weighted_cross_entropy(
    logits: Float[Tensor, "b k h w"],
    labels: Int[Tensor, "b h w"],
    weights: Float[Tensor, "b h w"],
    *,
    threshold: float | int = 0.05,
    ignore_index: int = 255,
) -> Float[Tensor, ""]:
    """Cross-entropy that mitigates noisy labels by response scaling (URN, Eq. 11-13).

    A pixel counts ``threshold`` where its weight is at or below ``threshold``, else 1: 1 is the unweighted loss, 0
    drops the uncertain pixels. The mean runs over all pixels of the maps; ignored ones add 0 but are counted.

    Args:
        logits: class scores, background first, at the size of the labels.
        labels: 0 background, 1.. classes; ``ignore_index`` adds nothing.
        weights: W = 1 − uncertainty, in [0, 1].
        threshold: t, in [0, 1].
        ignore_index: label of pixels without supervision.

    Raises:
        ValueError: shapes or dtype do not fit, weights or threshold leave [0, 1], or labels holds an unknown class.
    """
    check_labels(labels, logits, ignore_index=ignore_index)
    if weights.shape != labels.shape:
        raise ValueError(f"weights must be {tuple(labels.shape)} like labels, got {tuple(weights.shape)}")
    if not ((weights >= 0) & (weights <= 1)).all():
        raise ValueError("weights must be in [0, 1]")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1], got {threshold}")
    pixel_loss = F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction="none")
    factor = torch.ones_like(pixel_loss).masked_fill(weights <= threshold, threshold)
    return (factor * pixel_loss).mean()


def check_labels(labels: Tensor, logits: Tensor, *, ignore_index: int) -> None:
    """Check that a label map can supervise class scores of the same size.

    Raises:
        ValueError: logits is not (B,K,H,W), labels is not int64 (B,H,W), or it holds a class outside 0..K-1.
    """
    if logits.ndim != 4:
        raise ValueError(f"logits must be (B,K,H,W), got shape {tuple(logits.shape)}")
    if labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(f"labels must be (B,H,W) like logits {tuple(logits.shape)}, got {tuple(labels.shape)}")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64, got {labels.dtype}")
    known = (labels >= 0) & (labels < logits.shape[1]) | (labels == ignore_index)
    if not known.all():
        raise ValueError(f"labels must be in 0..{logits.shape[1] - 1} or {ignore_index}")
