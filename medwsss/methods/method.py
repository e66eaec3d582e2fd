"""What every method offers: losses of a training step, a prediction, and the maps it reasons with."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from medwsss.boxes import inside_boxes
from medwsss.config.maps import CamConfig, PixelAdaptiveConfig
from medwsss.data.sample import Batch
from medwsss.losses.bag_tags import bag_label_loss, slice_tags
from medwsss.losses.classification import multi_label_loss
from medwsss.models.encoder import Encoder
from medwsss.refinement.pixel_adaptive import refined_pseudo_labels


@dataclass(frozen=True)
class StepMaps:
    """What add-ons may build on, with its gradient; None where a method has no such thing, or not yet."""

    scores: Float[Tensor, "b cls h w"] | None = None
    """Raw class scores of the (final) classifier on its grid: the CAM before the ReLU."""
    segmentation_logits: Float[Tensor, "b k hi wi"] | None = None
    """Of the decoder, background first, at image size."""
    pseudo_labels: Int[Tensor, "b hi wi"] | None = None
    """What supervises the decoder; no gradient."""
    logits: Float[Tensor, "b cls"] | None = None
    """Pooled class scores of each image."""


@dataclass(frozen=True)
class LossTerms:
    """The terms of one step before weighting, and the weight of each."""

    values: Mapping[str, Float[Tensor, ""]]
    weights: Mapping[str, float]
    maps: StepMaps = StepMaps()

    @property
    def total(self) -> Float[Tensor, ""]:
        """Weighted sum of the terms."""
        return torch.stack([self.weights[name] * value for name, value in self.values.items()]).sum()


@dataclass(frozen=True)
class Prediction:
    """What a method says about images, at image size."""

    probs: Float[Tensor, "b k h w"]
    """Class probabilities, background first; they sum to 1."""
    uncertainty: Float[Tensor, "b h w"]
    """In [0, 1]: the method's own estimate where it has one, else the normalised entropy of ``probs``."""
    tag_probs: Float[Tensor, "b cls"]
    """Probability that the image shows each class."""


@dataclass(frozen=True)
class Explanation:
    """The steps from activation to label on one batch, for pictures and notebooks."""

    cams: Float[Tensor, "b cls h w"]
    uncertainty: Float[Tensor, "b h w"]
    pseudo_labels: Int[Tensor, "b h w"]
    prediction: Int[Tensor, "b h w"]


@runtime_checkable
class Predictor(Protocol):
    """What can be asked about images: a trained method, or several as one."""

    def predict(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Prediction:
        """See ``Method.predict``."""

    def cams(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Float[Tensor, "b cls h w"]:
        """See ``Method.cams``."""


Shown = TypeVar("Shown")
"""What a learner shows of a batch."""


class Learner(nn.Module, ABC, Generic[Shown]):
    """What the training loop asks of anything that learns around an encoder."""

    encoder: Encoder

    @abstractmethod
    def training_step(self, batch: Batch, *, step: int, generator: torch.Generator) -> LossTerms:
        """The loss terms of one iteration, counted from 0; all randomness comes from ``generator``."""

    @abstractmethod
    def explain(self, batch: Batch, *, step: int) -> Shown:
        """What it makes of a batch, for pictures."""

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Everything but the encoder: these learn faster."""
        return (parameter for name, parameter in self.named_parameters() if not name.startswith("encoder."))


class Method(Learner[Explanation]):
    """A trainable method that segments."""

    offers: ClassVar[frozenset[str]] = frozenset()
    """The fields of ``StepMaps`` that a training step fills sooner or later."""

    @abstractmethod
    def predict(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Prediction:
        """Segment images in [0, 1]; tags are used where they are known, and not needed."""

    @abstractmethod
    def cams(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Float[Tensor, "b cls h w"]:
        """Normalised multi-scale class activation maps in [0, 1], 0 for absent classes.

        Without tags the classifier says which classes are absent.
        """

    @abstractmethod
    def explain(self, batch: Batch, *, step: int) -> Explanation:
        """The maps and labels that a training step would make of this batch."""


@contextmanager
def evaluating(method: Method) -> Iterator[None]:
    """Looks at images without learning from them: no dropout, and batch statistics stay as they are."""
    training = method.training
    method.eval()
    try:
        yield
    finally:
        method.train(training)


def colour_labels(
    batch: Batch, cams: Float[Tensor, "b cls h w"], *, cam: CamConfig, pixel_adaptive: PixelAdaptiveConfig
) -> Int[Tensor, "b h w"]:
    """Activation maps as labels refined by colour and position (P2 of UniA); 255 where undecided and in padding."""
    return refined_pseudo_labels(
        batch.images,
        cams,
        batch.image_labels,
        high=cam.high,
        low=cam.low,
        boxes=batch.boxes,
        downscale=pixel_adaptive.downscale,
        dilations=pixel_adaptive.dilations,
        iterations=pixel_adaptive.iterations,
    )


def tag_loss(logits: Float[Tensor, "b cls"], batch: Batch) -> Float[Tensor, ""]:
    """The classification loss (UniA, Eq. 1), pooled over the slices that were tagged together where some were."""
    if batch.bags is None:
        return multi_label_loss(logits, batch.image_labels)
    return bag_label_loss(logits, batch.image_labels, batch.bags)


def tagged_alone(batch: Batch, logits: Float[Tensor, "b cls"]) -> Batch:
    """The batch with a tag for each slice: the classifier says which slices show what their bag does."""
    if batch.bags is None:
        return batch
    return replace(batch, image_labels=slice_tags(logits.detach(), batch.image_labels, batch.bags), bags=None)


def inside_image(batch: Batch) -> Bool[Tensor, "b h w"]:
    """The pixels of a batch that are image and not padding."""
    return inside_boxes(batch.boxes, batch.images[:, 0])


def at_tokens_inside(batch: Batch, tokens: Float[Tensor, "b dim ht wt"]) -> Bool[Tensor, "b ht wt"]:
    """The tokens that hold at least one pixel of the image."""
    return F.adaptive_max_pool2d(inside_image(batch).float(), tokens.shape[-2:]) > 0


def upsampled(maps: Float[Tensor, "b c h w"], like: Float[Tensor, "b d hl wl"]) -> Float[Tensor, "b c hl wl"]:
    """Bilinear resize to the height and width of ``like``."""
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)


def likely_classes(logits: Float[Tensor, "b cls"]) -> Float[Tensor, "b cls"]:
    """Tags where none are known: the classes that the classifier finds more likely than not."""
    return (logits > 0).to(logits)


def gated_probs(
    probs: Float[Tensor, "b k h w"], image_labels: Float[Tensor, "b cls"] | None
) -> Float[Tensor, "b k h w"]:
    """Class probabilities with absent classes set to 0, summing to 1 again; unchanged when the tags are unknown."""
    if image_labels is None:
        return probs
    present = torch.cat([torch.ones_like(image_labels[:, :1]), image_labels], dim=1)
    kept = probs * present[:, :, None, None].to(probs)
    return kept / kept.sum(dim=1, keepdim=True).clamp_min(1e-12)


def entropy(probs: Float[Tensor, "b k h w"]) -> Float[Tensor, "b h w"]:
    """Shannon entropy of class probabilities, divided by its maximum: in [0, 1]."""
    nats: Tensor = torch.special.entr(probs).sum(dim=1)
    return nats / math.log(probs.shape[1])
