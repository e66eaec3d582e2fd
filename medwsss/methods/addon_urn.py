"""URN inside the segmentation loss: pixels whose label is in doubt teach less."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from medwsss.config.addons import ResponseScalingConfig
from medwsss.data.sample import Batch
from medwsss.labels import BACKGROUND, IGNORE
from medwsss.losses.segmentation import balanced_cross_entropy, label_probabilities, noise_mitigation
from medwsss.methods.method import LossTerms
from medwsss.refinement.crf import dense_crf
from medwsss.refinement.pixel_adaptive import pixel_adaptive_refinement
from medwsss.refinement.response_scaling import response_scaling_weights


class ResponseScaling:
    """Noise mitigation by the decoder's own prediction at every step, which needs no second stage (Eq. 6-13)."""

    needs: ClassVar[frozenset[str]] = frozenset({"segmentation_logits", "pseudo_labels"})

    def __init__(self, config: ResponseScalingConfig) -> None:
        self.config = config

    def __call__(self, terms: LossTerms, batch: Batch, *, generator: torch.Generator) -> LossTerms:
        """Replaces "segmentation" by the balanced loss in which a pixel counts its factor."""
        logits, labels = terms.maps.segmentation_logits, terms.maps.pseudo_labels
        if logits is None or labels is None:
            return terms
        mitigated = balanced_cross_entropy(logits, labels, weights=self.factors(logits, labels, batch))
        return replace(terms, values={**terms.values, "segmentation": mitigated})

    def factors(
        self, logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"], batch: Batch
    ) -> Float[Tensor, "b h w"]:
        """What each pixel counts, in [0, 1]: Y of Eq. 12, or the probability of its pseudo-label (Table 5)."""
        match self.config.weights:
            case "response_scaling":
                return noise_mitigation(self.weights(logits, labels, batch), threshold=self.config.threshold)
            case "probability":
                return label_probabilities(logits, labels)

    @torch.no_grad()
    def weights(
        self, logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"], batch: Batch
    ) -> Float[Tensor, "b h w"]:
        """W = 1 − U of every pixel; 1 in the padding, and in images without a labelled pixel."""
        probs = logits.float().softmax(dim=1)
        weights = torch.ones_like(probs[:, 0])
        for index, (top, bottom, left, right) in enumerate(batch.boxes.tolist()):
            area = (slice(top, bottom), slice(left, right))
            classes = present_classes(labels[index])
            if len(classes) > 1:  # the background alone cannot flip
                weights[index][area] = response_scaling_weights(
                    probs[index, classes][:, *area],
                    scales=self.config.scales,
                    refine=self._refinement(batch.images[index][:, *area]),
                )
        return weights

    def _refinement(self, image: Float[Tensor, "3 h w"]) -> Callable[[Tensor], Tensor] | None:
        match self.config.refine:
            case "none":
                return None
            case "par":
                return lambda probs: pixel_adaptive_refinement(image[None], probs[None])[0]
            case "crf":
                return partial(dense_crf, (255 * image).round().byte().permute(1, 2, 0).contiguous())


def present_classes(labels: Int[Tensor, "h w"]) -> Int[Tensor, " k"]:
    """The channels that take part: the background and the classes among the labels, in their order."""
    seen = torch.unique(labels[labels != IGNORE])
    return torch.cat([seen.new_tensor([BACKGROUND]), seen[seen != BACKGROUND]])
