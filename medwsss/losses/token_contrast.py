"""Patch token contrast: tokens of one class alike, tokens of different classes orthogonal (ToCo, CVPR 2023)."""

import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from medwsss.dtypes import as_label_map, at_least_float32
from medwsss.losses.contrastive_affinity import token_pairs
from medwsss.ranks import over_batch


def token_contrast_loss(
    features: Float[Tensor, "b dim h w"], labels: Integer[Tensor, "b h w"], *, ignore_index: int = 255
) -> Float[Tensor, ""]:
    """½(1 − mean |cos| over positive pairs) + ½ mean |cos| over negative pairs (patch token contrast of ToCo).

    Ordered pairs of two different tokens of one image, pooled over the batch; positive: one label, background
    included; negative: two labels. Means divide by the number of pairs + 1, so without any pair the loss is ½ with a
    zero gradient.

    Args:
        features: final tokens Z on their grid.
        labels: class of each token, 0 background; tokens of ``ignore_index`` are out.
        ignore_index: label of tokens that take no part.

    Raises:
        ValueError: shapes do not fit or labels does not hold integers.
    """
    if features.ndim != 4:
        raise ValueError(f"features must be (B,C,H,W), got shape {tuple(features.shape)}")
    if labels.shape != (features.shape[0], *features.shape[2:]):
        raise ValueError(f"labels must be (B,H,W) like features {tuple(features.shape)}, got {tuple(labels.shape)}")
    positive, negative = token_pairs(as_label_map("labels", labels), ignore_index=ignore_index)
    tokens = F.normalize(at_least_float32("features", features).flatten(2), dim=1)
    similarity = (tokens.transpose(1, 2) @ tokens).abs()
    attraction = 1 - over_batch((similarity * positive).sum()) / (over_batch(positive.sum()) + 1)
    repulsion = over_batch((similarity * negative).sum()) / (over_batch(negative.sum()) + 1)
    return 0.5 * attraction + 0.5 * repulsion
