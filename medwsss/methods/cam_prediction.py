"""What methods without a decoder share: their refined activation maps are the prediction."""

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medwsss.cam.maps import keep_tagged
from medwsss.cam.multi_scale import multi_scale_cams
from medwsss.config.maps import CamConfig, PixelAdaptiveConfig
from medwsss.data.sample import Batch
from medwsss.methods.method import Explanation, Method, Prediction, colour_labels, entropy, likely_classes, tagged_alone
from medwsss.models.encoder import Encoder
from medwsss.models.heads import Classifier
from medwsss.refinement.pixel_adaptive import pixel_adaptive_refinement


class CamMethod(Method):
    """Encoder, one classifier, multi-scale CAM, pixel-adaptive refinement; there is no decoder."""

    offers = frozenset({"scores"})

    def __init__(
        self, cam: CamConfig, pixel_adaptive: PixelAdaptiveConfig, *, encoder: Encoder, num_foreground: int
    ) -> None:
        super().__init__()
        self.cam = cam
        self.pixel_adaptive = pixel_adaptive
        self.encoder = encoder
        self.classifier = Classifier(encoder.dim, num_foreground, pooled_fraction=cam.pooled_fraction)

    @abstractmethod
    def pooled(
        self, scores: Float[Tensor, "b cls ht wt"], *, inside: Bool[Tensor, "b ht wt"] | None = None
    ) -> Float[Tensor, "b cls"]:
        """The logits of the image that a score map gives; ``inside`` are the positions that count, all by default."""

    @torch.no_grad()
    def predict(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Prediction:
        """Refined CAM against a constant background score; without tags, the classifier's own verdict gates classes."""
        cams = self.cams(images, image_labels)
        background = torch.full_like(cams[:, :1], self.cam.background)
        refined = pixel_adaptive_refinement(
            images,
            torch.cat([background, cams], dim=1),
            dilations=self.pixel_adaptive.dilations,
            iterations=self.pixel_adaptive.iterations,
        )
        probs = refined / refined.sum(dim=1, keepdim=True)
        return Prediction(probs, entropy(probs), self._logits(images).sigmoid())

    @torch.no_grad()
    def cams(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Float[Tensor, "b cls h w"]:
        """Multi-scale CAMs."""
        scores = self._scores(images)
        (cams,) = multi_scale_cams(
            lambda scaled: (self._scores(scaled),), images, scales=self.cam.scales, straight=(scores,)
        )
        return keep_tagged(cams, likely_classes(self.pooled(scores)) if image_labels is None else image_labels)

    @torch.no_grad()
    def explain(self, batch: Batch, *, step: int) -> Explanation:
        """CAM, the labels thresholded from it after refinement, and the prediction with known tags."""
        batch = tagged_alone(batch, self._logits(batch.images))
        cams = self.cams(batch.images, batch.image_labels)
        labels = colour_labels(batch, cams, cam=self.cam, pixel_adaptive=self.pixel_adaptive)
        prediction = self.predict(batch.images, batch.image_labels)
        return Explanation(cams, prediction.uncertainty, labels, prediction.probs.max(dim=1).indices)

    def _scores(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b cls ht wt"]:
        return self.classifier.score_map(self.encoder(images).tokens)

    def _logits(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b cls"]:
        return self.pooled(self._scores(images))
