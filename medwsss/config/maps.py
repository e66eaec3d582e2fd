"""Settings that several methods share: activation maps, their refinement by colour, and the decoder."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medwsss.config.section import Count, Fraction, Scales, Section

PixelLoss = Literal["mean", "balanced", "dice"]
"""Cross-entropy as the mean over pixels (URN, Eq. 13), half background and half foreground (UniA), or the mean over
pixels plus soft Dice of the classes, which keeps small ones from being called background."""


class CamConfig(Section):
    """Class activation maps: how tags teach them, and how they become labels."""

    pooled_fraction: Fraction = 0.0
    """Share of positions whose highest scores are averaged to the logit of a class; 0 takes the single highest, the
    paper's global max pooling. Without pretrained weights a few percent learn faster than the maximum alone."""

    scales: Scales = (1.0, 0.5, 0.75, 1.5)
    """Image scales; each runs with its horizontal flip."""
    background: Fraction = 0.5
    """Score that a class must beat in predictions made from activation maps alone (method ``cam``)."""
    high: Fraction = 0.7
    """Score above which a pixel is foreground."""
    low: Fraction = 0.25
    """Score at or below which a pixel is background; between low and high it is ignored."""

    @model_validator(mode="after")
    def _ordered(self) -> "CamConfig":
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class PixelAdaptiveConfig(Section):
    """Pixel-adaptive refinement by colour and position."""

    dilations: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 4, 8, 12, 24)
    """Distances of the eight neighbours, in pixels of the reduced image."""
    iterations: Count = 10
    downscale: Count = 2
    """Reduction of image and maps before refinement."""


class DecoderConfig(Section):
    """From tokens to class scores of pixels."""

    kind: Literal["large_fov", "skip"] = "large_fov"
    """LargeFOV, the papers' decoder, whose map has the size of the token grid and is enlarged; or, which no paper has,
    tokens enlarged step by step and joined by features of the image, for classes thinner than a token."""
    channels: Count = 512
    """Width of LargeFOV."""
    dilation: Count = 5
    """Of LargeFOV, in tokens."""
    stem_channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (16, 32, 64)
    """Of ``skip``: width of the image's features at full size, half of it, and so on."""
    stem_depth: Count = 1
    """Of ``skip``: convolutions on each level, on the way down and on the way up."""
