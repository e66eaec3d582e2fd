"""The methods, by name."""

from medwsss.config.encoder import EncoderConfig
from medwsss.config.schema import RunConfig
from medwsss.errors import ConfigError
from medwsss.labels import LabelSet
from medwsss.methods.addons import with_add_ons
from medwsss.methods.cam import CamBaseline
from medwsss.methods.method import Method
from medwsss.methods.retrain import Retrain
from medwsss.methods.unia import UniA
from medwsss.methods.usage import Usage, with_drop_path
from medwsss.models.encoder import VitEncoder, build_encoder, has_attention
from medwsss.models.segmenter import build_segmenter


def build_method(config: RunConfig, labels: LabelSet) -> Method:
    """The configured method with its encoder and add-ons; weights come from the hub, a file, or the torch seed.

    Raises:
        ConfigError: the encoder cannot be built, or lacks what the method needs, or an add-on does.
        WeightsError: the encoder's weights cannot be had.
    """
    return with_add_ons(_plain_method(config, labels), config.addons, name=config.method.name)


def _plain_method(config: RunConfig, labels: LabelSet) -> Method:
    crop, num_foreground, iterations = config.data.crop, labels.num_foreground, config.training.iterations
    match config.method.name:
        case "unia":
            transformer = _with_attention(config.encoder, crop)
            return UniA(config.method, encoder=transformer, num_foreground=num_foreground, iterations=iterations)
        case "cam":
            encoder = build_encoder(config.encoder, image_size=crop)
            return CamBaseline(config.method, encoder=encoder, num_foreground=num_foreground)
        case "usage":
            encoder = build_encoder(with_drop_path(config.encoder, config.method), image_size=crop)
            return Usage(config.method, encoder=encoder, num_foreground=num_foreground, iterations=iterations)
        case "retrain":
            network = build_segmenter(config.method, config.encoder, image_size=crop, num_classes=labels.num_classes)
            return Retrain(config.method, network=network)


def _with_attention(config: EncoderConfig, crop: int) -> VitEncoder:
    if not has_attention(config):
        raise ConfigError(
            f"method unia needs attention, which encoder {config.name} does not have: choose a vision transformer"
            " (vit_*, deit_*), or method cam or usage"
        )
    return VitEncoder(config, image_size=crop)
