"""The whole configuration of a run: frozen, validated once, an unknown key is an error."""

from pydantic import model_validator

from medwsss.config.addons import AddOnsConfig
from medwsss.config.data import DataConfig, VolumeDataConfig
from medwsss.config.encoder import EncoderConfig
from medwsss.config.methods import MethodConfig
from medwsss.config.section import Section
from medwsss.config.training import InferenceConfig, TrainingConfig
from medwsss.config.unia import UniAConfig


class RunConfig(Section):
    """A whole run."""

    data: DataConfig = VolumeDataConfig()
    encoder: EncoderConfig = EncoderConfig()
    method: MethodConfig = UniAConfig()
    addons: AddOnsConfig = AddOnsConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "RunConfig":
        iterations = self.training.iterations
        if isinstance(self.method, UniAConfig) and self.method.segmentation_weight > 0:
            start = self.method.schedule.iteration("segmentation_from", iterations)
            if start >= iterations:
                raise ValueError(
                    f"method.schedule.segmentation_from ({start}) leaves none of the {iterations} iterations to train"
                    " the decoder, which predicts: start earlier"
                )
        if self.inference.crf.enabled and isinstance(self.data, VolumeDataConfig):
            raise ValueError("inference.crf needs colours, and volumes have none: set inference.crf.enabled to false")
        return self
