"""Settings of training and prediction."""

from typing import Annotated

from pydantic import Field

from medwsss.config.section import Count, Moment, Positive, Scales, Section, Seed, Weight


class TrainingConfig(Section):
    """Length, optimiser and bookkeeping of a run."""

    iterations: Count = 20000
    batch_size: Count = 4
    """Images that an update of the weights learns from, over all processes."""
    accumulate: Count = 1
    """Parts that a batch is cut into, one after the other, where memory is short; terms that pool over a batch, such as
    the balanced cross-entropy, then pool over a part."""
    seed: Seed = 0
    learning_rate: Positive = 6e-5
    head_factor: Positive = 10.0
    """Learning rate of everything but the encoder, relative to the encoder's."""
    weight_decay: Weight = 0.01
    warmup_steps: Moment = 0.075
    """Linear warm-up: an iteration, or a share of the run (VOC: 1500 of 20000)."""
    warmup_ratio: Positive = 1e-6
    poly_power: Positive = 0.9
    validate_every: Count = 2000
    """Iterations between validations on held-out patients."""
    picture_every: Count = 2000
    """Iterations between pictures in the run folder."""
    checkpoint_every: Count = 500
    """Iterations between checkpoints."""


class CrfConfig(Section):
    """Dense CRF after prediction, with the parameters of the papers on VOC and COCO."""

    enabled: bool = False
    iterations: Count = 10
    gaussian_xy: Positive = 1.0
    """Width of the position kernel, in pixels."""
    gaussian_weight: Weight = 1.0
    bilateral_xy: Positive = 121.0
    """Width of the bilateral kernel in position, in pixels."""
    bilateral_rgb: Positive = 5.0
    """Its width in colour, on 0-255."""
    bilateral_weight: Weight = 4.0


class InferenceConfig(Section):
    """How volumes and photographs are segmented."""

    scales: Scales = (1.0,)
    """Image scales whose probabilities are averaged."""
    flip: bool = True
    """Average with the horizontal flip."""
    rotations: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0,)
    """Rotations in degrees whose probabilities, turned back, are averaged."""
    largest_components: bool = False
    """Volumes only: keep the largest piece of the foreground, then of each class; a heart is in one piece."""
    batch_size: Count = 16
    """Slices a forward pass; photographs differ in size and go one by one."""
    crf: CrfConfig = CrfConfig()
    """Photographs only."""
