"""Uncertainty inference network: tokens as a Gaussian, deviation as uncertainty, soft masking (UniA, III-C)."""

import math
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medwsss.config.unia import UncertaintyConfig


@dataclass(frozen=True)
class Gaussian:
    """Mean and standard deviation of every feature at every position."""

    mean: Float[Tensor, "b dim h w"]
    std: Float[Tensor, "b dim h w"]
    """Positive."""

    @property
    def uncertainty(self) -> Float[Tensor, "b dim h w"]:
        """The deviation scaled to [0, 1] per image."""
        return scaled_deviation(self.std)


class CrossAttention(nn.Module):
    """Single-head scaled dot-product attention from one set of positions to another."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)

    def forward(
        self, queries: Float[Tensor, "b dim h w"], sources: Float[Tensor, "b dim hs ws"]
    ) -> Float[Tensor, "b dim h w"]:
        """Softmax(QKᵀ/√dim)·V; the division stands inside the exponential (Eq. 5 prints it outside, a slip)."""
        q = queries.flatten(2).transpose(1, 2)
        kv = sources.flatten(2).transpose(1, 2)
        attended = F.scaled_dot_product_attention(self.query(q), self.key(kv), self.value(kv))
        return attended.transpose(1, 2).reshape(queries.shape)


class ParameterBranch(nn.Module):
    """One parameter of the Gaussian as channel part + spatial part (Eq. 3-6)."""

    def __init__(self, dim: int, config: UncertaintyConfig) -> None:
        super().__init__()
        self.window = config.window
        self.channel = nn.Conv2d(dim, dim, kernel_size=1, groups=dim) if config.channel_attention else None
        self.spatial = CrossAttention(dim) if config.spatial_attention else None

    def forward(self, tokens: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b dim h w"]:
        parts: list[Tensor] = []
        if self.channel is not None:
            parts.append(self.channel(tokens))
        if self.spatial is not None:
            parts.append(self.spatial(tokens, window_prototypes(tokens, window=self.window)))
        return reduce(torch.add, parts)


class UncertaintyNetwork(nn.Module):
    """Two branches for mean and deviation, and the attention that masks ambiguous features softly (Eq. 3-7, 10)."""

    def __init__(self, dim: int, config: UncertaintyConfig) -> None:
        super().__init__()
        self.residual = config.residual
        self.mean = ParameterBranch(dim, config)
        self.std = ParameterBranch(dim, config)
        self.masking = CrossAttention(dim)

    def forward(self, tokens: Float[Tensor, "b dim h w"]) -> Gaussian:
        """The distribution of the tokens."""
        return Gaussian(self.mean(tokens), self.deviation(tokens))

    def deviation(self, tokens: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b dim h w"]:
        """σ alone, which softplus keeps positive: all that masking needs."""
        return F.softplus(self.std(tokens))

    def masked(self, tokens: Float[Tensor, "b dim h w"], std: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b dim h w"]:
        """Z_f: attention from Z to Z_c = (1 − U) ⊙ Z (Eq. 10), with the residual the configuration may ask for."""
        certain = (1.0 - scaled_deviation(std)) * tokens
        attended: Tensor = self.masking(tokens, certain)
        return attended + tokens if self.residual else attended


def scaled_deviation(std: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b dim h w"]:
    """U: the deviation scaled to [0, 1] per image (Eq. 7)."""
    low = std.amin(dim=(1, 2, 3), keepdim=True)
    high = std.amax(dim=(1, 2, 3), keepdim=True)
    return (std - low) / (high - low).clamp_min(1e-6)


def window_prototypes(tokens: Float[Tensor, "b dim h w"], *, window: int) -> Float[Tensor, "b dim hw ww"]:
    """The maximum of every non-overlapping window (Eq. 4); windows at the border may be smaller."""
    height, width = tokens.shape[-2:]
    bottom, right = math.ceil(height / window) * window - height, math.ceil(width / window) * window - width
    padded = F.pad(tokens, (0, right, 0, bottom), value=-math.inf)
    return F.max_pool2d(padded, kernel_size=window)
