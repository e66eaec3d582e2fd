"""Soft Dice of the foreground classes: what keeps a small class from being called background."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from medwsss.dtypes import at_least_float32
from medwsss.losses.segmentation import checked_labels
from medwsss.ranks import over_batch


def soft_dice_loss(
    logits: Float[Tensor, "b k h w"],
    labels: Integer[Tensor, "b h w"],
    *,
    weights: Float[Tensor, "b h w"] | None = None,
    smooth: float = 1.0,
    ignore_index: int = 255,
) -> Float[Tensor, ""]:
    """1 − (2 Σ w p y + s) / (Σ w p + Σ w y + s), averaged over the foreground classes (Milletari et al. 2016, linear).

    The sums run over all pixels of the batch, so that a class which an image lacks costs what is predicted of it and
    no more. A class that is neither predicted nor there costs nothing.

    Args:
        logits: class scores, background first, at the size of the labels.
        labels: 0 background, 1.. classes; ``ignore_index`` is left out.
        weights: what each pixel counts, in [0, 1]; None means 1.
        smooth: s, in pixels.
        ignore_index: label of pixels without supervision.

    Raises:
        ValueError: shapes or dtype do not fit, or labels holds a class that logits does not have.
    """
    labels = checked_labels(labels, logits, ignore_index=ignore_index)
    probs = at_least_float32("logits", logits).softmax(dim=1)
    known = (labels != ignore_index).to(probs)
    counted = (known if weights is None else known * weights.to(probs))[:, None]
    target = F.one_hot(labels.masked_fill(labels == ignore_index, 0), logits.shape[1]).permute(0, 3, 1, 2)
    overlap = over_batch((counted * probs * target).sum(dim=(0, 2, 3)))
    sizes = over_batch((counted * probs).sum(dim=(0, 2, 3)) + (counted * target).sum(dim=(0, 2, 3)))
    dice: Float[Tensor, " k"] = (2.0 * overlap + smooth) / (sizes + smooth)
    return torch.mean(1.0 - dice[1:])
