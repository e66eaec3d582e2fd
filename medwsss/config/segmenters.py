"""Settings of segmentation networks that learn from labels of pixels: stored ones, or cine seeds and what follows."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from medwsss.config.maps import DecoderConfig, PixelLoss
from medwsss.config.section import Count, Fraction, Place, Section
from medwsss.errors import ConfigError


class UNetConfig(Section):
    """MONAI's UNet."""

    channels: Annotated[tuple[Count, ...], Field(min_length=2)] = (32, 64, 128, 256, 512)
    """Width of each level; every level halves the grid."""
    residual_units: Annotated[int, Field(ge=0)] = 2
    """Residual units a level."""


class SegmenterConfig(Section):
    """A network, and how labels of pixels teach it."""

    network: Literal["unet", "vit"] = "unet"
    """MONAI's UNet on all three channels, or the encoder of this configuration with a decoder."""
    unet: UNetConfig = UNetConfig()
    decoder: DecoderConfig = DecoderConfig()
    loss: PixelLoss = "mean"
    """How the labels teach."""


class RetrainConfig(SegmenterConfig):
    """A segmentation network trained on stored pseudo-labels: the second stage of multi-stage methods (URN, Fig. 3)."""

    name: Literal["retrain"] = "retrain"
    pseudo: Place | None = None
    """Folder that ``medwsss pseudo-label`` wrote."""
    weights: Literal["response_scaling", "probability", "none"] = "response_scaling"
    """Weigh pixels by the stored weight maps, by the probability that this network gives their label (URN, Table 5),
    or all alike."""
    threshold: Fraction = 0.05
    """t of URN's Eq. 12: what a pixel counts whose stored weight is at or below it."""


class SeedsConfig(SegmenterConfig):
    """A segmentation network trained on cine seeds alone, from one frame at a time: the plain baseline of the prior."""

    name: Literal["seeds"] = "seeds"
    seeds: Place | None = None
    """Folder that ``medwsss seeds`` wrote for this task; null makes the seeds of the training patients first, in the
    run folder."""
    loss: PixelLoss = "dice"
    weights: Literal["stored", "probability", "none"] = "none"
    """Weigh pixels by the confidence of the seeds, by the probability that this network gives their label, or all
    alike."""


def pseudo_root(config: RetrainConfig) -> Path:
    """The folder that there must be to train.

    Raises:
        ConfigError: none is named.
    """
    if config.pseudo is None:
        raise ConfigError(
            "method retrain needs pseudo-labels to learn from: pass --pseudo DIR or set method.pseudo, see pseudo-label"
        )
    return config.pseudo
