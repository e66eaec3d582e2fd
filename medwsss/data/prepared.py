"""A data set made ready for a run: what every kind of data offers to training, whatever lies on disk."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from medwsss.config.data import PhotographDataConfig, VolumeDataConfig
from medwsss.data.image_labels import ImageLabels
from medwsss.data.sample import TrainingSet
from medwsss.data.splits import Split
from medwsss.labels import LabelSet


@dataclass(frozen=True, kw_only=True)
class PreparedData(ABC):
    """Split and image-level labels of a data set, and where each of them came from."""

    labels: LabelSet
    split: Split
    image_labels: ImageLabels
    source: str
    """The data set in words, for the report."""
    tags_source: str
    """Where the image-level labels come from, in words."""
    split_source: str
    """Where the split comes from, in words."""
    samples: ClassVar[str]
    """What a sample is called in the plural: slices, or images."""
    members: ClassVar[str]
    """What the split holds apart: patients, or images."""

    @abstractmethod
    def training_set(self) -> TrainingSet:
        """The training part, one image at a time."""


def tags_source(config: VolumeDataConfig | PhotographDataConfig) -> str:
    """Where image-level labels come from, in words."""
    if config.tags is not None:
        return f"table {config.tags}"
    if isinstance(config, PhotographDataConfig) and config.tags_from == "annotations":
        return "annotations of objects"
    return "derived from the reference masks (research)"
