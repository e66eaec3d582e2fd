"""The second stage of multi-stage methods: a segmentation network learns stored pseudo-labels (URN, Fig. 3)."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medwsss.config.addons import CineSeedsConfig
from medwsss.config.segmenters import RetrainConfig, SeedsConfig
from medwsss.data.sample import Batch
from medwsss.losses.pixel_labels import pixel_label_loss
from medwsss.losses.segmentation import label_probabilities, noise_mitigation
from medwsss.methods.addon_cine import CinePrior
from medwsss.methods.method import Explanation, LossTerms, Method, Prediction, StepMaps, entropy, gated_probs
from medwsss.models.encoder import Encoder
from medwsss.models.segmenter import Segmenter, UNetSegmenter


class Retrain(Method):
    """Cross-entropy against the labels that a batch brings along, weighted by how far they are to be trusted.

    By ``method.weights`` that is what the stored weight maps say, by URN's Eq. 12 or as they are, what this network
    says itself at every step (the probability of the label, with which the paper compares its weights in Table 5), or
    the same for all pixels.

    Method ``seeds`` is this one on cine seeds, or on what rounds of self-training have made of them.

    Two more ideas of the paper are this method on another folder of pseudo-labels. Made from the prediction of the
    first run (``medwsss pseudo-label RUN --source decoder``), they are cyclic pseudo-masks; made from the prediction
    of a larger teacher, this network is the student of pseudo-mask distillation (URN, Table 4).
    """

    offers = frozenset({"segmentation_logits"})  # its labels have their stored weights already, URN would add its own

    def __init__(
        self, config: RetrainConfig | SeedsConfig, *, network: Segmenter, cine: CineSeedsConfig | None = None
    ) -> None:
        """See ``models.segmenter.build_segmenter`` for networks; with ``cine``, seeds join the stored labels."""
        super().__init__()
        self.cine = CinePrior(cine)
        self.config = config
        self.network = network

    @property
    def encoder(self) -> Encoder | UNetSegmenter:  # type: ignore[override]  # a UNet has none, and nobody sets it
        """What learns at the plain rate: the encoder, or the whole UNet, of which no part is pretrained."""
        return self.network if isinstance(self.network, UNetSegmenter) else self.network.encoder

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """The decoder; nothing of a UNet."""
        return iter(()) if isinstance(self.network, UNetSegmenter) else self.network.decoder.parameters()

    def training_step(self, batch: Batch, *, step: int, generator: torch.Generator) -> LossTerms:
        """The segmentation loss (URN, Eq. 11-13).

        Raises:
            ValueError: the batch has no labels, or no weights where they are wanted.
        """
        labels = self.cine.labels(stored_labels(batch), batch)
        logits = self.network(batch.images)
        factors = self._factors(logits, labels, batch.label_weights)
        factors = self.cine.pixel_weights(batch, lambda: entropy(logits.softmax(dim=1)), otherwise=factors)
        values = {"segmentation": pixel_label_loss(logits, labels, factors, kind=self.config.loss)}
        maps = StepMaps(segmentation_logits=logits, pseudo_labels=labels)
        return LossTerms(values, {"segmentation": 1.0}, maps)

    @torch.no_grad()
    def predict(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Prediction:
        """Class probabilities; with tags, absent classes are ruled out.

        No classifier was trained, so an image shows a class as likely as its most likely pixel does.
        """
        probs = self.network(images).softmax(dim=1)
        gated = gated_probs(probs, image_labels)
        return Prediction(gated, entropy(gated), probs[:, 1:].amax(dim=(2, 3)))

    @torch.no_grad()
    def cams(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Float[Tensor, "b cls h w"]:
        """The probabilities of the classes in their place: a network that learns pixels has no activation maps."""
        return self.predict(images, image_labels).probs[:, 1:]

    @torch.no_grad()
    def explain(self, batch: Batch, *, step: int) -> Explanation:
        """The prediction with known tags, beside the labels that teach it.

        Raises:
            ValueError: the batch has no labels.
        """
        prediction = self.predict(batch.images, batch.image_labels)
        return Explanation(
            cams=prediction.probs[:, 1:],
            uncertainty=prediction.uncertainty,
            pseudo_labels=self.cine.labels(stored_labels(batch), batch),
            prediction=prediction.probs.max(dim=1).indices,
        )

    def _factors(
        self, logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"], stored: Float[Tensor, "b h w"] | None
    ) -> Float[Tensor, "b h w"]:
        """What each pixel counts, in [0, 1]; no gradient."""
        match self.config.weights:
            case "none":
                return torch.ones_like(logits[:, 0])
            case "probability":
                return label_probabilities(logits, labels)
            case "response_scaling":
                assert isinstance(self.config, RetrainConfig)  # seeds have no such choice
                return noise_mitigation(_required(stored), threshold=self.config.threshold)
            case "stored":
                return _required(stored)


def _required(stored: Float[Tensor, "b h w"] | None) -> Float[Tensor, "b h w"]:
    if stored is None:
        raise ValueError("batch.label_weights is missing: train on a pseudo_training_set, or choose other weights")
    return stored


def stored_labels(batch: Batch) -> Int[Tensor, "b h w"]:
    """The pseudo-labels that came with a batch.

    Raises:
        ValueError: there are none.
    """
    if batch.labels is None:
        raise ValueError("batch.labels is missing: train on a pseudo_training_set")
    return batch.labels
