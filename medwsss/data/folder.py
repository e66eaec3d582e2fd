"""A folder of studies of your own, with a table that says what each of them, or each of their slices, shows."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from medwsss.config.data import FolderDataConfig, VolumeDataConfig
from medwsss.data.cine_phases import extreme_frames
from medwsss.data.image_labels import ImageLabels
from medwsss.data.loading import VolumeData, split_origin, volume_split
from medwsss.data.sample import SliceKey
from medwsss.data.slice_cache import SliceCache
from medwsss.data.study import PHASES, Frame, Study, StudySet, case_ids
from medwsss.data.study_table import TABLE_NAME, StudyTable, TableRow, read_study_table, study_tags
from medwsss.errors import ConfigError, DatasetError, ImageLabelsError, MedwsssWarning
from medwsss.labels import LabelSet
from medwsss.volumes.io import load_volume, time_points

_USUAL_NAMES = {"lv": "LV", "rv": "RV", "myo": "MYO", "heart": "heart"}

_Value = TypeVar("_Value", str, float, float | None)


@dataclass(frozen=True)
class _Entry:
    """All lines about one file, and the volumes it gives."""

    rows: tuple[TableRow, ...]
    path: Path
    frames: Mapping[str, Frame]

    @property
    def patient(self) -> str:
        return self.rows[0].patient


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
        SplitError: the split does not fit the patients.
        ImageLabelsError: the table does not fit the images.
    """
    assert isinstance(config, FolderDataConfig)
    assert config.tags is not None  # settled
    table = read_study_table(config.tags)
    tags = study_tags(table, config.classes)
    if tags.passed_over:
        message = f"{table.path}: columns that are no class are passed over: {', '.join(tags.passed_over)}"
        warnings.warn(message, MedwsssWarning, stacklevel=2)
    entries = _entries(root, table)
    known, cache = _study_set(entries, root), SliceCache(config.cache_dir)
    split = volume_split(config, known.studies)
    labels = config.segmented.labels
    by_line = dict(zip((row.where for row in table.rows), tags.rows, strict=True))
    data = VolumeData(
        config=config,
        labels=labels,
        root=root,
        studies=known.studies,
        references=known.references,
        split=split,
        image_labels=_image_labels(entries, by_line, labels, cache, config),
        cache=cache,
        source=f"{len(known.studies)} patients in {root}",
        tags_source=f"table {table.path}",
        split_source=f"{split_origin(config, split)}, by patient",
    )
    _check_teaching(data)
    return data


def folder_studies(root: Path, table: StudyTable) -> StudySet:
    """The studies that a table names, and the masks it lists; paths in it are relative to ``root``.

    Raises:
        DatasetError: images or masks are missing, or the table contradicts itself about them.
        VolumeError: a file cannot be read.
    """
    return _study_set(_entries(root, table), root)


# --- Studies ---------------------------------------------------------------------------------------------------------


def _entries(root: Path, table: StudyTable) -> list[_Entry]:
    """One a file, or a time point of it, in the order of the table; every image is there, and no volume has two."""
    by_file: dict[Path, list[TableRow]] = {}
    for row in table.rows:
        by_file.setdefault((root / row.path).resolve(), []).append(row)
    missing = [rows[0] for path, rows in by_file.items() if not path.exists()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(by_file)} studies are not in {root}, first {missing[0].path} "
            f"({missing[0].where}): paths are relative to that folder"
        )
    entries = []
    for of_file in by_file.values():
        _check_owner(of_file)
        path = root / of_file[0].path  # as it is called: what a link leads to may have no suffix
        by_frame: dict[int | None, list[TableRow]] = {}
        for row in of_file:
            by_frame.setdefault(row.numbers.get("frame"), []).append(row)
        for rows in by_frame.values():
            _check_agreement(rows)
            entries.append(_Entry(tuple(rows), path, _frames(path, rows[0])))
    _check_distinct(entries)
    _check_names(entries)
    _tell_found_phases(entries)
    return entries


def _check_owner(rows: Sequence[TableRow]) -> None:
    """A file is of one patient."""
    first = rows[0]
    for row in rows[1:]:
        if row.patient != first.patient:
            raise DatasetError(f"{row.where}: {row.path} belongs to {first.patient} above, not to {row.patient}")


def _check_agreement(rows: Sequence[TableRow]) -> None:
    """Lines about one volume say the same of it, and are about its slices, or there is one line."""
    first = rows[0]
    for row in rows[1:]:
        if row.numbers != first.numbers or row.phase != first.phase or row.mask != first.mask:
            raise DatasetError(f"{row.where}: {row.path} has another phase, time point or mask above: write the same")
        if row.slices is None or first.slices is None:
            raise ImageLabelsError(
                f"{row.where}: {row.path} has more than one line and one is about the whole of it: keep that line"
                " alone, or name slices on each"
            )


def _check_distinct(entries: Iterable[_Entry]) -> None:
    seen: dict[tuple[str, str], _Entry] = {}
    for entry in entries:
        for phase in entry.frames:
            other = seen.setdefault((entry.patient, phase), entry)
            if other is not entry:
                raise DatasetError(
                    f"{entry.rows[0].where}: {entry.patient} has two volumes{f' called {phase}' if phase else ''} "
                    f"({other.rows[0].path} and {entry.rows[0].path}): tell them apart in the column phase"
                )


def _check_names(entries: Iterable[_Entry]) -> None:
    """No two volumes get results of one name, on no kind of disk."""
    seen: dict[str, _Entry] = {}
    for entry in entries:
        for name in case_ids([Study(entry.patient, "", entry.frames)]):
            other = seen.setdefault(name.lower(), entry)
            if other is not entry:
                raise DatasetError(
                    f"{entry.rows[0].where}: results of {other.rows[0].path} and {entry.rows[0].path} would both be "
                    f"called {name}: rename a patient or a phase, beyond upper and lower case"
                )


def _frames(path: Path, row: TableRow) -> Mapping[str, Frame]:
    """The volumes of a file: itself, the time points that the table names, or those of most and least blood."""
    count, numbers = time_points(path), row.numbers
    beyond = next((f"{name} {number}" for name, number in numbers.items() if number > count), None)
    if beyond is not None:
        raise DatasetError(f"{row.where}: {row.path} has {count} time points, there is no {beyond}")
    if count == 1:
        return {row.phase: Frame(path, None)}
    if "frame" in numbers:
        number = numbers["frame"]
        return {row.phase or f"frame{number:02d}": Frame(path, number, time_index=number - 1)}
    if row.mask:
        raise DatasetError(f"{row.where}: a mask is of one time point: name it in the column frame")
    if row.phase:
        raise DatasetError(
            f"{row.where}: {row.path} has {count} time points: name that of phase {row.phase} in the column frame, or"
            " leave phase empty for ED and ES"
        )
    if len(numbers) == 1:
        raise DatasetError(f"{row.where}: {', '.join(numbers)} alone is not enough: name ed and es, or none of them")
    named = (numbers["ed"], numbers["es"]) if {"ed", "es"} <= numbers.keys() else None
    chosen = named or _found_phases(path)
    if chosen[0] == chosen[1]:
        raise DatasetError(f"{row.where}: ed and es are both time point {chosen[0]}: name two")
    return {phase: Frame(path, n, time_index=n - 1) for phase, n in zip(PHASES, chosen, strict=True)}


def _found_phases(path: Path) -> tuple[int, int]:
    early, late = extreme_frames(load_volume(path).array)
    return early + 1, late + 1


def _tell_found_phases(entries: Iterable[_Entry]) -> None:
    found = [entry for entry in entries if len(entry.frames) > 1 and not entry.rows[0].numbers]
    if found:
        early, late = (found[0].frames[phase].number for phase in PHASES)
        message = (
            f"ED and ES of {len(found)} cines were found by their brightness, first {found[0].rows[0].path}:"
            f" {early} and {late}; look at them, and name others in the columns ed and es (medwsss init fills them)"
        )
        warnings.warn(message, MedwsssWarning, stacklevel=3)


def _study_set(entries: Sequence[_Entry], root: Path) -> StudySet:
    by_patient: dict[str, list[_Entry]] = {}
    for entry in entries:
        by_patient.setdefault(entry.patient, []).append(entry)
    studies = tuple(_study(patient, own) for patient, own in sorted(by_patient.items()))
    return StudySet(studies, _references(entries, root))


def _study(patient: str, entries: Sequence[_Entry]) -> Study:
    rows = [row for entry in entries for row in entry.rows]
    cines = [entry.path for entry in entries if len(entry.frames) > 1]
    return Study(
        patient=patient,
        group=_only({row.group for row in rows if row.group}, "group", rows[0]) or "unknown",
        frames={phase: frame for entry in entries for phase, frame in entry.frames.items()},
        cine=cines[0] if len(cines) == 1 else None,
        height_cm=_only({row.height_cm for row in rows if row.height_cm}, "height_cm", rows[0]),
        weight_kg=_only({row.weight_kg for row in rows if row.weight_kg}, "weight_kg", rows[0]),
    )


def _only(values: set[_Value], column: str, row: TableRow) -> _Value | None:
    """What all lines of a patient say, None where none says anything."""
    if len(values) > 1:
        shown = " and ".join(map(str, sorted(values, key=str)))
        raise DatasetError(f"{row.where}: {row.patient} has {column} {shown} on different lines: write one of them")
    return next(iter(values), None)


def _references(entries: Iterable[_Entry], root: Path) -> dict[str, Path]:
    found = {}
    for entry in entries:
        row = entry.rows[0]
        if row.mask:
            path = root / row.mask
            if not path.is_file():
                raise DatasetError(f"{row.where}: mask {row.mask} is not in {root}: correct it, or leave it empty")
            (name,) = case_ids([Study(entry.patient, "", entry.frames)])
            found[name] = path
    return found


# --- Tags ------------------------------------------------------------------------------------------------------------


def _image_labels(
    entries: Iterable[_Entry],
    by_line: Mapping[str, tuple[int, ...]],
    labels: LabelSet,
    cache: SliceCache,
    config: FolderDataConfig,
) -> ImageLabels:
    """Tags of slices, and bags of the slices of volumes that were tagged as a whole; untagged slices are counted."""
    tags: dict[SliceKey, tuple[int, ...]] = {}
    bags, untagged = [], 0
    for entry in entries:
        for phase, frame in entry.frames.items():
            count = len(cache.stack(frame, config.grid))
            if entry.rows[0].slices is None:
                keys = [SliceKey(entry.patient, phase, index) for index in range(count)]
                told = by_line[entry.rows[0].where]
                tags |= dict.fromkeys(keys, told)
                bags += [tuple(keys)] if count > 1 and any(told) else []
                continue
            found = _slice_tags(entry, by_line, phase, count)
            tags |= found
            untagged += count - len(found)
    if untagged:
        message = f"{untagged} slices are on no line of the table: they are segmented, but not learned from"
        warnings.warn(message, MedwsssWarning, stacklevel=3)
    return ImageLabels(labels.names, tags, tuple(bags))


def _slice_tags(
    entry: _Entry, by_line: Mapping[str, tuple[int, ...]], phase: str, count: int
) -> dict[SliceKey, tuple[int, ...]]:
    tags: dict[SliceKey, tuple[int, ...]] = {}
    for row in entry.rows:
        for index in row.slices or ():
            key = SliceKey(entry.patient, phase, index)
            if index >= count:
                raise ImageLabelsError(f"{row.where}: {row.path} has slices 0 to {count - 1}, not {index}")
            if key in tags:
                raise ImageLabelsError(f"{row.where}: slice {index} of {row.path} was on a line above: keep one")
            tags[key] = by_line[row.where]
    return tags


def _check_teaching(data: VolumeData) -> None:
    """Warn of classes that training tags show nowhere, or everywhere: those teach nothing of where the class is not."""
    members = set(data.split.train)
    tags = data.image_labels.array([key for key in data.image_labels.tags if key.patient in members])
    for name, column in zip(data.labels.names, tags.T, strict=True):
        if column.min(initial=1) == column.max(initial=0):
            told = "in every slice or study" if column.any() else "in none"
            message = f"the training tags show {name} {told}: tags alone cannot teach where it is"
            warnings.warn(message, MedwsssWarning, stacklevel=3)
