"""USAGE: seed areas of controlled shape, kept steady by a teacher that the student moves away from as it learns."""

import copy
import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medwsss.config.encoder import EncoderConfig
from medwsss.config.methods import UsageConfig
from medwsss.data.sample import Batch
from medwsss.errors import ConfigError
from medwsss.losses.seed_consistency import seed_consistency_loss
from medwsss.losses.seed_generation import controlled_scores
from medwsss.methods.cam_prediction import CamMethod
from medwsss.methods.method import LossTerms, StepMaps, at_tokens_inside, tag_loss, tagged_alone
from medwsss.models.encoder import Encoder
from medwsss.models.heads import Classifier
from medwsss.ranks import over_batch


class Teacher(nn.Module):
    """The moving average of encoder and classifier; it never gets a gradient."""

    def __init__(self, encoder: Encoder, classifier: Classifier) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.classifier = copy.deepcopy(classifier)
        self.requires_grad_(False)

    @torch.no_grad()
    def follow(self, encoder: Encoder, classifier: Classifier, *, decay: float) -> None:
        """Weights become decay · own + (1 − decay) · student's; the statistics of batch normalisation are copied."""
        for own, student in ((self.encoder, encoder), (self.classifier, classifier)):
            for weight, followed in zip(own.parameters(), student.parameters(), strict=True):
                weight.lerp_(followed, 1.0 - decay)
            for statistic, current in zip(own.buffers(), student.buffers(), strict=True):
                statistic.copy_(current)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b cls ht wt"]:
        """The teacher's score map."""
        return self.classifier.score_map(self.encoder(images).tokens)


class Usage(CamMethod):
    """Generation loss (Eq. 8) and regularisation by a teacher (Eq. 9); predictions are made by the student."""

    learning_status: Tensor
    """Moving average of the classification score: in [0, 1], 0 before the first step."""

    def __init__(self, config: UsageConfig, *, encoder: Encoder, num_foreground: int, iterations: int) -> None:
        """``encoder`` is built from the settings that ``with_drop_path`` gives.

        Raises:
            ConfigError: the encoder has no drop-path layers, and a rate is above 0.
        """
        super().__init__(config.cam, config.pixel_adaptive, encoder=encoder, num_foreground=num_foreground)
        self.config = config
        self.iterations = iterations
        self.teacher = Teacher(encoder, self.classifier) if config.regularisation_weight > 0 else None
        self.register_buffer("learning_status", torch.zeros(()))
        self._adjust(growth=1.0)  # fails now rather than at some step

    def training_step(self, batch: Batch, *, step: int, generator: torch.Generator) -> LossTerms:
        """L_GEN under the name of a classification loss, and L_REG (Eq. 5).

        The teacher follows at the start of a step: then the student's weights are those of the last update.
        """
        self._adjust(growth=self._growth(step))
        if self.teacher is not None:
            self.teacher.follow(self.encoder, self.classifier, decay=self.config.teacher_decay)
        scores = self._scores(batch.images)
        inside = at_tokens_inside(batch, scores)
        logits = self.pooled(scores, inside=inside)
        values = {"classification": tag_loss(logits, batch)}
        if self.teacher is not None:
            values["consistency"] = self._consistency(scores, self.teacher(batch.images), inside)
        self._watch(logits, tagged_alone(batch, logits).image_labels)
        weights = {"classification": 1.0, "consistency": self.config.regularisation_weight}
        return LossTerms(values, {name: weights[name] for name in values}, StepMaps(scores, logits=logits))

    def pooled(
        self, scores: Float[Tensor, "b cls ht wt"], *, inside: Bool[Tensor, "b ht wt"] | None = None
    ) -> Float[Tensor, "b cls"]:
        """s̃ of Eq. 8, or the global average, which is the same at an infinite temperature."""
        temperature = self.config.temperature if self.config.mapping == "controlled" else math.inf
        return controlled_scores(scores, temperature=temperature, background=self.config.background, inside=inside)

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """The classifier's; the teacher has nothing to learn."""
        return self.classifier.parameters()

    def _consistency(
        self,
        student: Float[Tensor, "b cls ht wt"],
        teacher: Float[Tensor, "b cls ht wt"],
        inside: Bool[Tensor, "b ht wt"],
    ) -> Float[Tensor, ""]:
        temperature, background = self.config.regularisation_temperature, self.config.background
        return seed_consistency_loss(student, teacher, temperature=temperature, background=background, inside=inside)

    def _growth(self, step: int) -> float:
        """How far the student's rates have grown, from 0 to 1 (Table 7)."""
        match self.config.schedule:
            case "fixed":
                return 1.0
            case "linear":
                return min(1.0, step / max(1, self.iterations - 1))
            case "self_adaptive":
                return float(self.learning_status)

    def _adjust(self, *, growth: float) -> None:
        """The weak adjustment of the teacher and, ``growth`` on the way to its strongest, that of the student."""
        if self.teacher is None:
            return
        drop_path, dropout = (
            start + growth * (largest - start)
            for start, largest in (self.config.student_drop_path, self.config.student_dropout)
        )
        self.encoder.set_adjustment(drop_path=drop_path, dropout=dropout)
        self.teacher.encoder.set_adjustment(drop_path=self.config.teacher_drop_path, dropout=0.0)

    @torch.no_grad()
    def _watch(self, logits: Float[Tensor, "b cls"], image_labels: Float[Tensor, "b cls"]) -> None:
        """The score is the mean probability of the tagged classes; a batch without tags tells nothing."""
        tagged = image_labels > 0
        count = over_batch(tagged.sum())
        if count > 0:
            score = over_batch((logits.sigmoid() * tagged).sum()) / count
            self.learning_status.lerp_(score, 1.0 - self.config.teacher_decay)


def with_drop_path(encoder: EncoderConfig, method: UsageConfig) -> EncoderConfig:
    """The encoder's settings with drop-path layers for the largest rate of the method; without teacher as they are.

    Raises:
        ConfigError: a rate among the encoder's own arguments would be overruled.
    """
    if method.regularisation_weight == 0:
        return encoder
    overruled = sorted({"drop_path_rate", "drop_rate", "pos_drop_rate", "proj_drop_rate"} & set(encoder.arguments))
    if overruled:
        raise ConfigError(
            f"method usage sets the rates of drop-path and dropout itself: leave encoder.arguments.{overruled[0]} out,"
            " set method.student_drop_path, method.student_dropout and method.teacher_drop_path"
        )
    largest = max(method.teacher_drop_path, method.student_drop_path[1])
    if largest == 0:
        return encoder
    return encoder.model_copy(update={"arguments": {**encoder.arguments, "drop_path_rate": largest}})
