"""Pretraining from settings to the file that ``medwsss train --weights`` takes."""

import hashlib

import torch

from medwsss.config.encoder import EncoderConfig
from medwsss.config.pretraining import PretrainConfig
from medwsss.data.records import save_record
from medwsss.data.unlabelled import UnlabelledData
from medwsss.engine.run_folder import RunFolder, versions
from medwsss.engine.seeding import derived_seed
from medwsss.errors import ConfigError, OutputError
from medwsss.methods.masked_images import MaskedImages
from medwsss.models.encoder import VitEncoder, has_attention
from medwsss.models.weights import save_weights
from medwsss.writing import written_whole

_DESCRIBED = {"masked_images": "masked image modelling"}


def build_pretraining(config: PretrainConfig, *, restored: bool) -> MaskedImages:
    """What learns, with weights from the seed, or from ``encoder.weights`` or the hub where the settings say so.

    Args:
        config: the settings.
        restored: whether a checkpoint will follow, so that no weights are looked for.

    Raises:
        ConfigError: the encoder is no vision transformer, or cannot be built.
        WeightsError: the encoder's weights cannot be had.
    """
    encoder = config.encoder
    if not has_attention(encoder):
        raise ConfigError(
            f"pretraining hides tokens of a vision transformer (vit_*, deit_*), and encoder {encoder.name} is none:"
            " choose another encoder.name"
        )
    if restored:
        encoder = encoder.model_copy(update={"pretrained": False, "weights": None})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(config.training.seed, "initialisation"))
        return MaskedImages(config.pretraining, encoder=VitEncoder(encoder, image_size=config.data.crop))


def store_encoder(run: RunFolder, learner: MaskedImages, config: PretrainConfig, data: UnlabelledData) -> None:
    """Write weights.safetensors, and pretraining.json that says what it has learned from, and how.

    Raises:
        OutputError: one of them cannot be written.
    """
    what, iterations = _DESCRIBED[config.pretraining.objective], config.training.iterations
    origin = f"medwsss pretrain ({what}, {iterations} iterations on {data.seen}; split hash {data.split.hash})"
    try:
        with written_whole(run.weights) as partial:
            save_weights(learner.encoder.vit, partial, origin=origin)
    except OSError as error:
        raise OutputError(f"cannot write {run.weights}: {error.strerror}; free some space, then --resume") from None
    record = {
        "objective": what,
        "learned from": data.seen,
        "data": data.source,
        "split": f"{data.split_source}, hash {data.split.hash}",
        "labels, tags, masks": "none",
        "started from": _start(config.encoder),
        "iterations": iterations,
        "sha256": hashlib.sha256(run.weights.read_bytes()).hexdigest(),
        "commit": versions()["commit"],
    }
    save_record(run.pretraining, record)


def _start(encoder: EncoderConfig) -> str:
    """In words from the settings, because a resumed run has its weights from a checkpoint."""
    if encoder.weights is not None:
        return str(encoder.weights)
    return f"{encoder.name} from the timm hub" if encoder.pretrained else "random weights"
