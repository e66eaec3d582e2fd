"""The two losses of HFPL on the class scores of any method: importance sampling, and feature similarity."""

from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from medwsss.cam.maps import keep_tagged, max_normalised
from medwsss.cam.posterior import multinomial_log_odds, multinomial_posterior
from medwsss.config.addons import FeatureSimilarityConfig, ImportanceSamplingConfig
from medwsss.data.sample import Batch
from medwsss.losses.feature_similarity import feature_similarity_loss
from medwsss.losses.importance_sampling import importance_sampling_loss
from medwsss.methods.method import LossTerms, at_tokens_inside, inside_image


class ImportanceSampling:
    """Part of the classification loss runs over sampled positions instead of the pooled score (Eq. 16)."""

    needs: ClassVar[frozenset[str]] = frozenset({"scores"})

    def __init__(self, config: ImportanceSamplingConfig) -> None:
        self.config = config

    def __call__(self, terms: LossTerms, batch: Batch, *, generator: torch.Generator) -> LossTerms:
        """The share λ of the weight of "classification" goes to "importance_sampling"; no padding is drawn."""
        scores = terms.maps.scores
        if scores is None:
            return terms
        sampled = importance_sampling_loss(
            scores if self.config.posterior == "binomial" else multinomial_log_odds(scores),
            batch.image_labels,
            samples=self.config.samples,
            generator=generator,
            inside=at_tokens_inside(batch, scores),
        )
        share, whole = self.config.weight, terms.weights["classification"]
        return replace(
            terms,
            values={**terms.values, "importance_sampling": sampled},
            weights={**terms.weights, "classification": (1 - share) * whole, "importance_sampling": share * whole},
        )


class FeatureSimilarity:
    """Contours of the activation maps follow colour edges (Eq. 9)."""

    needs: ClassVar[frozenset[str]] = frozenset({"scores"})

    def __init__(self, config: FeatureSimilarityConfig) -> None:
        self.config = config

    def __call__(self, terms: LossTerms, batch: Batch, *, generator: torch.Generator) -> LossTerms:
        """Adds "feature_similarity"."""
        scores = terms.maps.scores
        if scores is None:
            return terms
        return replace(
            terms,
            values={**terms.values, "feature_similarity": self.loss(scores, batch)},
            weights={**terms.weights, "feature_similarity": self.config.weight},
        )

    def loss(self, scores: Float[Tensor, "b cls h w"], batch: Batch) -> Float[Tensor, ""]:
        """The mean over the images of the batch; images and classes without a tag add 0 and are left out.

        In the multinomial posterior all of them take part, as a class is nothing without the others (Sec. 4.3 masks
        absent ones because they no longer share a position). Padding takes no part: it is neither normalised with,
        nor interpolated with, nor one of a pair.
        """
        multinomial = self.config.posterior == "multinomial"
        tags = torch.ones_like(batch.image_labels) if multinomial else batch.image_labels
        shown, classes = (tags > 0).any(dim=1), (tags > 0).any(dim=0)
        if not shown.any():
            return 0.0 * scores.sum()
        inside = at_tokens_inside(batch, scores)
        maps = self.maps(scores[shown][:, classes], tags[shown][:, classes], inside[shown])
        size = (maps.shape[2], maps.shape[3])
        outside = F.adaptive_max_pool2d((~inside_image(batch)).float(), size) > 0
        loss = feature_similarity_loss(
            F.adaptive_avg_pool2d(batch.images, size)[shown],
            maps,
            mu=self.config.mu,
            sigma=self.config.sigma,
            inside=~outside[shown],
        )
        return loss * shown.float().mean()

    def maps(
        self,
        scores: Float[Tensor, "b cls h w"],
        image_labels: Float[Tensor, "b cls"],
        inside: Bool[Tensor, "b h w"],
    ) -> Float[Tensor, "b k hu wu"]:
        """r: normalised maps of the tagged classes, magnified, behind the background map if there is one; or a."""
        lowest = scores.masked_fill(~inside[:, None], torch.inf).amin(dim=(2, 3), keepdim=True)
        filled = torch.where(inside[:, None], scores, lowest)
        if self.config.posterior == "multinomial":
            return self._magnified(multinomial_posterior(filled))
        maps = self._magnified(keep_tagged(self._normalised(filled), image_labels))
        if not self.config.background:
            return maps
        return torch.cat([1 - maps.amax(dim=1, keepdim=True), maps], dim=1)

    def _magnified(self, maps: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k hu wu"]:
        size = [side * self.config.upsampling for side in maps.shape[-2:]]
        return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)

    def _normalised(self, scores: Float[Tensor, "b cls h w"]) -> Float[Tensor, "b cls h w"]:
        match self.config.normalisation:
            case "code":
                return max_normalised(scores)
            case "paper":
                return paper_normalised(scores)


def paper_normalised(scores: Float[Tensor, "b cls h w"], *, epsilon: float = 1e-5) -> Float[Tensor, "b cls h w"]:
    """relu(s) / max relu(s) of each map, as Eq. 4 prints it; ``epsilon`` keeps maps without a positive score at 0."""
    positive = scores.relu()
    return positive / (positive.amax(dim=(2, 3), keepdim=True) + epsilon)
