"""Settings of the add-ons."""

from typing import Literal

from medwsss.config.section import Count, Fraction, Place, Positive, Scales, Section, Weight


class ImportanceSamplingConfig(Section):
    """Importance sampling loss beside the pooled classification loss (HFPL, Eq. 14-18): add-on ``isl``."""

    enabled: bool = False
    weight: Fraction = 0.02
    """λ of Eq. 16: its share of the classification loss. The paper's 0.2, times 0.1 as it does with AdamW."""
    samples: Count = 10
    """N of Eq. 18, positions drawn per class."""
    posterior: Literal["binomial", "multinomial"] = "binomial"
    """Classes independent of each other (Eq. 14-15), or sharing each position with a background (Eq. 5-7)."""


class FeatureSimilarityConfig(Section):
    """Feature similarity loss on the activation maps (HFPL, Eq. 9-13): add-on ``fsl``."""

    enabled: bool = False
    weight: Weight = 0.1
    """Weight of the loss. The paper's 1, times 0.1 as it does with AdamW."""
    mu: float = 2.5
    """μ of Eq. 12."""
    sigma: Positive = 5.0
    """Spatial bandwidth of Eq. 10, in pixels of the upsampled maps."""
    upsampling: Count = 4
    """Magnification of the token grid before the loss (14×14 to 56×56)."""
    posterior: Literal["binomial", "multinomial"] = "binomial"
    """Maps of the tagged classes, independent of each other, or the posterior of Eq. 5: all classes and its background,
    whatever the tags, ``normalisation`` and ``background`` say."""
    normalisation: Literal["code", "paper"] = "code"
    """Maps of the authors' code (minimum and maximum), or of Eq. 4 (maximum alone)."""
    background: bool = True
    """Add a background map, 1 minus the maximum over classes, as the authors' code does; the paper does not."""


class ResponseScalingConfig(Section):
    """Noise mitigation by response scaling in the segmentation loss (URN, Eq. 6-13): add-on ``urn``."""

    enabled: bool = False
    weights: Literal["response_scaling", "probability"] = "response_scaling"
    """What a pixel counts: Y of Eq. 12, or the probability of its own pseudo-label, which URN is compared with (Table
    5) and which asks none of the other settings."""
    scales: Scales = (0.15, 0.2, 0.25, 4.0, 5.0, 6.0)
    """S, exponents of the responses; the values for VOC, COCO takes 0.4, 0.5, 0.6, 2, 3, 4."""
    threshold: Fraction = 0.05
    """t of Eq. 12: what an uncertain pixel counts. 1 is the unweighted loss, 0 drops the pixel."""
    refine: Literal["none", "par", "crf"] = "none"
    """Refinement of every scaled response (Eq. 7)."""


class CineSeedsConfig(Section):
    """Seeds from cardiac motion and anatomy as a further source of labels: add-on ``cine``, volumes only.

    What the prior knows of hearts is section ``cine``.
    """

    enabled: bool = False
    seeds: Place | None = None
    """Folder that ``medwsss seeds`` wrote for this task; null makes the seeds of the training patients first, in the
    run folder."""
    threshold: Fraction = 0.3
    """τ: a seed of this confidence or more overrules the label of its pixel (UniA's Eq. 15, or a stored one); one of
    less leaves the pixel without a label where the two differ. 0 lets all seeds overrule. At 0.3, the confidence 1 mm
    from an edge, all do on the usual grids: even beside an edge seeds are right more often than activation maps."""
    confidence: Literal["uncertainty", "seed", "none"] = "none"
    """What a pixel with a seed counts in the segmentation loss: 1 − the method's own uncertainty, the confidence of
    the seed, or 1. With add-on ``urn`` its weights act instead."""
    cam_weight: Weight = 1.0
    """Weight of the loss by which seeds teach the class scores of tokens (``unia``, ``cam``, ``usage``); 0 leaves it
    out."""


class AddOnsConfig(Section):
    """Losses and labels that join any method which produces what they need."""

    isl: ImportanceSamplingConfig = ImportanceSamplingConfig()
    fsl: FeatureSimilarityConfig = FeatureSimilarityConfig()
    urn: ResponseScalingConfig = ResponseScalingConfig()
    cine: CineSeedsConfig = CineSeedsConfig()


ADD_ON_NAMES = ("isl", "fsl", "urn", "cine")
