"""Settings of the other methods, and the choice among all of them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from medwsss.config.maps import CamConfig, DecoderConfig, PixelAdaptiveConfig
from medwsss.config.section import Count, Fraction, Positive, Section, Weight
from medwsss.config.unia import UniAConfig
from medwsss.errors import ConfigError


class CamBaselineConfig(Section):
    """Plain class activation maps: encoder, global max pooling, pixel-adaptive refinement (Table IV, first row)."""

    name: Literal["cam"] = "cam"
    cam: CamConfig = CamConfig()
    pixel_adaptive: PixelAdaptiveConfig = PixelAdaptiveConfig()


class UsageConfig(Section):
    """USAGE: seed areas with controlled activation shape and a self-adaptive teacher (USAGE, Eq. 5-9).

    Tables 1 and 5 to 8 are ``temperature``, the rates, ``schedule``, ``mapping`` and ``regularisation_weight``.
    """

    name: Literal["usage"] = "usage"
    cam: CamConfig = CamConfig()
    pixel_adaptive: PixelAdaptiveConfig = PixelAdaptiveConfig()
    mapping: Literal["controlled", "gap"] = "controlled"
    """How activations become a class score: Eq. 8, or global average pooling, the CAM of Table 8."""
    temperature: Positive = 1.0
    """τ1 of Eq. 8: 1 sharpens for transformers, 50 smooths for CNNs."""
    background: float = 1.0
    """Constant activation of the background channel in Eq. 7; the paper gives no value."""
    regularisation_weight: Weight = 0.25
    """λ of Eq. 5; 0 switches the teacher off, and all rates below with it."""
    regularisation_temperature: Positive = 0.1
    """τ2 of Eq. 9."""
    teacher_decay: Fraction = 0.99
    """Decay of the teacher's moving average, and of that of the classification score."""
    schedule: Literal["self_adaptive", "linear", "fixed"] = "self_adaptive"
    """How the student's adjustment grows (Table 7): with the classification score, with time, or not at all."""
    teacher_drop_path: Fraction = 0.05
    """γ_t."""
    student_drop_path: tuple[Fraction, Fraction] = (0.05, 0.15)
    """γ_s at the start and at most."""
    student_dropout: tuple[Fraction, Fraction] = (0.0, 0.01)
    """δ_s at the start and at most."""

    @model_validator(mode="after")
    def _rates_fit(self) -> "UsageConfig":
        for name in ("student_drop_path", "student_dropout"):
            start, largest = getattr(self, name)
            if not start <= largest < 1:
                raise ValueError(f"{name} ({start}, {largest}) must grow and stay below 1")
        if self.teacher_drop_path >= 1:
            raise ValueError("teacher_drop_path must be below 1")
        if self.cam.pooled_fraction > 0:
            raise ValueError(
                "cam.pooled_fraction has no effect here: temperature and mapping say how scores are pooled"
            )
        return self


class UNetConfig(Section):
    """MONAI's UNet."""

    channels: Annotated[tuple[Count, ...], Field(min_length=2)] = (32, 64, 128, 256, 512)
    """Width of each level; every level halves the grid."""
    residual_units: Annotated[int, Field(ge=0)] = 2
    """Residual units a level."""


class RetrainConfig(Section):
    """A segmentation network trained on stored pseudo-labels: the second stage of multi-stage methods (URN, Fig. 3)."""

    name: Literal["retrain"] = "retrain"
    pseudo: Path | None = None
    """Folder that ``medwsss pseudo-label`` wrote."""
    network: Literal["unet", "vit"] = "unet"
    """MONAI's UNet on all three channels, or the encoder of this configuration with a decoder."""
    unet: UNetConfig = UNetConfig()
    decoder: DecoderConfig = DecoderConfig()
    loss: Literal["mean", "balanced"] = "mean"
    """Cross-entropy as the mean over pixels (URN, Eq. 13), or half background and half foreground (UniA)."""
    weights: Literal["response_scaling", "probability", "none"] = "response_scaling"
    """Weigh pixels by the stored weight maps, by the probability that this network gives their label (URN, Table 5),
    or all alike."""
    threshold: Fraction = 0.05
    """t of URN's Eq. 12: what a pixel counts whose stored weight is at or below it."""


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


MethodConfig = Annotated[UniAConfig | CamBaselineConfig | UsageConfig | RetrainConfig, Field(discriminator="name")]
METHOD_NAMES = ("unia", "cam", "usage", "retrain")
