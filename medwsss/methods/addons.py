"""Add-ons: losses and seeds by name that join any method which produces what they need."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medwsss.config.addons import AddOnsConfig
from medwsss.data.sample import Batch
from medwsss.errors import ConfigError
from medwsss.methods.addon_cine import CineSeeds
from medwsss.methods.addon_hfpl import FeatureSimilarity, ImportanceSampling
from medwsss.methods.addon_urn import ResponseScaling
from medwsss.methods.method import Explanation, LossTerms, Method, Prediction, tagged_alone
from medwsss.models.encoder import Encoder
from medwsss.models.segmenter import UNetSegmenter


@runtime_checkable
class AddOn(Protocol):
    """A loss without parameters of its own, built from its section of the configuration."""

    needs: ClassVar[frozenset[str]]
    """The fields of ``StepMaps`` it builds on; terms come back as they are at a step that leaves one of them None."""

    def __init__(self, config: Any) -> None: ...

    def __call__(self, terms: LossTerms, batch: Batch, *, generator: torch.Generator) -> LossTerms:
        """The terms with those of the add-on added or put in place; all randomness comes from ``generator``."""


ADD_ONS: Mapping[str, type[AddOn]] = MappingProxyType(
    {"isl": ImportanceSampling, "fsl": FeatureSimilarity, "urn": ResponseScaling, "cine": CineSeeds}
)
"""By the name of their section in ``AddOnsConfig``, in the order in which they act."""


class WithAddOns(Method):
    """A method whose training step goes on with add-ons; everything else is the method's own."""

    def __init__(self, method: Method, add_ons: Sequence[AddOn]) -> None:
        super().__init__()
        self.method = method
        self.add_ons = tuple(add_ons)

    @property
    def encoder(self) -> Encoder | UNetSegmenter:  # type: ignore[override]  # the method's, under one name only in the state
        return self.method.encoder

    @property
    def offers(self) -> frozenset[str]:  # type: ignore[override]  # follows the method
        return self.method.offers

    def training_step(self, batch: Batch, *, step: int, generator: torch.Generator) -> LossTerms:
        """The method's terms, then every add-on in turn."""
        terms = self.method.training_step(batch, step=step, generator=generator)
        if terms.maps.logits is not None:
            batch = tagged_alone(batch, terms.maps.logits)
        for add_on in self.add_ons:
            terms = add_on(terms, batch, generator=generator)
        return terms

    def predict(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Prediction:
        """The method's."""
        return self.method.predict(images, image_labels)

    def cams(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Float[Tensor, "b cls h w"]:
        """The method's."""
        return self.method.cams(images, image_labels)

    def explain(self, batch: Batch, *, step: int) -> Explanation:
        """The method's."""
        return self.method.explain(batch, step=step)

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """The method's."""
        return self.method.head_parameters()


def with_add_ons(method: Method, config: AddOnsConfig, *, name: str) -> Method:
    """The method with the add-ons that are enabled, or the method itself where none is.

    Args:
        method: which offers what the add-ons need.
        config: the section of every add-on.
        name: of the method, for the message.

    Raises:
        ConfigError: an add-on needs what the method never produces.
    """
    check_add_ons(config, method.offers, name=name)
    add_ons = [ADD_ONS[key](getattr(config, key)) for key in _enabled(config)]
    return WithAddOns(method, add_ons) if add_ons else method


def check_add_ons(config: AddOnsConfig, offers: frozenset[str], *, name: str) -> None:
    """Refuse add-ons that need more than ``offers`` of the method called ``name``.

    Raises:
        ConfigError: there is one.
    """
    for key in _enabled(config):
        missing = sorted(ADD_ONS[key].needs - offers)
        if missing:
            needed = " and ".join(missing).replace("_", " ")
            raise ConfigError(f"add-on {key} needs {needed}, which method {name} does not produce: leave {key} out")


def _enabled(config: AddOnsConfig) -> list[str]:
    return [key for key in ADD_ONS if getattr(config, key).enabled]
