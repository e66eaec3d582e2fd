"""Seeds of pixels teach class scores of coarse positions where a class is: cine seeds on score maps."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from medwsss.dtypes import as_label_map, at_least_float32


def seed_localisation_loss(
    scores: Float[Tensor, "b cls h w"],
    seeds: Integer[Tensor, "b hi wi"],
    confidence: Float[Tensor, "b hi wi"],
    *,
    ignore_index: int = 255,
) -> Float[Tensor, ""]:
    """Binary cross-entropy of the scores of a position against the share of each class among its labelled pixels.

    A position counts the mean confidence over all of its pixels, where pixels without a seed have none; the mean runs
    over positions and classes. Without any confident pixel the loss is 0, and has a gradient of 0.

    Args:
        scores: of every class before the sigmoid, on a grid coarser than that of the seeds.
        seeds: 0 background, i for the i-th class; ``ignore_index`` takes no part.
        confidence: in [0, 1].
        ignore_index: label of pixels without a seed.

    Raises:
        ValueError: shapes or dtypes do not fit.
    """
    scores, seeds = at_least_float32("scores", scores), as_label_map("seeds", seeds)
    if confidence.shape != seeds.shape or len(seeds) != len(scores):
        raise ValueError(
            f"seeds {tuple(seeds.shape)} and confidence {tuple(confidence.shape)} must be (B,H,W) of the"
            f" {len(scores)} images of scores"
        )
    size = (scores.shape[2], scores.shape[3])
    labelled = (seeds != ignore_index)[:, None].to(scores)
    classes = torch.arange(1, scores.shape[1] + 1, device=seeds.device)[:, None, None]
    members = (seeds[:, None] == classes).to(scores)
    covered = F.adaptive_avg_pool2d(labelled, size)
    shares = F.adaptive_avg_pool2d(members, size) / covered.clamp_min(1e-6)
    weights = F.adaptive_avg_pool2d(labelled * confidence[:, None].to(scores), size)
    position_loss = F.binary_cross_entropy_with_logits(scores, shares, reduction="none").mean(dim=1, keepdim=True)
    return (weights * position_loss).sum() / weights.sum().clamp_min(1e-6)
