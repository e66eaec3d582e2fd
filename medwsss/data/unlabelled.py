"""Images of a data set without labels, tags or masks: what self-supervised pretraining learns from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float32

from medwsss.config.data import DataConfig, FolderDataConfig, PhotographDataConfig, VolumeDataConfig
from medwsss.config.pretraining import PretrainingConfig
from medwsss.data import IMAGE_SETS
from medwsss.data.acdc import find_studies
from medwsss.data.folder_studies import folder_studies
from medwsss.data.image_labels import ImageLabels
from medwsss.data.loading import split_origin, volume_split
from medwsss.data.photographs import PhotographSet, check_files, listed_split
from medwsss.data.sample import Draw, Sample, SliceKey, TrainingSet, photograph_key
from medwsss.data.slice_cache import SliceCache
from medwsss.data.splits import Split
from medwsss.data.study import Frame, Study
from medwsss.data.study_table import TABLE_NAME, read_study_table
from medwsss.data.transforms import TrainingTransform, channels_of
from medwsss.volumes.io import load_volume

Frames = Mapping[tuple[str, str], Frame]
"""Frames by patient and phase; frames of a cine between the labelled ones are called frameNN."""


@dataclass(frozen=True)
class UnlabelledData:
    """Images, and which part of the data set they are."""

    samples: TrainingSet
    """Without tags: ``image_labels`` of a sample has no entry."""
    split: Split
    """The same that ``medwsss train`` makes of these settings."""
    source: str
    """The data set in words."""
    split_source: str
    """Where the split comes from, in words."""
    seen: str
    """What is learned from, in words."""


class UnlabelledSlices(TrainingSet):
    """The slices of frames; ``dataset[Draw(index, seed)]`` is determined by the draw alone."""

    def __init__(self, frames: Frames, data: VolumeDataConfig, cache: SliceCache) -> None:
        """Files are read here unless cached.

        Raises:
            DatasetError: a 4D file has no such frame.
            VolumeError: a file cannot be read.
        """
        self._frames, self._grid, self._cache = frames, data.grid, cache
        self._transform = TrainingTransform(data.grid, data.augmentation)
        self.keys = tuple(
            SliceKey(patient, phase, index)
            for (patient, phase), frame in frames.items()
            for index in range(len(cache.stack(frame, data.grid)))
        )

    def __len__(self) -> int:
        return len(self.keys)

    def file_of(self, key: SliceKey) -> Path:
        """The volume that the slice is of."""
        return self._frames[key.patient, key.phase].path

    def __getitem__(self, draw: Draw) -> Sample:
        """One augmented slice."""
        key = self.keys[draw.index]
        stack = self._cache.stack(self._frames[key.patient, key.phase], self._grid)
        image, box = self._transform(channels_of(stack, key.index, self._grid), draw.seed)
        return Sample(image, _no_tags(), box, key)


def unlabelled_data(config: DataConfig, root: Path, pretraining: PretrainingConfig) -> UnlabelledData:
    """The training part of the split that ``medwsss train`` makes of the same settings, or all with ``all_patients``.

    No mask, tag or annotation is opened, and of held-out patients no image either, unless all are asked for.

    Raises:
        DatasetError, VolumeError: the data set is missing or damaged.
        SplitError: the split does not fit the data set.
    """
    match config:
        case VolumeDataConfig():
            return _volumes(config, root, pretraining)
        case PhotographDataConfig():
            return _photographs(config, root, pretraining)


def frames_of(studies: Sequence[Study], which: Literal["ed-es", "all"]) -> Frames:
    """Both phases of studies or, where a study has a 4D file and all are wanted, its whole cycle.

    Raises:
        VolumeError: a 4D file cannot be read.
    """
    return {
        (study.patient, phase): frame
        for study in studies
        for phase, frame in [*study.frames.items(), *_between(study, which)]
    }


def _between(study: Study, which: Literal["ed-es", "all"]) -> Iterator[tuple[str, Frame]]:
    """The frames of a cine that are neither ED nor ES."""
    if which == "ed-es" or study.cine is None:
        return
    labelled = {frame.number for frame in study.frames.values()}
    for number in range(1, load_volume(study.cine).frames + 1):
        if number not in labelled:
            yield f"frame{number:02d}", Frame(study.cine, number, time_index=number - 1)


def _volumes(config: VolumeDataConfig, root: Path, pretraining: PretrainingConfig) -> UnlabelledData:
    studies = _studies(config, root)
    split = volume_split(config, studies)
    chosen = {*split.train, *(split.held_out if pretraining.all_patients else ())}
    frames = frames_of([study for study in studies if study.patient in chosen], pretraining.frames)
    samples = UnlabelledSlices(frames, config, SliceCache(config.cache_dir))
    return UnlabelledData(
        samples,
        split,
        source=f"{len(studies)} patients in {root}",
        split_source=f"{split_origin(config, split)}, by patient",
        seen=_seen(f"{len(samples)} slices of {len(frames)} frames", split, "patients", pretraining),
    )


def _photographs(config: PhotographDataConfig, root: Path, pretraining: PretrainingConfig) -> UnlabelledData:
    image_set = IMAGE_SETS[config.name](root)
    split = listed_split(config, image_set)
    names = list(split.train)
    check_files(image_set, split.train, config.train)
    if pretraining.all_patients:
        names += split.held_out
        check_files(image_set, split.held_out, config.held_out)
    untagged = ImageLabels((), {photograph_key(name): () for name in names})
    samples = PhotographSet({name: image_set.image_path(name) for name in names}, untagged, config)
    lists = f"lists {config.train} and {config.held_out}"
    return UnlabelledData(
        samples,
        split,
        source=f"{lists} in {root}",
        split_source=lists,
        seen=_seen(f"{len(samples)} photographs", split, "images", pretraining),
    )


def _studies(config: VolumeDataConfig, root: Path) -> Sequence[Study]:
    if isinstance(config, FolderDataConfig):
        return folder_studies(root, read_study_table(config.tags or root / TABLE_NAME)).studies
    return find_studies(root)


def _seen(samples: str, split: Split, members: str, pretraining: PretrainingConfig) -> str:
    if pretraining.all_patients:
        return f"{samples}, of all {len(split.train) + len(split.held_out)} {members}: also of those held out"
    return f"{samples}, of {len(split.train)} training {members}; the {len(split.held_out)} held out are not seen"


def _no_tags() -> Float32[torch.Tensor, "0"]:
    return torch.zeros(0)
