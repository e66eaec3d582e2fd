"""What a run learns from: images with tags, with stored pseudo-labels, with cine seeds, or with two of them."""

from pathlib import Path

from medwsss.config.schema import RunConfig
from medwsss.config.segmenters import RetrainConfig, SeedsConfig, pseudo_root
from medwsss.data.loading import VolumeData
from medwsss.data.prepared import PreparedData
from medwsss.data.pseudo_sets import pseudo_training_set
from medwsss.data.sample import TrainingSet
from medwsss.data.seeded_sets import seeded_training_set


def uses_seeds(config: RunConfig) -> bool:
    """Whether cine seeds teach this run: as all there is (``seeds``), or beside something else (add-on ``cine``)."""
    return isinstance(config.method, SeedsConfig) or config.addons.cine.enabled


def given_seeds(config: RunConfig) -> Path | None:
    """The folder of seeds that the configuration names; None where the run makes them."""
    return config.method.seeds if isinstance(config.method, SeedsConfig) else config.addons.cine.seeds


def without_rounds(config: RunConfig) -> RunConfig:
    """The same run on labels as they are: what a fold of self-training trains."""
    return config.model_copy(update={"self_training": config.self_training.model_copy(update={"rounds": 0})})


def training_samples(config: RunConfig, data: PreparedData, seeds: Path | None) -> TrainingSet:
    """The training part of the data with what the method learns from.

    Args:
        config: method and add-ons.
        data: images, split and tags.
        seeds: folder of seeds of the training patients; needed if ``uses_seeds``.

    Raises:
        ConfigError: ``retrain`` has no folder of pseudo-labels.
        DatasetError: a folder is incomplete or does not belong to the data.
        VolumeError: a file cannot be read.
    """
    match config.method:
        case RetrainConfig():
            samples = pseudo_training_set(data, pseudo_root(config.method))
        case SeedsConfig():
            return pseudo_training_set(data, _required(seeds))
        case _:
            samples = data.training_set()
    if config.addons.cine.enabled and isinstance(data, VolumeData):
        return seeded_training_set(samples, data, _required(seeds))
    return samples


def _required(seeds: Path | None) -> Path:
    if seeds is None:
        raise ValueError("seeds must be a folder where cine seeds teach")
    return seeds
