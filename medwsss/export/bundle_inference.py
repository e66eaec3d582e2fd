"""What a MONAI bundle of medwsss runs: the trained method as a network, and the prediction of ``medwsss predict``."""

from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from medwsss.config.data import VolumeDataConfig
from medwsss.config.loading import load_config, read_layer
from medwsss.engine.predict import claim_outputs, file_items, predict_item
from medwsss.engine.quality import CaseQuality, write_quality
from medwsss.engine.run_folder import without_foreign_weights
from medwsss.errors import CheckpointError, ConfigError
from medwsss.methods import build_method


class BundleNetwork(nn.Module):
    """A trained method; called with slices it gives probabilities."""

    def __init__(self, config_file: str, weights_file: str) -> None:
        """Paths within the bundle.

        Raises:
            ConfigError: the configuration is damaged.
            CheckpointError: the weights are damaged or do not fit it.
        """
        super().__init__()
        self.config = load_config([read_layer(Path(config_file))])
        if not isinstance(self.config.data, VolumeDataConfig):
            raise ConfigError(f"{config_file} is not of a run on volumes: no other run is exported as a bundle")
        self.data = self.config.data
        self.labels = self.data.segmented.labels
        self.method = build_method(without_foreign_weights(self.config), self.labels)
        try:
            self.method.load_state_dict(load_file(weights_file))
        except (SafetensorError, RuntimeError, OSError) as error:
            raise CheckpointError(
                f"{weights_file} does not fit {config_file}: {' '.join(str(error).split())}"
            ) from None
        self.eval()

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Probabilities of background and classes, of one view; images in [0, 1]."""
        return self.method.predict(images).probs


def segment_folder(network: BundleNetwork, images: str, labels: str, device: torch.device) -> None:
    """Segment every NIfTI file in ``images`` with all views of the run's configuration; results go to ``labels``.

    Raises:
        MedwsssError: as ``medwsss predict`` does.
    """
    items, out = file_items(Path(images)), Path(labels)
    claim_outputs(out, items, overwrite=True)
    qualities: list[CaseQuality] = []
    for item in items:
        qualities += predict_item(
            network.method,
            item,
            out,
            grid=network.data.grid,
            inference=network.config.inference,
            labels=network.labels,
            device=device,
        )
    write_quality(qualities, network.labels, out)
