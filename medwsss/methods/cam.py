"""Plain class activation maps refined by colour: the baseline a weakly supervised method must beat (UniA, Table IV)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medwsss.config.methods import CamBaselineConfig
from medwsss.data.sample import Batch
from medwsss.methods.cam_prediction import CamMethod
from medwsss.methods.method import LossTerms, StepMaps, at_tokens_inside, tag_loss
from medwsss.models.encoder import Encoder


class CamBaseline(CamMethod):
    """Encoder, global max pooling classifier, multi-scale CAM, pixel-adaptive refinement."""

    def __init__(self, config: CamBaselineConfig, *, encoder: Encoder, num_foreground: int) -> None:
        super().__init__(config.cam, config.pixel_adaptive, encoder=encoder, num_foreground=num_foreground)
        self.config = config

    def training_step(self, batch: Batch, *, step: int, generator: torch.Generator) -> LossTerms:
        """The classification loss (UniA, Eq. 1)."""
        scores = self._scores(batch.images)
        logits = self.pooled(scores, inside=at_tokens_inside(batch, scores))
        terms = {"classification": tag_loss(logits, batch)}
        return LossTerms(terms, {"classification": 1.0}, StepMaps(scores, logits=logits))

    def pooled(
        self, scores: Float[Tensor, "b cls ht wt"], *, inside: Bool[Tensor, "b ht wt"] | None = None
    ) -> Float[Tensor, "b cls"]:
        """The mean of the highest scores of each class, at least of one position."""
        return self.classifier.pooled(scores, inside=inside)
