"""Settings of the other methods, and the choice among all of them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medwsss.config.maps import CamConfig, PixelAdaptiveConfig
from medwsss.config.section import Fraction, Positive, Section, Weight
from medwsss.config.segmenters import RetrainConfig, SeedsConfig
from medwsss.config.unia import UniAConfig


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


MethodConfig = Annotated[
    UniAConfig | CamBaselineConfig | UsageConfig | RetrainConfig | SeedsConfig, Field(discriminator="name")
]
METHOD_NAMES = ("unia", "cam", "usage", "retrain", "seeds")
