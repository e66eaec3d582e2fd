"""Reconstruction of hidden patches: the target of each, and the error where it counts."""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from medwsss.ranks import over_batch


@dataclass(frozen=True)
class PatchStatistics:
    """Mean and standard deviation of each patch, repeated over its pixels."""

    mean: Float[Tensor, "b c h w"]
    deviation: Float[Tensor, "b c h w"]


def patch_statistics(
    images: Float[Tensor, "b c h w"], patch_size: int, *, least_deviation: float = 0.0
) -> PatchStatistics:
    """Statistics over the pixels of a patch, in each channel; the deviation is at least ``least_deviation``.

    The paper takes all channels of a patch together, which is the same where a slice is repeated in all of them.

    Raises:
        ValueError: a side is no multiple of ``patch_size``.
    """
    if any(side % patch_size for side in images.shape[-2:]):
        raise ValueError(f"sides {tuple(images.shape[-2:])} must be multiples of the patch of {patch_size} pixels")
    mean = F.avg_pool2d(images, patch_size)
    variance = (F.avg_pool2d(images.square(), patch_size) - mean.square()).clamp_min(0.0)
    deviation = variance.sqrt().clamp_min(max(least_deviation, 1e-6))
    return PatchStatistics(_repeated(mean, patch_size), _repeated(deviation, patch_size))


def reconstruction_loss(
    predicted: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], counted: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Mean absolute error over the pixels that count (SimMIM, Eq. 1); 0 where none does."""
    error = (predicted - target).abs().mean(dim=1)
    return over_batch((error * counted).sum()) / over_batch(counted.sum()).clamp_min(1)


def _repeated(maps: Float[Tensor, "b c h w"], times: int) -> Float[Tensor, "b c hp wp"]:
    return maps.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)
