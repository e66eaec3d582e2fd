"""Volumes made ready for a run: studies, their split and their image-level labels."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medwsss.config.data import VolumeDataConfig
from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.image_labels import ImageLabels, image_labels_from_masks, read_image_labels, write_image_labels
from medwsss.data.prepared import PreparedData, tags_source
from medwsss.data.slice_cache import SliceCache
from medwsss.data.slices import SliceDataset, slice_keys
from medwsss.data.splits import Split, check_split, draw_split, read_split
from medwsss.data.study import PHASES, Study
from medwsss.data.twins import check_no_twins
from medwsss.errors import DatasetError, MedwsssWarning, SplitError
from medwsss.labels import Task, cardiac_task


@dataclass(frozen=True, kw_only=True)
class VolumeData(PreparedData):
    """Studies of patients, split by patient."""

    samples = "slices"
    members = "patients"
    config: VolumeDataConfig
    root: Path
    studies: tuple[Study, ...]
    """All patients found."""
    references: Mapping[str, Path]
    """Mask file by ``case_id``, for scoring alone; not every volume needs one."""
    cache: SliceCache

    @property
    def task(self) -> Task:
        """The classes, and the numbers that masks hold for them."""
        return self.config.segmented

    @property
    def cine_task(self) -> Task:
        """The same for what the cine prior finds in hearts.

        Raises:
            DatasetError: a class is no structure of the heart, or a patient lacks ED or ES.
        """
        task = cardiac_task(self.labels)
        if task is None:
            raise DatasetError(
                f"cine seeds know RV, MYO, LV and heart and call all else background, but classes are"
                f" {', '.join(self.labels.names)}: leave cine out"
            )
        without = [study.patient for study in self.studies if set(study.frames) != set(PHASES)]
        if without:
            raise DatasetError(
                f"cine seeds need ED and ES of every patient, {len(without)} have other volumes (first {without[0]}):"
                " name both phases, or leave cine out"
            )
        return task

    @property
    def training(self) -> tuple[Study, ...]:
        """Patients that train."""
        return _chosen(self.studies, self.split.train)

    @property
    def held_out(self) -> tuple[Study, ...]:
        """Patients that training never sees."""
        return _chosen(self.studies, self.split.held_out)

    def training_set(self) -> SliceDataset:
        """The slices of the training patients."""
        return SliceDataset(self.training, self.image_labels, self.config, self.cache)


def load_acdc(config: VolumeDataConfig, root: Path, tags_path: Path) -> VolumeData:
    """Find the patients, split them, and read their image-level labels.

    Without ``config.tags`` the labels are derived from the masks of all patients and written to ``tags_path``, and
    training reads them from there; with it, no mask is opened, and held-out patients may have no rows.

    Args:
        config: task, tags, split, grid.
        root: see ``acdc.find_studies``.
        tags_path: CSV file to write.

    Raises:
        DatasetError, VolumeError: the data set is missing or damaged.
        SplitError: the split does not fit the patients, or one of its patients is on both sides by another name.
        ImageLabelsError: the labels do not fit the slices.
        OutputError: ``tags_path`` cannot be written.
    """
    data = load_untagged_acdc(config, root)
    if config.tags is None:
        write_image_labels(image_labels_from_masks(data.studies, data.references, data.task), tags_path)
    image_labels = read_image_labels(
        config.tags or tags_path,
        data.labels,
        known_keys=slice_keys(data.studies, data.cache, config.grid),
        required_keys=slice_keys(data.training, data.cache, config.grid),
    )
    check_no_twins(data.studies, data.split, data.cache, config.grid)
    return replace(data, image_labels=image_labels, tags_source=tags_source(config))


def load_untagged_acdc(config: VolumeDataConfig, root: Path) -> VolumeData:
    """The same without image-level labels: no table and no mask is opened.

    Raises:
        DatasetError: the data set is missing or damaged.
        SplitError: the split does not fit the patients.
    """
    studies, labels = tuple(find_studies(root)), config.segmented.labels
    split = volume_split(config, studies)
    return VolumeData(
        config=config,
        labels=labels,
        root=root,
        studies=studies,
        references=reference_masks(root),
        split=split,
        image_labels=ImageLabels(labels.names, {}),
        cache=SliceCache(config.cache_dir),
        source=f"{len(studies)} patients in {root}",
        tags_source="none",
        split_source=f"{split_origin(config, split)}, by patient",
    )


def volume_split(config: VolumeDataConfig, studies: Sequence[Study]) -> Split:
    """The stored or drawn split of patients; a ``MedwsssWarning`` counts those that a stored one leaves out.

    Raises:
        SplitError: it cannot be read or does not fit the patients.
    """
    groups = {study.patient: study.group for study in studies}
    if config.split.file is None:
        return draw_split(groups, held_out_fraction=config.split.held_out_fraction, seed=config.split.seed)
    split = read_split(config.split.file)
    try:
        check_split(split, groups)
    except SplitError as error:
        raise SplitError(f"{config.split.file}: {error}") from None
    unused = sorted(set(groups) - {*split.train, *split.held_out})
    if unused:
        message = f"{len(unused)} patients are in neither part of {config.split.file}, first {unused[0]}: left unused"
        warnings.warn(message, MedwsssWarning, stacklevel=3)
    return split


def split_origin(config: VolumeDataConfig, split: Split) -> str:
    """Where a split comes from, in words."""
    return f"file {config.split.file}" if config.split.file else f"drawn with seed {split.seed}"


def _chosen(studies: Sequence[Study], patients: Sequence[str]) -> tuple[Study, ...]:
    wanted = set(patients)
    return tuple(study for study in studies if study.patient in wanted)
