"""Cine seeds as supervision: they join the labels of pixels, weigh them, and localise class scores of tokens."""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from medwsss.config.addons import CineSeedsConfig
from medwsss.data.sample import Batch
from medwsss.labels import IGNORE
from medwsss.losses.seed_localisation import seed_localisation_loss
from medwsss.methods.method import LossTerms
from medwsss.refinement.mutual_complementing import complement_with_prior


class CinePrior:
    """The fourth witness of a method that labels pixels: P4 beside UniA's P1 to P3, or beside stored labels.

    An extension of UniA's Eq. 12-15. Where the add-on is off, where a batch has no seeds, and in images of which the
    prior says nothing, everything stays as it is.
    """

    def __init__(self, config: CineSeedsConfig | None) -> None:
        """None is the same as an add-on that is off."""
        self.config = config or CineSeedsConfig()

    def labels(self, labels: Int[Tensor, "b h w"], batch: Batch) -> Int[Tensor, "b h w"]:
        """P' of ``complement_with_prior``, from the labels P that there would be without seeds."""
        if not self.config.enabled or batch.seeds is None or batch.seed_confidence is None:
            return labels
        return complement_with_prior(labels, batch.seeds, batch.seed_confidence, threshold=self.config.threshold)

    @torch.no_grad()
    def pixel_weights(
        self, batch: Batch, uncertainty: Callable[[], Float[Tensor, "b h w"]], *, otherwise: Float[Tensor, "b h w"]
    ) -> Float[Tensor, "b h w"]:
        """What each pixel counts, in [0, 1]: by ``config.confidence`` where the prior speaks, else ``otherwise``.

        Where it speaks, the label is its own or 255, so that weights of other labels mean nothing there.
        ``uncertainty``, in [0, 1], is asked for only where it is wanted; no gradient.
        """
        if not self.config.enabled or batch.seeds is None or batch.seed_confidence is None:
            return otherwise
        match self.config.confidence:
            case "uncertainty":
                weights = (1 - uncertainty()).clamp(0, 1)
            case "seed":
                weights = batch.seed_confidence
            case "none":
                weights = torch.ones_like(otherwise)
        return torch.where(batch.seeds == IGNORE, otherwise, weights)


class CineSeeds:
    """Class scores of tokens learn the share of each class among the seeds in a token; goes with any method.

    What a method without scores has of the seeds, it takes through ``CinePrior`` in its own training step.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: CineSeedsConfig) -> None:
        self.config = config

    def __call__(self, terms: LossTerms, batch: Batch, *, generator: torch.Generator) -> LossTerms:
        """Adds "cine" where there are scores and seeds.

        Raises:
            ValueError: the batch does not come from a training set with seeds.
        """
        if batch.seeds is None or batch.seed_confidence is None:
            raise ValueError("batch.seeds is missing: train on a seeded_training_set, or leave add-on cine out")
        scores = terms.maps.scores
        if scores is None or self.config.cam_weight == 0 or bool((batch.seeds == IGNORE).all()):
            return terms
        return replace(
            terms,
            values={**terms.values, "cine": seed_localisation_loss(scores, batch.seeds, batch.seed_confidence)},
            weights={**terms.weights, "cine": self.config.cam_weight},
        )
