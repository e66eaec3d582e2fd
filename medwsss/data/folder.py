"""A folder of studies of your own, with a table that says what each of them, or each of their slices, shows."""

import warnings
from pathlib import Path

from pydantic import ValidationError

from medwsss.config.data import FolderDataConfig, VolumeDataConfig
from medwsss.data.folder_studies import entry_set, found_entries
from medwsss.data.folder_tags import entry_tags
from medwsss.data.loading import VolumeData, split_origin, volume_split
from medwsss.data.slice_cache import SliceCache
from medwsss.data.study_table import TABLE_NAME, read_study_table, study_tags
from medwsss.data.twins import check_no_twins
from medwsss.errors import ConfigError, MedwsssWarning

_USUAL_NAMES = {"lv": "LV", "rv": "RV", "myo": "MYO", "heart": "heart"}


def settled(config: FolderDataConfig) -> FolderDataConfig:
    """The configuration with its folder, its table and the classes of the table filled in.

    Raises:
        ConfigError: neither folder nor table is named, or the classes do not fit the other settings.
        ImageLabelsError: the table cannot be read.
    """
    if config.root is None and config.tags is None:
        raise ConfigError("data set folder needs your folder of studies: pass --root, and --tags for the table in it")
    root = config.root or (config.tags.parent if config.tags is not None else Path())
    table = config.tags or root / TABLE_NAME
    if config.tags is None and not table.is_file():
        raise ConfigError(f"{root} holds no {TABLE_NAME}: medwsss init {root} writes one, or pass --tags TABLE")
    classes = config.classes or study_tags(read_study_table(table)).classes
    usual = tuple(_USUAL_NAMES.get(name.lower(), name) for name in classes)
    try:
        return FolderDataConfig.model_validate(config.model_dump() | {"root": root, "tags": table, "classes": usual})
    except ValidationError as error:
        (problem,) = error.errors()
        raise ConfigError(f"data: {problem['ctx']['error']}") from None


def load_folder(config: VolumeDataConfig, root: Path, tags_path: Path) -> VolumeData:
    """Find the studies that the table names, split them by patient, and take their tags from it.

    A tag of a whole volume makes its slices a bag: what it does not show is absent from every slice, what it shows is
    in at least one. Masks are listed for scoring and not opened. Nothing is written to ``tags_path``.

    Raises:
        DatasetError, VolumeError: images are missing or damaged.
        SplitError: the split does not fit the patients, or one of its patients is on both sides by another name.
        ImageLabelsError: the table does not fit the images.
    """
    assert isinstance(config, FolderDataConfig)
    assert config.tags is not None  # settled
    table = read_study_table(config.tags)
    tags = study_tags(table, config.classes)
    if tags.passed_over:
        message = f"{table.path}: columns that are no class are passed over: {', '.join(tags.passed_over)}"
        warnings.warn(message, MedwsssWarning, stacklevel=2)
    entries = found_entries(root, table)
    known, cache = entry_set(entries, root), SliceCache(config.cache_dir)
    split = volume_split(config, known.studies)
    labels = config.segmented.labels
    image_labels, untagged = entry_tags(entries, tags, labels, lambda frame: len(cache.stack(frame, config.grid)))
    if untagged:
        message = f"{untagged} slices are on no line of the table: they are segmented, but not learned from"
        warnings.warn(message, MedwsssWarning, stacklevel=2)
    data = VolumeData(
        config=config,
        labels=labels,
        root=root,
        studies=known.studies,
        references=known.references,
        split=split,
        image_labels=image_labels,
        cache=cache,
        source=f"{len(known.studies)} patients in {root}",
        tags_source=f"table {table.path}",
        split_source=f"{split_origin(config, split)}, by patient",
    )
    check_no_twins(data.studies, data.split, cache, config.grid)
    _check_teaching(data)
    return data


def _check_teaching(data: VolumeData) -> None:
    """Warn of classes that training tags show nowhere, or everywhere: those teach nothing of where the class is not."""
    members = set(data.split.train)
    tags = data.image_labels.array([key for key in data.image_labels.tags if key.patient in members])
    for name, column in zip(data.labels.names, tags.T, strict=True):
        if column.min(initial=1) == column.max(initial=0):
            told = "in every slice or study" if column.any() else "in none"
            message = f"the training tags show {name} {told}: tags alone cannot teach where it is"
            warnings.warn(message, MedwsssWarning, stacklevel=3)
