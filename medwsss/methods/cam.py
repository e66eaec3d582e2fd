"""Plain class activation maps refined by colour: the baseline a weakly supervised method must beat (UniA, Table IV)."""

import torch
from jaxtyping import Float
from torch import Tensor

from medwsss.cam.maps import keep_tagged
from medwsss.cam.multi_scale import multi_scale_cams
from medwsss.config.schema import CamBaselineConfig
from medwsss.data.sample import Batch
from medwsss.losses.classification import multi_label_loss
from medwsss.methods.method import (
    Explanation,
    LossTerms,
    Method,
    Prediction,
    at_tokens_inside,
    colour_labels,
    entropy,
    likely_classes,
)
from medwsss.models.encoder import Encoder
from medwsss.models.heads import Classifier
from medwsss.refinement.pixel_adaptive import pixel_adaptive_refinement


class CamBaseline(Method):
    """Encoder, global max pooling classifier, multi-scale CAM, pixel-adaptive refinement; there is no decoder."""

    def __init__(self, config: CamBaselineConfig, *, encoder: Encoder, num_foreground: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.classifier = Classifier(encoder.dim, num_foreground, pooled_fraction=config.cam.pooled_fraction)

    def training_step(self, batch: Batch, *, step: int, generator: torch.Generator) -> LossTerms:
        """The classification loss (UniA, Eq. 1)."""
        tokens = self.encoder(batch.images).tokens
        logits = self.classifier(tokens, inside=at_tokens_inside(batch, tokens))
        return LossTerms({"classification": multi_label_loss(logits, batch.image_labels)}, {"classification": 1.0})

    @torch.no_grad()
    def predict(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Prediction:
        """Refined CAM against a constant background score; without tags, the classifier's own verdict gates classes."""
        cams = self.cams(images, image_labels)
        background = torch.full_like(cams[:, :1], self.config.cam.background)
        refined = pixel_adaptive_refinement(
            images,
            torch.cat([background, cams], dim=1),
            dilations=self.config.pixel_adaptive.dilations,
            iterations=self.config.pixel_adaptive.iterations,
        )
        probs = refined / refined.sum(dim=1, keepdim=True)
        return Prediction(probs, entropy(probs), self._logits(images).sigmoid())

    @torch.no_grad()
    def cams(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Float[Tensor, "b cls h w"]:
        """Multi-scale CAMs."""
        (cams,) = multi_scale_cams(self._score_maps, images, scales=self.config.cam.scales)
        return keep_tagged(cams, likely_classes(self._logits(images)) if image_labels is None else image_labels)

    @torch.no_grad()
    def explain(self, batch: Batch, *, step: int) -> Explanation:
        """CAM, the labels thresholded from it after refinement, and the prediction with known tags."""
        cams = self.cams(batch.images, batch.image_labels)
        labels = colour_labels(batch, cams, cam=self.config.cam, pixel_adaptive=self.config.pixel_adaptive)
        prediction = self.predict(batch.images, batch.image_labels)
        return Explanation(cams, prediction.uncertainty, labels, prediction.probs.max(dim=1).indices)

    def _logits(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b cls"]:
        logits: Tensor = self.classifier(self.encoder(images).tokens)
        return logits

    def _score_maps(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor]:
        return (self.classifier.score_map(self.encoder(images).tokens),)
