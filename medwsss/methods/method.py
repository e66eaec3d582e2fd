"""What every method offers: losses of a training step, a prediction, and the maps it reasons with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medwsss.data.sample import Batch


@dataclass(frozen=True)
class LossTerms:
    """The terms of one step before weighting, and the weight of each."""

    values: Mapping[str, Float[Tensor, ""]]
    weights: Mapping[str, float]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Weighted sum of the terms."""
        return torch.stack([self.weights[name] * value for name, value in self.values.items()]).sum()


@dataclass(frozen=True)
class Prediction:
    """What a method says about images, at image size."""

    probs: Float[Tensor, "b k h w"]
    """Class probabilities, background first; they sum to 1."""
    cams: Float[Tensor, "b cls h w"]
    """Normalised class activation maps in [0, 1]."""
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


class Method(Protocol):
    """A trainable method; instances are ``torch.nn.Module``."""

    def training_step(self, batch: Batch, *, step: int, generator: torch.Generator) -> LossTerms: ...

    def predict(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Prediction: ...

    def explain(self, batch: Batch, *, step: int) -> Explanation: ...

    def encoder_parameters(self) -> Iterator[nn.Parameter]: ...

    def head_parameters(self) -> Iterator[nn.Parameter]: ...
