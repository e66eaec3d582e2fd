"""Feature similarity loss: map contours follow colour edges (HFPL, Eq. 9-13)."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medwsss.dtypes import at_least_float32

ENTRIES = 2**18
"""Pair weights held at a time over the whole batch, 1 MiB in float32."""
REACH = 5.5
"""Rows farther apart, in sigmas, do not act on each other: the Gaussian is below 3e-7 of its peak there."""
EPSILON = 1e-5
"""Added to both sides of the odds of Eq. 12, as the authors do."""


def feature_similarity_loss(
    images: Float[Tensor, "b 3 h w"],
    maps: Float[Tensor, "b k h w"],
    *,
    mu: float = 2.5,
    sigma: float = 5.0,
    inside: Bool[Tensor, "b h w"] | None = None,
) -> Float[Tensor, ""]:
    """−1/(hw) · Σ_ij w_ij g(r_i, r_j) f(δ_ij) over all pairs of pixels, averaged over the batch (HFPL, Eq. 9).

    w is the spatial Gaussian (Eq. 10), g = ½|r_i − r_j|² (Eq. 11), f = tanh(μ + log odds of δ) (Eq. 12) and δ the mean
    absolute difference of the colours (Eq. 13). The gradient runs through g only. The sum over pairs is taken as
    Σ_i r_i · (W1 ∘ r − W r)_i between two rows at a time, so that memory grows with hw and the backward pass costs
    nothing. Pairs count once for both of their orders, and not at all beyond the reach of the Gaussian.

    Args:
        images: colours in [0, 1], at the size of the maps.
        maps: normalised class maps r, with or without a background map.
        mu: offset of the log odds; the larger, the smaller the colour difference that counts as an edge.
        sigma: spatial bandwidth, in pixels of the maps.
        inside: pixels that take part, and whose number is hw; None means all. An image without any adds 0.

    Raises:
        ValueError: shapes do not fit, images leave [0, 1], or sigma is not positive.
    """
    _check(images, maps, sigma, inside)
    maps = at_least_float32("maps", maps)
    valid = torch.ones_like(maps[:, :1]) if inside is None else inside[:, None].to(maps)
    pixels = valid.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    with torch.no_grad():
        # g does not see a constant; taking the mean out keeps flat maps exactly at 0.
        centre = (maps * valid).sum(dim=(2, 3), keepdim=True) / pixels
        laplacian = _pair_laplacian(images.to(maps.dtype), (maps - centre) * valid, valid, mu, sigma)
    energy = ((maps - centre) * laplacian / pixels).sum() / len(maps)
    # Value −energy, but gradient −2 · laplacian: the maps stand at both ends of each pair.
    return energy.detach() - 2 * energy


def _pair_laplacian(
    images: Float[Tensor, "b 3 h w"],
    maps: Float[Tensor, "b k h w"],
    valid: Float[Tensor, "b 1 h w"],
    mu: float,
    sigma: float,
) -> Float[Tensor, "b k h w"]:
    """Σ_j w_ij f_ij (r_i − r_j) for every valid pixel i over the valid pixels j; 0 elsewhere, where maps must be 0."""
    # In a grey image one channel says as much as the mean of three.
    grey = bool((images == images[:, :1]).all())
    colours = images[:, :1].clamp(0, 1) if grey else images.clamp(0, 1) / 3
    colours, stacked = (x.permute(2, 0, 1, 3).contiguous() for x in (colours, torch.cat([maps, valid], dim=1)))
    filtered = _pair_sums(colours, stacked, mu, sigma).permute(1, 2, 0, 3)
    return valid * (filtered[:, -1:] * maps - filtered[:, :-1])


def _pair_sums(
    colours: Float[Tensor, "h b c w"], maps: Float[Tensor, "h b k w"], mu: float, sigma: float
) -> Float[Tensor, "h b k w"]:
    """Σ_j w_ij f_ij r_j for every pixel i, from all pairs of rows within reach of each other."""
    height, batch, _, width = maps.shape
    vertical, horizontal = (_gaussian_table(length, sigma, maps) for length in (height, width))
    rows = max(1, ENTRIES // (batch * width**2))
    total = torch.zeros_like(maps)
    for distance in range(int(min(height, REACH * sigma + 1))):
        spatial = vertical[0, distance] * horizontal
        for top in range(0, height - distance, rows):
            bottom = min(top + rows, height - distance)
            upper, lower = slice(top, bottom), slice(top + distance, bottom + distance)
            weights = _pair_weights(colours[upper], colours[lower], spatial, mu)
            total[upper] += maps[lower] @ weights.mT
            if distance > 0:
                total[lower] += maps[upper] @ weights
    return total


def _pair_weights(
    colours: Float[Tensor, "r b c w"], others: Float[Tensor, "r b c w"], spatial: Float[Tensor, "w w"], mu: float
) -> Float[Tensor, "r b w w"]:
    """w f(δ) of Eq. 10-13 between the pixels of two rows: negative for alike colours, positive across an edge.

    tanh(μ + log odds) is 1 − 2 / (1 + (e^μ odds)²), which needs no transcendental function.
    """
    deltas = ((colours[:, :, c, :, None] - others[:, :, c, None]).abs_() for c in range(colours.shape[2]))
    delta = next(deltas)
    for channel in deltas:
        delta += channel
    delta += EPSILON
    odds = delta.div_(1 + 2 * EPSILON - delta)
    return torch.addcdiv(spatial, spatial, odds.square_().mul_(math.exp(2 * mu)).add_(1), value=-2)


def _gaussian_table(length: int, sigma: float, like: Tensor) -> Float[Tensor, "n n"]:
    """One axis of Eq. 10; the product of two tables is the normalised Gaussian."""
    position = torch.arange(length, device=like.device, dtype=like.dtype)
    exponent = -0.5 * ((position[:, None] - position[None, :]) / sigma).square()
    # Nothing beside 1 at e^-40, and the product of two such numbers stays clear of slow denormal arithmetic.
    return exponent.clamp(min=-40.0).exp() / math.sqrt(2 * math.pi * sigma**2)


def _check(images: Tensor, maps: Tensor, sigma: float, inside: Tensor | None) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(f"images must be floats (B,3,h,w), got {images.dtype} of shape {tuple(images.shape)}")
    if maps.ndim != 4 or maps.shape[0] != images.shape[0] or maps.shape[2:] != images.shape[2:]:
        raise ValueError(f"maps must be (B,K,h,w) like images {tuple(images.shape)}, got {tuple(maps.shape)}")
    if not ((images >= -1e-3) & (images <= 1 + 1e-3)).all():  # a rounding error beyond [0, 1] does no harm
        raise ValueError("images must be in [0, 1]")
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    if inside is not None and inside.shape != (maps.shape[0], *maps.shape[2:]):
        raise ValueError(f"inside must be (B,h,w) like maps {tuple(maps.shape)}, got {tuple(inside.shape)}")
