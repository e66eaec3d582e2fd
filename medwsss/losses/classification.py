"""Multi-label classification from image-level labels (UniA, Eq. 1)."""

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def multi_label_loss(
    logits: Float[Tensor, "b cls"], image_labels: Float[Tensor, "b cls"] | Int[Tensor, "b cls"] | Bool[Tensor, "b cls"]
) -> Float[Tensor, ""]:
    """Multi-label soft margin loss: binary cross-entropy of each class, averaged over classes and batch (UniA, Eq. 1).

    Args:
        logits: pooled class scores before the sigmoid.
        image_labels: multi-hot, 1 where the image shows the class.

    Raises:
        ValueError: the shapes differ, or image_labels holds something other than 0 and 1.
    """
    if logits.ndim != 2:
        raise ValueError(f"logits must be (B,M), got shape {tuple(logits.shape)}")
    if image_labels.shape != logits.shape:
        raise ValueError(f"image_labels must be {tuple(logits.shape)} like logits, got {tuple(image_labels.shape)}")
    if ((image_labels != 0) & (image_labels != 1)).any():
        raise ValueError("image_labels must hold only 0 and 1")
    return F.binary_cross_entropy_with_logits(logits, image_labels.to(logits.dtype))
