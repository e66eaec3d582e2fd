"""The whole configuration of a run: frozen, validated once, an unknown key is an error."""

from pydantic import model_validator

from medwsss.config.addons import AddOnsConfig
from medwsss.config.cine import CineConfig
from medwsss.config.data import AcdcDataConfig, DataConfig, VolumeDataConfig
from medwsss.config.encoder import EncoderConfig
from medwsss.config.methods import CamBaselineConfig, MethodConfig, UsageConfig
from medwsss.config.section import Section
from medwsss.config.segmenters import SeedsConfig
from medwsss.config.self_training import SelfTrainingConfig
from medwsss.config.training import InferenceConfig, TrainingConfig
from medwsss.config.unia import UniAConfig


class RunConfig(Section):
    """A whole run."""

    data: DataConfig = AcdcDataConfig()
    encoder: EncoderConfig = EncoderConfig()
    method: MethodConfig = UniAConfig()
    addons: AddOnsConfig = AddOnsConfig()
    cine: CineConfig = CineConfig()
    self_training: SelfTrainingConfig = SelfTrainingConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()

    @model_validator(mode="after")
    def _decoder_is_trained(self) -> "RunConfig":
        iterations = self.training.iterations
        if isinstance(self.method, UniAConfig) and self.method.segmentation_weight > 0:
            start = self.method.schedule.iteration("segmentation_from", iterations)
            if start >= iterations:
                raise ValueError(
                    f"method.schedule.segmentation_from ({start}) leaves none of the {iterations} iterations to train"
                    " the decoder, which predicts: start earlier"
                )
        return self

    @model_validator(mode="after")
    def _crf_has_colours(self) -> "RunConfig":
        if isinstance(self.data, VolumeDataConfig):
            if self.inference.crf.enabled:
                raise ValueError(
                    "inference.crf needs colours, and volumes have none: set inference.crf.enabled to false"
                )
            if self.addons.urn.refine == "crf":
                raise ValueError(
                    "addons.urn.refine=crf needs colours, and volumes have none: set addons.urn.refine to none or par"
                )
        return self

    @model_validator(mode="after")
    def _cine_can_teach(self) -> "RunConfig":
        cine = self.addons.cine
        if cine.enabled and not isinstance(self.data, VolumeDataConfig):
            raise ValueError(f"addons.cine needs a beating heart, and {self.data.name} has photographs: leave cine out")
        if cine.enabled and cine.cam_weight == 0 and isinstance(self.method, CamBaselineConfig | UsageConfig):
            raise ValueError(
                f"addons.cine.cam_weight=0 leaves seeds nothing to teach method {self.method.name}, whose labels are"
                " its activation maps: raise it, or leave cine out"
            )
        return self

    @model_validator(mode="after")
    def _seeds_are_of_hearts(self) -> "RunConfig":
        own = isinstance(self.method, SeedsConfig)
        if own and not isinstance(self.data, VolumeDataConfig):
            raise ValueError(f"method seeds needs a beating heart, and {self.data.name} has photographs")
        if own and self.addons.cine.enabled:
            raise ValueError("method seeds learns from cine seeds and nothing else: leave add-on cine out")
        if self.self_training.rounds > 0 and not (own or self.addons.cine.enabled):
            raise ValueError(
                f"self_training.rounds repairs cine seeds, and method {self.method.name} has none: use method seeds, or"
                " add-on cine"
            )
        return self

    @model_validator(mode="after")
    def _urn_can_weigh(self) -> "RunConfig":
        urn = self.addons.urn
        if len(urn.scales) < 2:
            raise ValueError("addons.urn.scales must hold two or more exponents, for labels to flip between")
        if urn.enabled and isinstance(self.method, UniAConfig) and self.method.segmentation_weight == 0:
            raise ValueError("addons.urn weighs the segmentation loss, which method.segmentation_weight=0 switches off")
        if urn.enabled and isinstance(self.method, UniAConfig) and self.method.segmentation_loss != "balanced":
            raise ValueError(
                "addons.urn acts inside the balanced loss: set method.segmentation_loss to balanced, or leave urn out"
            )
        return self
