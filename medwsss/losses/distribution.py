"""Supervision of the feature distribution N(mean, std²) by a foreground mask, and its regulariser (UniA, Eq. 8-9)."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medwsss.dtypes import at_least_float32
from medwsss.ranks import own_rows


def distribution_loss(
    mean: Float[Tensor, "b dim h w"],
    std: Float[Tensor, "b dim h w"],
    target: Float[Tensor, "b h w"] | Int[Tensor, "b h w"] | Bool[Tensor, "b h w"],
    *,
    samples: int = 50,
    generator: torch.Generator | None = None,
    inside: Bool[Tensor, "b h w"] | None = None,
) -> Float[Tensor, ""]:
    """KL(S_dis ‖ M_bin), in nats, averaged over the batch (UniA, Eq. 9).

    S_dis is the mean of ``samples`` feature maps drawn from N(mean, std²) over samples and channels. Both S_dis and
    the target become distributions over positions by a softmax, so a constant target is the uniform distribution.
    No gradient reaches the target.

    Args:
        mean: μ of every feature.
        std: σ of every feature, >= 0; all zero leaves the mean alone.
        target: M_bin, 1 where the thresholded map shows any class, else 0.
        samples: K, the number of feature maps that are averaged.
        generator: source of the draw.
        inside: positions that both distributions run over, at least one an image; None means everywhere.

    Raises:
        ValueError: shapes do not fit, std is negative, target is not binary, or samples is below 1.
    """
    mean, std = _checked_gaussian(mean, std)
    if target.shape != (mean.shape[0], *mean.shape[2:]):
        raise ValueError(f"target must be (B,H,W) like mean {tuple(mean.shape)}, got {tuple(target.shape)}")
    if ((target != 0) & (target != 1)).any():
        raise ValueError("target must hold only 0 and 1")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    sampled = sampled_channel_mean(mean, std, samples=samples, generator=generator)
    log_sampled = _log_softmax(sampled, inside)
    log_target = _log_softmax(target.detach().to(mean.dtype), inside)
    return (log_sampled.exp() * (log_sampled - log_target)).sum(dim=1).mean()


def _log_softmax(maps: Float[Tensor, "b h w"], inside: Bool[Tensor, "b h w"] | None) -> Float[Tensor, "b n"]:
    """Over positions; those outside have next to no share, and the same finite logarithm in every map."""
    if inside is not None:
        if inside.shape != maps.shape or not inside.flatten(1).any(dim=1).all():
            raise ValueError(f"inside must be {tuple(maps.shape)} with at least one position an image")
        maps = maps.masked_fill(~inside, torch.finfo(maps.dtype).min / 2)
    return maps.flatten(1).log_softmax(dim=1)


def sampled_channel_mean(
    mean: Float[Tensor, "b dim h w"],
    std: Float[Tensor, "b dim h w"],
    *,
    samples: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b h w"]:
    """S_dis: the mean over ``samples`` draws from N(mean, std²) and over channels, from one draw per position.

    A mean of independent Gaussians is Gaussian: S_dis = mean_c μ_c + ε · sqrt(Σ_c σ_c²) / (C sqrt(K)). This has the
    distribution of the K×C maps of UniA's Sec. III-C without holding them.
    """
    device = mean.device if generator is None else generator.device
    noise = own_rows(
        lambda count: torch.randn((count, *mean.shape[2:]), generator=generator, device=device, dtype=mean.dtype),
        len(mean),
    )
    # vector_norm has gradient 0 where every std is 0; the square root of a sum of squares would have NaN.
    total_std: Tensor = torch.linalg.vector_norm(std, dim=1)
    return mean.mean(dim=1) + noise.to(mean.device) * total_std / (mean.shape[1] * math.sqrt(samples))


def gaussian_regulariser(mean: Float[Tensor, "b dim h w"], std: Float[Tensor, "b dim h w"]) -> Float[Tensor, ""]:
    """KL(N(mean, std²) ‖ N(0, 1)) = (μ² + σ² − 1)/2 − log σ, in nats, averaged over all entries (UniA, Sec. III-C).

    A std that underflowed to 0 counts as the smallest positive number, which keeps the value finite.

    Raises:
        ValueError: the shapes differ or std is negative.
    """
    mean, std = _checked_gaussian(mean, std)
    log_std = std.clamp(min=torch.finfo(std.dtype).tiny).log()
    return (0.5 * (mean.square() + std.square() - 1.0) - log_std).mean()


def _checked_gaussian(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    if mean.ndim != 4:
        raise ValueError(f"mean must be (B,C,H,W), got shape {tuple(mean.shape)}")
    if std.shape != mean.shape:
        raise ValueError(f"std must be {tuple(mean.shape)} like mean, got {tuple(std.shape)}")
    if (std < 0).any():  # NaN passes: a diverging run is reported by its loss
        raise ValueError("std must not be negative (it is a standard deviation, not a log variance)")
    return at_least_float32("mean", mean), at_least_float32("std", std)
