"""Feature similarity loss: map contours follow colour edges (HFPL, Eq. 9-13)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from medwsss.dtypes import at_least_float32

KERNEL_ENTRIES = 2**18
"""Pair weights held at a time over the whole batch, 1 MiB in float32."""
EPSILON = 1e-5
"""Added to both sides of the odds of Eq. 12, as the authors do."""


def feature_similarity_loss(
    images: Float[Tensor, "b 3 h w"], maps: Float[Tensor, "b k h w"], *, mu: float = 2.5, sigma: float = 5.0
) -> Float[Tensor, ""]:
    """−1/(hw) · Σ_ij w_ij g(r_i, r_j) f(δ_ij) over all pairs of pixels, averaged over the batch (HFPL, Eq. 9).

    w is the spatial Gaussian (Eq. 10), g = ½|r_i − r_j|² (Eq. 11), f = tanh(μ + log odds of δ) (Eq. 12) and δ the mean
    absolute difference of the colours (Eq. 13). The gradient runs through g only. The sum over pairs is taken as
    Σ_i r_i · (W1 ∘ r − W r)_i in row chunks, so that memory grows with hw and the backward pass costs nothing.

    Args:
        images: colours in [0, 1], at the size of the maps.
        maps: normalised class maps r, with or without a background map.
        mu: offset of the log odds; the larger, the smaller the colour difference that counts as an edge.
        sigma: spatial bandwidth, in pixels of the maps.

    Raises:
        ValueError: shapes do not fit, images leave [0, 1], or sigma is not positive.
    """
    _check(images, maps, sigma)
    flat = at_least_float32("maps", maps).flatten(2).mT
    with torch.no_grad():
        # g does not see a constant; taking the mean out keeps flat maps exactly at 0.
        centre = flat.mean(dim=1, keepdim=True)
        laplacian = _pair_laplacian(images.to(flat.dtype), flat - centre, mu, sigma)
    batch, pixels, _ = flat.shape
    energy = ((flat - centre) * laplacian).sum()
    # Value −energy, but gradient −2 · laplacian: the maps stand at both ends of each pair.
    return (energy.detach() - 2 * energy) / (batch * pixels)


def _pair_laplacian(
    images: Float[Tensor, "b 3 h w"], maps: Float[Tensor, "b n k"], mu: float, sigma: float
) -> Float[Tensor, "b n k"]:
    """Σ_j w_ij f_ij (r_i − r_j) for every pixel i."""
    batch, pixels, _ = maps.shape
    height, width = images.shape[2:]
    colours = images.flatten(2).mT.contiguous()
    vertical, horizontal = (_gaussian_table(length, sigma, images) for length in (height, width))
    with_one = torch.cat([maps, torch.ones_like(maps[:, :, :1])], dim=2)
    filtered = []
    every = torch.arange(pixels, device=maps.device)
    for chunk in torch.split(every, max(1, KERNEL_ENTRIES // (batch * pixels))):
        rows, columns = vertical[chunk // width], horizontal[chunk % width]
        spatial = (rows[:, :, None] * columns[:, None, :]).flatten(1)
        filtered.append((spatial * _dissimilarity(colours[:, chunk], colours, mu)) @ with_one)
    product = torch.cat(filtered, dim=1)
    return product[:, :, -1:] * maps - product[:, :, :-1]


def _gaussian_table(length: int, sigma: float, like: Tensor) -> Float[Tensor, "n n"]:
    """One axis of Eq. 10; the product of two tables is the normalised Gaussian."""
    position = torch.arange(length, device=like.device, dtype=like.dtype)
    exponent = -0.5 * ((position[:, None] - position[None, :]) / sigma).square()
    # Nothing beside 1 at e^-40, and the product of two such numbers stays clear of slow denormal arithmetic.
    return exponent.clamp(min=-40.0).exp() / math.sqrt(2 * math.pi * sigma**2)


def _dissimilarity(
    colours: Float[Tensor, "b r 3"], others: Float[Tensor, "b n 3"], mu: float
) -> Float[Tensor, "b r n"]:
    """f(δ) of Eq. 12-13, in [−1, 1]: negative for alike colours, positive across an edge."""
    delta = (torch.cdist(colours, others, p=1) / 3).clamp_(0, 1)
    odds = (delta + EPSILON) / (1 - delta + EPSILON)
    return odds.log_().add_(mu).tanh_()


def _check(images: Tensor, maps: Tensor, sigma: float) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(f"images must be floats (B,3,h,w), got {images.dtype} of shape {tuple(images.shape)}")
    if maps.ndim != 4 or maps.shape[0] != images.shape[0] or maps.shape[2:] != images.shape[2:]:
        raise ValueError(f"maps must be (B,K,h,w) like images {tuple(images.shape)}, got {tuple(maps.shape)}")
    if not ((images >= -1e-3) & (images <= 1 + 1e-3)).all():  # a rounding error beyond [0, 1] does no harm
        raise ValueError("images must be in [0, 1]")
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
