"""The methods, by name."""

from medwsss.config.schema import RunConfig
from medwsss.labels import LabelSet
from medwsss.methods.cam import CamBaseline
from medwsss.methods.method import Method
from medwsss.methods.unia import UniA
from medwsss.models.encoder import Encoder


def build_method(config: RunConfig, labels: LabelSet) -> Method:
    """The configured method with its encoder; weights come from the hub, a file, or the current torch seed."""
    encoder = Encoder(config.encoder, image_size=config.data.crop)
    match config.method.name:
        case "unia":
            return UniA(
                config.method,
                encoder=encoder,
                num_foreground=labels.num_foreground,
                iterations=config.training.iterations,
            )
        case "cam":
            return CamBaseline(config.method, encoder=encoder, num_foreground=labels.num_foreground)
