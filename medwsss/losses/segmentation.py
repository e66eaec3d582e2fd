"""Cross-entropy against pseudo-labels: balanced between background and foreground (UniA), or weighted (URN)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Integer, Shaped
from torch import Tensor

from medwsss.dtypes import as_label_map, at_least_float32
from medwsss.ranks import over_batch


def balanced_cross_entropy(
    logits: Float[Tensor, "b k h w"],
    labels: Integer[Tensor, "b h w"],
    *,
    weights: Float[Tensor, "b h w"] | None = None,
    ignore_index: int = 255,
) -> Float[Tensor, ""]:
    """Half the cross-entropy over background pixels plus half over foreground pixels of the batch (UniA, L_seg).

    Each half is sum / (count + 1e-6), so a batch without background, foreground or both gets 0 for that half. With
    weights the sum is weighted and the count is not, as in Eq. 13 of URN: doubt about labels lowers the loss.

    Args:
        logits: class scores, background first, at the size of the labels.
        labels: 0 background, 1.. classes; ``ignore_index`` is left out.
        weights: what each pixel counts, in [0, 1], such as ``noise_mitigation`` gives; None means 1.
        ignore_index: label of pixels without supervision.

    Raises:
        ValueError: shapes or dtype do not fit, weights leave [0, 1], or labels holds a class that logits does not have.
    """
    labels = checked_labels(labels, logits, ignore_index=ignore_index)
    pixel_loss = F.cross_entropy(
        at_least_float32("logits", logits), labels, ignore_index=ignore_index, reduction="none"
    )
    if weights is not None:
        _check_weights(weights, labels)
        pixel_loss = weights * pixel_loss
    background = labels == 0
    foreground = ~background & (labels != ignore_index)
    halves = [
        over_batch((pixel_loss * region).sum()) / (over_batch(region.sum()) + 1e-6)
        for region in (background, foreground)
    ]
    return 0.5 * (halves[0] + halves[1])


def weighted_cross_entropy(
    logits: Float[Tensor, "b k h w"],
    labels: Integer[Tensor, "b h w"],
    weights: Float[Tensor, "b h w"],
    *,
    threshold: float | None = 0.05,
    ignore_index: int = 255,
) -> Float[Tensor, ""]:
    """Cross-entropy that mitigates noisy labels by response scaling (URN, Eq. 11-13).

    A pixel counts ``threshold`` where its weight is at or below ``threshold``, else 1: 1 is the unweighted loss, 0
    drops the uncertain pixels. The mean runs over all pixels of the maps; ignored ones add 0 but are counted.

    Args:
        logits: class scores, background first, at the size of the labels.
        labels: 0 background, 1.. classes; ``ignore_index`` adds nothing.
        weights: W = 1 − uncertainty, in [0, 1].
        threshold: t, in [0, 1]; None lets a pixel count its weight itself, as ``label_probabilities`` are meant.
        ignore_index: label of pixels without supervision.

    Raises:
        ValueError: shapes or dtype do not fit, weights or threshold leave [0, 1], or labels holds an unknown class.
    """
    labels = checked_labels(labels, logits, ignore_index=ignore_index)
    _check_weights(weights, labels)
    pixel_loss = F.cross_entropy(
        at_least_float32("logits", logits), labels, ignore_index=ignore_index, reduction="none"
    )
    factors = weights if threshold is None else noise_mitigation(weights, threshold=threshold)
    return (factors.to(pixel_loss) * pixel_loss).mean()


def noise_mitigation(weights: Float[Tensor, "*grid"], *, threshold: float) -> Float[Tensor, "*grid"]:
    """Y, what each pixel counts: ``threshold`` where its weight W is at or below ``threshold``, else 1 (URN, Eq. 12).

    Raises:
        ValueError: threshold leaves [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1], got {threshold}")
    return torch.ones_like(weights).masked_fill(weights <= threshold, threshold)


@torch.no_grad()
def label_probabilities(
    logits: Float[Tensor, "b k h w"], labels: Integer[Tensor, "b h w"], *, ignore_index: int = 255
) -> Float[Tensor, "b h w"]:
    """What each pixel counts where probability is the weight: that of its own label, in [0, 1] (URN, Table 5).

    The paper detaches the prediction and applies softmax, and does not say which of the probabilities it takes. Built
    is that of the label whose cross-entropy is weighted (M_c of Eq. 13), used as it is: Eq. 12 belongs to W = 1 − U.
    No gradient flows through it, and ignored pixels get 1.

    Raises:
        ValueError: shapes or dtype do not fit, or labels holds a class that logits does not have.
    """
    labels = checked_labels(labels, logits, ignore_index=ignore_index)
    wide = at_least_float32("logits", logits)
    return (-F.cross_entropy(wide, labels, ignore_index=ignore_index, reduction="none")).exp()


def checked_labels(
    labels: Shaped[Tensor, "..."], logits: Shaped[Tensor, "..."], *, ignore_index: int
) -> Int64[Tensor, "b h w"]:
    """The label map as int64, after a check that it can supervise class scores of the same size.

    Raises:
        ValueError: logits is not (B,K,H,W), labels is not integers (B,H,W), or it holds a class outside 0..K-1.
    """
    if logits.ndim != 4:
        raise ValueError(f"logits must be (B,K,H,W), got shape {tuple(logits.shape)}")
    if labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(f"labels must be (B,H,W) like logits {tuple(logits.shape)}, got {tuple(labels.shape)}")
    labels = as_label_map("labels", labels)
    known = (labels >= 0) & (labels < logits.shape[1]) | (labels == ignore_index)
    if not known.all():
        raise ValueError(f"labels must be in 0..{logits.shape[1] - 1} or {ignore_index}")
    return labels


def _check_weights(weights: Tensor, labels: Tensor) -> None:
    if weights.shape != labels.shape or not weights.is_floating_point():
        raise ValueError(f"weights must be floats {tuple(labels.shape)}, got {weights.dtype} {tuple(weights.shape)}")
    if not ((weights >= 0) & (weights <= 1)).all():
        raise ValueError("weights must be in [0, 1]")
