"""The methods, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from medwsss.config.encoder import EncoderConfig
from medwsss.config.schema import RunConfig
from medwsss.config.segmenters import pseudo_root
from medwsss.errors import ConfigError
from medwsss.labels import LabelSet
from medwsss.methods.addons import check_add_ons, with_add_ons
from medwsss.methods.cam import CamBaseline
from medwsss.methods.method import Method
from medwsss.methods.retrain import Retrain
from medwsss.methods.unia import UniA
from medwsss.methods.usage import Usage, with_drop_path
from medwsss.models.encoder import VitEncoder, build_encoder, has_attention
from medwsss.models.segmenter import build_segmenter

METHODS: Mapping[str, type[Method]] = MappingProxyType(
    {"unia": UniA, "cam": CamBaseline, "usage": Usage, "retrain": Retrain, "seeds": Retrain}
)
"""By ``method.name``; one of them is built by ``build_method``."""


def check_trainable(config: RunConfig) -> None:
    """Refuse a run that cannot be trained whatever its data; nothing is built or read for it.

    Raises:
        ConfigError: an add-on needs what the method never produces, the encoder lacks what the method needs, or there
            are no pseudo-labels to retrain with.
    """
    check_add_ons(config.addons, METHODS[config.method.name].offers, name=config.method.name)
    match config.method.name:
        case "unia":
            _check_attention(config.encoder)
        case "retrain":
            pseudo_root(config.method)


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
            _check_attention(config.encoder)
            transformer = VitEncoder(config.encoder, image_size=crop)
            return UniA(
                config.method,
                encoder=transformer,
                num_foreground=num_foreground,
                iterations=iterations,
                cine=config.addons.cine,
            )
        case "cam":
            encoder = build_encoder(config.encoder, image_size=crop)
            return CamBaseline(config.method, encoder=encoder, num_foreground=num_foreground)
        case "usage":
            encoder = build_encoder(with_drop_path(config.encoder, config.method), image_size=crop)
            return Usage(config.method, encoder=encoder, num_foreground=num_foreground, iterations=iterations)
        case "retrain" | "seeds":
            network = build_segmenter(config.method, config.encoder, image_size=crop, num_classes=labels.num_classes)
            return Retrain(config.method, network=network, cine=config.addons.cine)


def _check_attention(config: EncoderConfig) -> None:
    if not has_attention(config):
        raise ConfigError(
            f"method unia needs attention, which encoder {config.name} does not have: choose a vision transformer"
            " (vit_*, deit_*), or method cam or usage"
        )
