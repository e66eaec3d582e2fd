"""Photographs made ready for a run: the images that train and those held out, with their image-level labels."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from medwsss.config.data import PhotographDataConfig
from medwsss.data.image_files import read_photograph
from medwsss.data.image_labels import ImageLabels, write_image_labels
from medwsss.data.image_set import ImageSet
from medwsss.data.photograph_labels import (
    compared,
    disagreements,
    read_photograph_tags,
    tags_from_masks,
    tags_where_possible,
)
from medwsss.data.photograph_transforms import PhotographTransform
from medwsss.data.prepared import PreparedData, tags_source
from medwsss.data.sample import Draw, Sample, SliceKey, TrainingSet, photograph_key
from medwsss.data.splits import Split
from medwsss.errors import DatasetError, MedwsssWarning, SplitError

ANNOTATIONS = "annotations of objects"


class PhotographSet(TrainingSet):
    """Photographs, decoded when asked for; ``dataset[Draw(index, seed)]`` is determined by the draw alone."""

    def __init__(self, paths: Mapping[str, Path], image_labels: ImageLabels, config: PhotographDataConfig) -> None:
        """``paths`` are the files of the images by name; every image needs a row in ``image_labels``."""
        self.keys = tuple(photograph_key(name) for name in paths)
        self.image_labels_array: UInt8[np.ndarray, "n cls"] = image_labels.array(self.keys)
        """Multi-hot labels by index, for samplers."""
        self._paths = dict(paths)
        self._transform = PhotographTransform(config.augmentation, config.crop)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, draw: Draw) -> Sample:
        """One augmented photograph.

        Raises:
            DatasetError: the file is missing or damaged.
        """
        key = self.keys[draw.index]
        image, box = self._transform(read_photograph(self.file_of(key)), draw.seed)
        tags = torch.from_numpy(self.image_labels_array[draw.index].astype(np.float32))
        return Sample(image, tags, box, key)

    def file_of(self, key: SliceKey) -> Path:
        """The photograph itself."""
        return self._paths[key.patient]


@dataclass(frozen=True, kw_only=True)
class PhotographData(PreparedData):
    """Photographs, split by the lists of their data set."""

    samples = "images"
    members = "images"
    config: PhotographDataConfig
    image_set: ImageSet

    def training_set(self) -> PhotographSet:
        """The images of the training list."""
        paths = {name: self.image_set.image_path(name) for name in self.split.train}
        return PhotographSet(paths, self.image_labels, self.config)


def load_photographs(config: PhotographDataConfig, image_set: ImageSet, tags_path: Path) -> PhotographData:
    """Read the two lists and the image-level labels, and see that the images are there.

    Without ``config.tags`` the labels are derived, written to ``tags_path``, and training reads them from there.
    Held-out images have labels where the source knows them; none are required. Where the data set's annotations are
    a second source, training images about which the two differ are counted in a ``MedwsssWarning``, and so are
    training images without any class.

    Args:
        config: lists and source of tags.
        image_set: the data set.
        tags_path: CSV file to write.

    Raises:
        DatasetError: there is no such list, an image is missing, or the mask or annotation of a training image is
            missing or damaged.
        SplitError: an image is in both lists.
        ImageLabelsError: the table of tags is malformed or does not fit the images.
        OutputError: ``tags_path`` cannot be written.
    """
    split = listed_split(config, image_set)
    check_files(image_set, split.train, config.train)
    check_files(image_set, split.held_out, config.held_out)
    if config.tags is None:
        write_image_labels(_derived(config, image_set, split), tags_path)
    image_labels = read_photograph_tags(config.tags or tags_path, image_set.labels, split.train)
    if config.tags is not None or config.tags_from == "masks":
        annotated, _ = tags_where_possible(image_set.annotated_tags, split.train, image_set.labels)
        if disagreements(image_labels, annotated):
            message = compared(image_labels, annotated, source=tags_source(config), other=ANNOTATIONS)
            warnings.warn(message, MedwsssWarning, stacklevel=2)
    _tell_of_images_without_class(image_labels, split.train)
    return PhotographData(
        config=config,
        labels=image_set.labels,
        split=split,
        image_labels=image_labels,
        image_set=image_set,
        source=f"{len(split.train)} images of list {config.train} and {len(split.held_out)} of {config.held_out} "
        f"in {image_set.root}",
        tags_source=tags_source(config),
        split_source=f"lists {config.train} and {config.held_out}",
    )


def listed_split(config: PhotographDataConfig, image_set: ImageSet) -> Split:
    """The split that the two lists of the data set are.

    Raises:
        DatasetError: there is no such list.
        SplitError: an image is in both.
    """
    train, held_out = image_set.names(config.train), image_set.names(config.held_out)
    held_out_too = set(held_out)
    shared = [name for name in train if name in held_out_too]
    if shared:
        raise SplitError(
            f"{len(shared)} images are in both lists {config.train} and {config.held_out} of {image_set.root}, "
            f"first {shared[0]}: an image trains or is held out, choose other lists"
        )
    return Split(train, held_out, seed=0)


def check_files(image_set: ImageSet, names: Sequence[str], part: str) -> None:
    """See that the images of a list are there.

    Raises:
        DatasetError: some are missing; the message counts them.
    """
    errors = []
    for name in names:
        try:
            image_set.image_path(name)
        except DatasetError as error:
            errors.append(error)
    if errors:
        raise DatasetError(f"{len(errors)} of {len(names)} images of list {part} are missing, first: {errors[0]}")


def _derived(config: PhotographDataConfig, image_set: ImageSet, split: Split) -> ImageLabels:
    """Tags of all training images, and of those held out that have the source."""
    if config.tags_from == "annotations":
        training = image_set.annotated_tags(split.train)
        held_out, failed = tags_where_possible(image_set.annotated_tags, split.held_out, image_set.labels)
        _tell_of_images_without_tags(failed, split.held_out, config.held_out)
        return ImageLabels(training.names, {**training.tags, **held_out.tags})
    bare = [name for name in split.train if not image_set.has_mask(name)]
    if bare:
        raise DatasetError(
            f"{len(bare)} of {len(split.train)} images of list {config.train} have no mask to take image-level labels "
            f"from, first {bare[0]}: set data.tags to a table, or data.tags_from to annotations"
        )
    return tags_from_masks(image_set, [*split.train, *filter(image_set.has_mask, split.held_out)])


def _tell_of_images_without_tags(bare: Mapping[str, str], names: Sequence[str], part: str) -> None:
    if bare:
        message = f"{len(bare)} of {len(names)} images of list {part} have no annotation that can be read"
        warnings.warn(f"{message}, first {next(iter(bare))}: their tags are left out", MedwsssWarning, stacklevel=4)


def _tell_of_images_without_class(image_labels: ImageLabels, names: Sequence[str]) -> None:
    empty = [name for name in names if not any(image_labels.of(photograph_key(name)))]
    if empty:
        message = (
            f"{len(empty)} of {len(names)} training images show no class, first {empty[0]}: they train as background"
        )
        warnings.warn(message, MedwsssWarning, stacklevel=3)
