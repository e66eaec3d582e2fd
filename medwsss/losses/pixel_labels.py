"""How labels of pixels teach a segmentation network: the three losses that methods choose between, by name."""

from jaxtyping import Float, Integer
from torch import Tensor

from medwsss.config.maps import PixelLoss
from medwsss.losses.segmentation import balanced_cross_entropy, weighted_cross_entropy
from medwsss.losses.soft_dice import soft_dice_loss


def pixel_label_loss(
    logits: Float[Tensor, "b k h w"],
    labels: Integer[Tensor, "b h w"],
    weights: Float[Tensor, "b h w"],
    *,
    kind: PixelLoss,
) -> Float[Tensor, ""]:
    """Cross-entropy as the mean over pixels (URN, Eq. 13), balanced (UniA, L_seg), or the mean plus soft Dice.

    Args:
        logits: class scores, background first, at the size of the labels.
        labels: 0 background, 1.. classes; 255 is left out.
        weights: what each pixel counts, in [0, 1].
        kind: which.

    Raises:
        ValueError: shapes or dtype do not fit, weights leave [0, 1], or labels holds a class that logits does not have.
    """
    match kind:
        case "balanced":
            return balanced_cross_entropy(logits, labels, weights=weights)
        case "mean":
            return weighted_cross_entropy(logits, labels, weights, threshold=None)
        case "dice":
            overlap = soft_dice_loss(logits, labels, weights=weights)
            return overlap + weighted_cross_entropy(logits, labels, weights, threshold=None)
