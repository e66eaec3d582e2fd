"""Settings of self-supervised pretraining: an encoder learns from images alone, without labels, tags or masks."""

from typing import Annotated, Literal

from pydantic import Field

from medwsss.config.data import AcdcDataConfig, DataConfig
from medwsss.config.encoder import EncoderConfig
from medwsss.config.schema import RunConfig
from medwsss.config.section import Count, Section, Weight
from medwsss.config.training import TrainingConfig


class PretrainingConfig(Section):
    """What the encoder has to work out by itself: hidden parts of an image (SimMIM, Xie et al., CVPR 2022)."""

    objective: Literal["masked_images"] = "masked_images"
    """Reconstruct masked patches from the others."""
    mask_ratio: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.6
    """Share of the tokens that are masked."""
    mask_block: Count = 2
    """Side of the squares that are masked, in tokens: a single token is too easily guessed from its neighbours."""
    target: Literal["normalised", "intensities"] = "normalised"
    """Pixels less the mean and over the standard deviation of their patch (He et al., CVPR 2022), or as they are."""
    least_deviation: Weight = 0.02
    """The smallest standard deviation to divide by, on intensities in [0, 1]: noise of air is nothing to learn."""
    frames: Literal["ed-es", "all"] = "ed-es"
    """Volumes only: both labelled phases, or every frame of the 4D files too, where a patient has one."""
    all_patients: bool = False
    """Learn from held-out patients or images as well: no label is used, but they are no longer unseen."""


class PretrainConfig(Section):
    """A whole pretraining. Of ``training``, ``validate_every`` is without meaning: nothing is validated."""

    data: DataConfig = AcdcDataConfig()
    encoder: EncoderConfig = EncoderConfig(pretrained=False)
    pretraining: PretrainingConfig = PretrainingConfig()
    training: TrainingConfig = TrainingConfig()


LearningConfig = RunConfig | PretrainConfig
"""Whatever the training loop runs: both have ``data``, ``encoder`` and ``training``."""
