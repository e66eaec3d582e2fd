"""A decoder that sees the image again; not of any paper, made for classes thinner than a token."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """3×3 convolutions, each with group normalisation, which no other image of the batch enters, and GELU."""

    def __init__(self, channels_in: int, channels: int, *, stride: int = 1, depth: int = 1) -> None:
        """The first of ``depth`` convolutions takes ``stride``."""
        layers: list[nn.Module] = []
        for index in range(depth):
            width, step = (channels_in, stride) if index == 0 else (channels, 1)
            layers += [
                nn.Conv2d(width, channels, kernel_size=3, stride=step, padding=1, bias=False),
                nn.GroupNorm(_groups(channels), channels),
                nn.GELU(),
            ]
        super().__init__(*layers)


class SkipDecoder(nn.Module):
    """Tokens say what, a small convolutional stem on the image says where exactly.

    The stem has one level per entry of ``stem_channels``, each half the size of the one before. From the coarsest
    level to the finest, the tokens' features are enlarged bilinearly, joined by those of the stem, and convolved.
    """

    def __init__(self, dim: int, num_classes: int, *, stem_channels: tuple[int, ...], stem_depth: int = 1) -> None:
        """``num_classes`` counts the background; ``stem_depth`` convolutions a level, down and up."""
        super().__init__()
        before = (3, *stem_channels[:-1])
        self.stem = nn.ModuleList(
            ConvBlock(channels_in, channels, stride=1 if level == 0 else 2, depth=stem_depth)
            for level, (channels_in, channels) in enumerate(zip(before, stem_channels, strict=True))
        )
        coarse_to_fine = stem_channels[::-1]
        self.project = nn.Conv2d(dim, coarse_to_fine[0], kernel_size=1)
        self.joins = nn.ModuleList(
            ConvBlock(above + channels, channels, depth=stem_depth)
            for above, channels in zip((coarse_to_fine[0], *coarse_to_fine[:-1]), coarse_to_fine, strict=True)
        )
        self.classify = nn.Conv2d(coarse_to_fine[-1], num_classes, kernel_size=1)

    def forward(
        self, tokens: Float[Tensor, "b dim h w"], images: Float[Tensor, "b 3 hi wi"]
    ) -> Float[Tensor, "b k hi wi"]:
        """Logits of pixels; images in [0, 1], of any size."""
        levels, features = [], images
        for block in self.stem:
            features = block(features)
            levels.append(features)
        joined: Tensor = self.project(tokens)
        for join, level in zip(self.joins, reversed(levels), strict=True):
            enlarged = F.interpolate(joined, size=level.shape[-2:], mode="bilinear", align_corners=False)
            joined = join(torch.cat([enlarged, level], dim=1))
        logits: Tensor = self.classify(joined)
        return logits


def _groups(channels: int) -> int:
    """Eight channels a group, where they divide evenly."""
    return channels // 8 if channels % 8 == 0 else 1
