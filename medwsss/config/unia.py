"""Settings of UniA; defaults are those for VOC, and each ablation of Tables IV, V and VIII is a key."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medwsss.config.maps import CamConfig, DecoderConfig, PixelAdaptiveConfig, PixelLoss
from medwsss.config.section import Count, Fraction, Moment, Positive, Section, Weight, iteration_of


class UncertaintyConfig(Section):
    """Uncertainty inference network (UniA, Eq. 3-7 and 10; Tables IV and V)."""

    enabled: bool = True
    """Off: the encoder's tokens go to the heads as they are."""
    channel_attention: bool = True
    """Depth-wise 1×1 branch (Eq. 3)."""
    spatial_attention: bool = True
    """Cross-attention to window prototypes (Eq. 4-6)."""
    window: Count = 4
    """Side of the pooling windows, in tokens."""
    residual: bool = False
    """Add the encoder's tokens to the masked ones; the paper has no residual."""

    @model_validator(mode="after")
    def _has_a_branch(self) -> "UncertaintyConfig":
        if self.enabled and not (self.channel_attention or self.spatial_attention):
            raise ValueError("needs channel_attention or spatial_attention; or set enabled to false")
        return self


class DistributionConfig(Section):
    """Distribution loss (UniA, Eq. 8-9; Tables IV, V and VIII)."""

    enabled: bool = True
    weight: Weight = 0.1
    """α of Eq. 17."""
    regulariser_weight: Weight = 0.01
    """Weight of KL(N(μ, σ²) ‖ N(0, 1)) inside the loss."""
    threshold: Fraction = 0.7
    """λ of Eq. 8: CAM scores at or below it are set to 0."""
    sampling: bool = True
    """Off: the mean stands for the distribution and σ gets no supervision (Table V)."""
    samples: Count = 50
    """K, samples drawn from the distribution (Table VIII a)."""


class AffinityConfig(Section):
    """From attention to affinity, and the random walk on it (UniA, Eq. 11)."""

    sinkhorn_rounds: Count = 3
    """Column and row normalisations that make the attention doubly stochastic."""
    steps: Count = 2
    """Steps of the random walk."""
    power: Positive = 2.0
    """Sharpening of the affinity before the walk."""


class ContrastiveAffinityConfig(Section):
    """Contrastive affinity loss (UniA, Eq. 16)."""

    enabled: bool = True
    weight: Weight = 0.1
    """β of Eq. 17."""
    temperature: Positive = 0.5
    negatives: Literal["mean", "sum"] = "mean"
    """How negative pairs enter the denominator; the paper prints a sum."""
    form: Literal["infonce", "literal"] = "infonce"
    """InfoNCE, or Eq. 16 as printed (no logarithm)."""
    radius: Count | None = 7
    """Chebyshev distance in tokens beyond which pairs are left out; null keeps all."""


class EnergyConfig(Section):
    """Dense energy regularisation of the decoder's probabilities."""

    weight: Weight = 0.05
    """Weight in the total loss."""
    energy_weight: Positive = 1e-7
    """The published scale of the energy itself."""
    sigma_rgb: Positive = 15.0
    """Intensity bandwidth, on 0-255."""
    sigma_xy: Positive = 100.0
    """Spatial bandwidth, in pixels of the full image."""
    scale: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Reduction of image and probabilities."""
    filtering: Literal["exact", "lattice"] = "lattice"
    """How pairs of pixels are summed up: exactly, in quadratic time, or on a lattice, as the published code does."""


class ViewsConfig(Section):
    """The multi-scale views of a training step, which take most of its time."""

    every: Count = 1
    """Steps from one to the next with all views; labels in between come from the image as the losses see it."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the encoder in the views; bfloat16 changes a few labels in a thousand."""


class ScheduleConfig(Section):
    """When parts of the loss start: an iteration such as 2000, or a share of the run such as 0.1 (the VOC values)."""

    distribution_from: Moment = 0.0
    token_contrast_from: Moment = 0.0
    affinity_from: Moment = 0.0
    segmentation_from: Moment = 0.1
    auxiliary_cam_until: Moment = 0.4
    """Until then pixels are labelled from the auxiliary CAM, afterwards from the final one."""

    def iteration(self, part: str, iterations: int) -> int:
        """The iteration of one setting in a run of that length."""
        return iteration_of(getattr(self, part), iterations)


class UniAConfig(Section):
    """UniA, whole; each ablation of Tables IV, V and VIII is a key below."""

    name: Literal["unia"] = "unia"
    uncertainty: UncertaintyConfig = UncertaintyConfig()
    distribution: DistributionConfig = DistributionConfig()
    cam: CamConfig = CamConfig()
    views: ViewsConfig = ViewsConfig()
    pixel_adaptive: PixelAdaptiveConfig = PixelAdaptiveConfig()
    affinity: AffinityConfig = AffinityConfig()
    complementing: bool = True
    """Mutual complementing refinement (Eq. 12-15); off: CAM labels refined by colour and position alone."""
    contrastive_affinity: ContrastiveAffinityConfig = ContrastiveAffinityConfig()
    decoder: DecoderConfig = DecoderConfig()
    auxiliary_weight: Weight = 1.0
    """Weight of the auxiliary classification loss."""
    segmentation_weight: Weight = 0.15
    """γ of Eq. 17."""
    segmentation_loss: PixelLoss = "balanced"
    """How the labels of pixels teach; balanced is the paper's. It predicts more foreground than dense labels such as
    cine seeds hold; the mean predicts background alone for the first hundreds of iterations without pretrained weights,
    and soft Dice beside it does not."""
    token_contrast_weight: Weight = 0.3
    energy: EnergyConfig = EnergyConfig()
    schedule: ScheduleConfig = ScheduleConfig()
