"""UniA: uncertainty inference and affinity diversification, single stage, end to end (Yang et al.)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medwsss.cam.maps import keep_tagged, min_max_normalised, reweighted_cams
from medwsss.cam.multi_scale import multi_scale_cams
from medwsss.cam.pseudo_labels import threshold_cams
from medwsss.config.addons import CineSeedsConfig
from medwsss.config.unia import UniAConfig
from medwsss.data.sample import Batch
from medwsss.losses.contrastive_affinity import contrastive_affinity_loss
from medwsss.losses.dense_energy import dense_energy_loss
from medwsss.losses.distribution import distribution_loss, gaussian_regulariser
from medwsss.losses.pixel_labels import pixel_label_loss
from medwsss.losses.token_contrast import token_contrast_loss
from medwsss.methods.addon_cine import CinePrior
from medwsss.methods.method import (
    Explanation,
    LossTerms,
    Method,
    Prediction,
    StepMaps,
    at_tokens_inside,
    colour_labels,
    entropy,
    evaluating,
    gated_probs,
    inside_image,
    likely_classes,
    tag_loss,
    tagged_alone,
    upsampled,
)
from medwsss.models.decoder import build_decoder
from medwsss.models.encoder import Features, VitEncoder
from medwsss.models.heads import Classifier
from medwsss.models.uncertainty import Gaussian, UncertaintyNetwork
from medwsss.refinement.affinity import random_walk, symmetric_affinity
from medwsss.refinement.mutual_complementing import complement


@dataclass(frozen=True)
class Inferred:
    """What one forward pass yields before any label is made."""

    features: Features
    gaussian: Gaussian | None
    final: Float[Tensor, "b dim h w"]
    """Z_f, or Z where the uncertainty network is switched off."""


@dataclass(frozen=True)
class Seeds:
    """Tagged multi-scale CAMs of both classifiers, without gradient."""

    final: Float[Tensor, "b cls h w"]
    auxiliary: Float[Tensor, "b cls h w"]


class UniA(Method):
    """The method of Eq. 1-17; every part can be switched off or read in its literal form through ``UniAConfig``."""

    encoder: VitEncoder
    offers = frozenset({"scores", "segmentation_logits", "pseudo_labels"})

    def __init__(
        self,
        config: UniAConfig,
        *,
        encoder: VitEncoder,
        num_foreground: int,
        iterations: int,
        cine: CineSeedsConfig | None = None,
    ) -> None:
        """With ``cine``, the seeds of a batch are a fourth source of labels."""
        super().__init__()
        self.cine = CinePrior(cine)
        self.config = config
        self.iterations = iterations
        self.encoder = encoder
        self.uncertainty = UncertaintyNetwork(encoder.dim, config.uncertainty) if config.uncertainty.enabled else None
        pooled = config.cam.pooled_fraction
        self.classifier = Classifier(encoder.dim, num_foreground, pooled_fraction=pooled)
        self.auxiliary_classifier = Classifier(encoder.dim, num_foreground, pooled_fraction=pooled)
        self.decoder = build_decoder(config.decoder, encoder.dim, num_foreground + 1)

    def training_step(self, batch: Batch, *, step: int, generator: torch.Generator) -> LossTerms:
        """All terms of Eq. 17 that have started at this step."""
        inferred, attention = self._infer_with_attention(batch.images)
        inside = at_tokens_inside(batch, inferred.final)
        scores = self.classifier.score_map(inferred.final)
        logits = self.classifier.pooled(scores, inside=inside)
        auxiliary_scores = self.auxiliary_classifier.score_map(inferred.features.auxiliary)
        auxiliary_logits = self.auxiliary_classifier.pooled(auxiliary_scores, inside=inside)
        values = {
            "classification": tag_loss(logits, batch),
            "auxiliary": tag_loss(auxiliary_logits, batch),
        }
        batch = tagged_alone(batch, logits)
        started = self._started(step)
        if started:
            seen = (scores.detach(), auxiliary_scores.detach())
            seeds = self.seeds(batch, seen) if step % self.config.views.every == 0 else self._seeds_of(batch, seen)
        if "distribution" in started and inferred.gaussian is not None:
            values["distribution"] = self._distribution(inferred.gaussian, self._source(seeds, step), inside, generator)
        if "token_contrast" in started:
            values["token_contrast"] = self._token_contrast(batch, inferred, seeds)
        if started & {"affinity", "segmentation"}:
            affinity = symmetric_affinity(attention, rounds=self.config.affinity.sinkhorn_rounds)
            labels = self.pseudo_labels(batch, self._source(seeds, step), affinity.detach())
        if "affinity" in started:
            values["affinity"] = self._contrastive_affinity(affinity, at_tokens(labels, inferred.final))
        maps = StepMaps(scores, logits=logits)
        if "segmentation" in started:
            segmentation_logits = self.decoder(inferred.final, batch.images)
            values |= self._segmentation(batch, inferred, segmentation_logits, labels)
            maps = StepMaps(scores, segmentation_logits, labels, logits)
        return LossTerms(values, {name: self._weights[name] for name in values}, maps)

    @torch.no_grad()
    def seeds(self, batch: Batch, seen: tuple[Tensor, Tensor] | None = None) -> Seeds:
        """Multi-scale CAMs of both classifiers (Eq. 2), zero for absent classes and in the padding.

        They are normalised within the image, so that activation in the padding moves no threshold. ``seen`` are score
        maps of the batch; they stand for the view at scale 1, unless training layers had changed them.
        """
        shown = batch.image_labels.any(dim=0).nonzero()[:, 0]  # maps of other classes would be cleared
        shared = tuple(scores[:, shown] for scores in seen) if seen and self.encoder.same_in_training else None

        def scores_of_shown(images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, ...]:
            return tuple(scores[:, shown] for scores in self._score_maps(images))

        whole = batch.images.new_zeros(len(batch.images), batch.image_labels.shape[1], *batch.images.shape[2:])
        if len(shown) == 0:
            return Seeds(whole, whole)
        with evaluating(self), self.encoder.at_precision(self.config.views.precision):
            heads = multi_scale_cams(scores_of_shown, batch.images, scales=self.config.cam.scales, straight=shared)
        return self._as_seeds(batch, tuple(whole.index_copy(1, shown, maps) for maps in heads))

    @torch.no_grad()
    def _seeds_of(self, batch: Batch, seen: tuple[Tensor, Tensor]) -> Seeds:
        """CAMs of the one view that the losses saw."""
        return self._as_seeds(batch, tuple(upsampled(scores.relu(), batch.images) for scores in seen))

    def _as_seeds(self, batch: Batch, heads: tuple[Tensor, ...]) -> Seeds:
        inside = inside_image(batch)
        final, auxiliary = (keep_tagged(min_max_normalised(c, inside=inside), batch.image_labels) for c in heads)
        return Seeds(final, auxiliary)

    @torch.no_grad()
    def pseudo_labels(
        self, batch: Batch, cams: Float[Tensor, "b cls h w"], affinity: Float[Tensor, "b n n"]
    ) -> Int[Tensor, "b h w"]:
        """P of Eq. 15: seed, colour and affinity labels complement each other; 255 where undecided.

        With add-on ``cine`` the prior of a batch speaks last: P' of ``complement_with_prior``.
        """
        return self.cine.labels(self._complemented(batch, cams, affinity), batch)

    def _complemented(
        self, batch: Batch, cams: Float[Tensor, "b cls h w"], affinity: Float[Tensor, "b n n"]
    ) -> Int[Tensor, "b h w"]:
        if not self.config.complementing:
            return self.colour_labels(batch, cams)
        certain = reweighted_cams(cams, threshold=self.config.distribution.threshold)
        seed_labels = self._threshold(batch, certain)
        colour_labels = self.colour_labels(batch, certain)
        return complement(seed_labels, colour_labels, self.affinity_labels(batch, cams, affinity))

    def colour_labels(self, batch: Batch, cams: Float[Tensor, "b cls h w"]) -> Int[Tensor, "b h w"]:
        """Labels refined by colour and position (P2)."""
        return colour_labels(batch, cams, cam=self.config.cam, pixel_adaptive=self.config.pixel_adaptive)

    def affinity_labels(
        self, batch: Batch, cams: Float[Tensor, "b cls h w"], affinity: Float[Tensor, "b n n"]
    ) -> Int[Tensor, "b h w"]:
        """Labels of the CAM after a random walk on the affinity (P3).

        Averaging lowers the peaks, so the walked maps are normalised like CAMs again before thresholding.
        """
        coarse = F.interpolate(cams, size=self.encoder.grid(batch.images), mode="bilinear", align_corners=False)
        walked = random_walk(coarse, affinity, steps=self.config.affinity.steps, power=self.config.affinity.power)
        normalised = min_max_normalised(upsampled(walked, cams), inside=inside_image(batch))
        return self._threshold(batch, keep_tagged(normalised, batch.image_labels))

    @torch.no_grad()
    def predict(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Prediction:
        """The decoder's probabilities; with tags, absent classes are ruled out."""
        inferred = self._infer(self.encoder(images))
        probs = gated_probs(self.decoder(inferred.final, images).softmax(dim=1), image_labels)
        tag_probs = self.classifier(inferred.final).sigmoid()
        return Prediction(probs, self._uncertainty_map(inferred, probs), tag_probs)

    @torch.no_grad()
    def cams(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Float[Tensor, "b cls h w"]:
        """Multi-scale CAMs of the final classifier (Eq. 2)."""
        straight = self._score_maps(images)
        final, _ = multi_scale_cams(self._score_maps, images, scales=self.config.cam.scales, straight=straight)
        if image_labels is None:
            image_labels = likely_classes(self.classifier.pooled(straight[0]))
        return keep_tagged(final, image_labels)

    @torch.no_grad()
    def explain(self, batch: Batch, *, step: int) -> Explanation:
        """The maps and labels a training step would make of this batch."""
        inferred, attention = self._infer_with_attention(batch.images)
        affinity = symmetric_affinity(attention, rounds=self.config.affinity.sinkhorn_rounds)
        batch = tagged_alone(batch, self.classifier(inferred.final, inside=at_tokens_inside(batch, inferred.final)))
        cams = self._source(self.seeds(batch), step)
        probs = self.decoder(inferred.final, batch.images).softmax(dim=1)
        return Explanation(
            cams,
            self._uncertainty_map(inferred, probs),
            self.pseudo_labels(batch, cams, affinity),
            probs.max(dim=1).indices,
        )

    def _infer(self, features: Features) -> Inferred:
        if self.uncertainty is None:
            return Inferred(features, None, features.tokens)
        gaussian = self.uncertainty(features.tokens)
        return Inferred(features, gaussian, self.uncertainty.masked(features.tokens, gaussian.std))

    def _infer_with_attention(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Inferred, Float[Tensor, "b n n"]]:
        features, attention = self.encoder.with_attention(images)
        return self._infer(features), attention

    def _score_maps(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor]:
        """Of the final and the auxiliary classifier; the mean of the Gaussian is not needed for them."""
        features = self.encoder(images)
        final = features.tokens
        if self.uncertainty is not None:
            final = self.uncertainty.masked(final, self.uncertainty.deviation(final))
        return self.classifier.score_map(final), self.auxiliary_classifier.score_map(features.auxiliary)

    def _source(self, seeds: Seeds, step: int) -> Float[Tensor, "b cls h w"]:
        """The auxiliary CAM labels pixels first, because Z_f starts nearly constant over space ("aux2final")."""
        return seeds.final if self._reached("auxiliary_cam_until", step) else seeds.auxiliary

    def _threshold(self, batch: Batch, cams: Float[Tensor, "b cls h w"]) -> Int[Tensor, "b h w"]:
        high, low = self.config.cam.high, self.config.cam.low
        return threshold_cams(cams, batch.image_labels, low=low, high=high, boxes=batch.boxes)

    def _distribution(
        self,
        gaussian: Gaussian,
        cams: Float[Tensor, "b cls h w"],
        inside: Bool[Tensor, "b ht wt"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """L_dis of Eq. 9 with its regulariser; without sampling, the mean alone is supervised (Table V)."""
        config = self.config.distribution
        mean, std = gaussian.mean, gaussian.std
        coarse = F.interpolate(cams, size=mean.shape[-2:], mode="bilinear", align_corners=False)
        certain = (reweighted_cams(coarse, threshold=config.threshold) > 0).any(dim=1).to(mean)
        if not config.sampling:
            return distribution_loss(
                mean, torch.zeros_like(std), certain, samples=1, generator=generator, inside=inside
            )
        fit = distribution_loss(mean, std, certain, samples=config.samples, generator=generator, inside=inside)
        return fit + config.regulariser_weight * gaussian_regulariser(mean, std)

    def _token_contrast(self, batch: Batch, inferred: Inferred, seeds: Seeds) -> Float[Tensor, ""]:
        tokens = inferred.features.tokens
        return token_contrast_loss(tokens, at_tokens(self.colour_labels(batch, seeds.auxiliary), tokens))

    def _contrastive_affinity(
        self, affinity: Float[Tensor, "b n n"], labels: Int[Tensor, "b h w"]
    ) -> Float[Tensor, ""]:
        config = self.config.contrastive_affinity
        return contrastive_affinity_loss(
            affinity,
            labels,
            temperature=config.temperature,
            negatives=config.negatives,
            form=config.form,
            radius=config.radius,
        )

    def _segmentation(
        self, batch: Batch, inferred: Inferred, logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"]
    ) -> dict[str, Tensor]:
        energy = self.config.energy
        weights = self.cine.pixel_weights(
            batch,
            lambda: self._uncertainty_map(inferred, logits.softmax(dim=1)),
            otherwise=torch.ones_like(logits[:, 0]),
        )
        values = {"segmentation": pixel_label_loss(logits, labels, weights, kind=self.config.segmentation_loss)}
        if energy.weight > 0:
            values["energy"] = dense_energy_loss(
                255.0 * batch.images,
                logits,
                labels,
                boxes=batch.boxes,
                weight=energy.energy_weight,
                sigma_rgb=energy.sigma_rgb,
                sigma_xy=energy.sigma_xy,
                scale=energy.scale,
                filtering=energy.filtering,
            )
        return values

    def _uncertainty_map(self, inferred: Inferred, probs: Float[Tensor, "b k h w"]) -> Float[Tensor, "b h w"]:
        if inferred.gaussian is None:
            return entropy(probs)
        over_channels = inferred.gaussian.uncertainty.mean(dim=1, keepdim=True)
        return min_max_normalised(upsampled(over_channels, probs))[:, 0]

    @property
    def _weights(self) -> dict[str, float]:
        config = self.config
        return {
            "classification": 1.0,
            "auxiliary": config.auxiliary_weight,
            "distribution": config.distribution.weight,
            "token_contrast": config.token_contrast_weight,
            "affinity": config.contrastive_affinity.weight,
            "segmentation": config.segmentation_weight,
            "energy": config.energy.weight,
        }

    def _started(self, step: int) -> set[str]:
        """The parts of the loss beyond classification that are switched on and have begun."""
        enabled = {
            "distribution": self.config.distribution.enabled and self.uncertainty is not None,
            "token_contrast": self.config.token_contrast_weight > 0,
            "affinity": self.config.contrastive_affinity.enabled,
            "segmentation": self.config.segmentation_weight > 0,
        }
        return {part for part, on in enabled.items() if on and self._reached(f"{part}_from", step)}

    def _reached(self, moment: str, step: int) -> bool:
        return step >= self.config.schedule.iteration(moment, self.iterations)


def at_tokens(labels: Int[Tensor, "b h w"], tokens: Float[Tensor, "b dim ht wt"]) -> Int[Tensor, "b ht wt"]:
    """A label map read at the centre of every token."""
    coarse = F.interpolate(labels[:, None].float(), size=tokens.shape[-2:], mode="nearest-exact")
    return coarse[:, 0].long()
