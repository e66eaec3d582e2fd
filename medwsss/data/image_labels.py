"""Image-level labels ("tags") of slices: derived from masks for research, or read from a CSV written by people."""

import csv
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from medwsss.data.sample import SliceKey
from medwsss.data.study import Study, case_id, load_frame, load_reference
from medwsss.data.writing import written_whole
from medwsss.errors import DatasetError, ImageLabelsError, OutputError
from medwsss.labels import LabelSet, Task
from medwsss.volumes.slicing import slices_of

KEY_COLUMNS = ("patient", "phase", "slice")


@dataclass(frozen=True)
class ImageLabels:
    """Which classes each slice shows."""

    names: tuple[str, ...]
    """Foreground classes, in label order."""
    tags: Mapping[SliceKey, tuple[int, ...]]
    """1 where the slice shows the class, else 0."""

    def __post_init__(self) -> None:
        for key, tags in self.tags.items():
            if len(tags) != len(self.names) or not set(tags) <= {0, 1}:
                raise ValueError(f"tags of {key} must be {len(self.names)} values of 0 or 1, not {tags}")

    def of(self, key: SliceKey) -> tuple[int, ...]:
        """Multi-hot labels of one slice; ``KeyError`` where it has none."""
        return self.tags[key]

    def array(self, keys: Sequence[SliceKey]) -> UInt8[np.ndarray, "n cls"]:
        """Multi-hot labels of slices, one row each."""
        return np.array([self.tags[key] for key in keys], dtype=np.uint8).reshape(len(keys), len(self.names))


def labels_of_stack(masks: UInt8[np.ndarray, "n h w"], num_foreground: int) -> UInt8[np.ndarray, "n cls"]:
    """Multi-hot labels of label maps: 1 where a map has at least one pixel of the class."""
    present = [(masks == label).any(axis=(1, 2)) for label in range(1, num_foreground + 1)]
    return np.stack(present, axis=1).astype(np.uint8)


def image_labels_from_masks(studies: Iterable[Study], masks: Mapping[str, Path], task: Task) -> ImageLabels:
    """Image-level labels of every slice of every volume, from the reference masks.

    Args:
        studies: patients to label.
        masks: mask file by ``study.case_id``.
        task: class set.

    Raises:
        DatasetError: a case has no mask, or its mask does not fit (see ``study.load_reference``).
        VolumeError: a file cannot be read.
    """
    tags = {}
    for study in studies:
        for phase in study.frames:
            name = case_id(study, phase)
            if name not in masks:
                raise DatasetError(f"{name} has no mask to take image-level labels from: set data.tags to a CSV file")
            volume = load_frame(study.frames[phase])
            stack = slices_of(volume.with_array(load_reference(masks[name], volume, task))).array
            for index, row in enumerate(labels_of_stack(stack, task.labels.num_foreground).tolist()):
                tags[SliceKey(study.patient, phase, index)] = tuple(row)
    return ImageLabels(task.labels.names, tags)


def write_image_labels(labels: ImageLabels, path: Path) -> None:
    """Store image-level labels as CSV with the columns patient, phase, slice and one per class.

    Slices are counted from 0 in the order of ``volumes.slicing.slices_of``. The file appears whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow((*KEY_COLUMNS, *labels.names))
            rows.writerows((key.patient, key.phase, key.index, *tags) for key, tags in labels.tags.items())
    except OSError as error:
        raise OutputError(f"cannot write the image-level labels {path}: {error.strerror}") from error


def read_image_labels(
    path: Path, label_set: LabelSet, known_keys: Collection[SliceKey], *, required_keys: Collection[SliceKey] = ()
) -> ImageLabels:
    """Read the CSV format of ``write_image_labels``; UTF-8 with or without BOM, separated by commas or semicolons.

    Further columns are ignored, so one table can serve several tasks.

    Args:
        path: the CSV file.
        label_set: classes, each a column.
        known_keys: every slice of the data set; a row about any other is refused.
        required_keys: slices that must have a row (those of the training patients).

    Raises:
        ImageLabelsError: the file cannot be read, lacks a column, has an unknown or repeated slice or a value that is
            neither 0 nor 1, or a required slice has no row. The message names file and line.
    """
    known = _Known(known_keys)
    tags = _tags(path, label_set, known.check)
    missing = [key for key in required_keys if key not in tags]
    if missing:
        raise ImageLabelsError(f"{path} has no row for {len(missing)} slices of training patients, first: {missing[0]}")
    return ImageLabels(label_set.names, tags)


def columns_of_table(path: Path) -> tuple[str, ...]:
    """What the first line of a table of image-level labels names, beside patient, phase and slice.

    Raises:
        ImageLabelsError: the file cannot be read, is no table, or does not name patient, phase and slice.
    """
    header = next(iter(_cells(path)), [])
    missing = [column for column in KEY_COLUMNS if column not in header]
    if missing:
        raise ImageLabelsError(f"{path} has no column {', '.join(missing)}: is it a table of image-level labels?")
    return tuple(name for name in header if name not in KEY_COLUMNS)


def read_tag_table(path: Path, label_set: LabelSet) -> ImageLabels:
    """The same file, whatever slices it names: for prediction, where a table may cover more than the inputs.

    Raises:
        ImageLabelsError: as ``read_image_labels``, but no slice is unknown or required.
    """
    return ImageLabels(label_set.names, _tags(path, label_set, lambda key, where: None))


def _tags(path: Path, label_set: LabelSet, check: Callable[[SliceKey, str], None]) -> dict[SliceKey, tuple[int, ...]]:
    tags: dict[SliceKey, tuple[int, ...]] = {}
    for line, row in _rows(path, (*KEY_COLUMNS, *label_set.names)):
        where = f"{path} line {line}"
        patient, phase, index = (row[column] for column in KEY_COLUMNS)
        if not re.fullmatch(r"[0-9]{1,9}", index):
            raise ImageLabelsError(f"{where}: slice {reprlib.repr(index)} is not a whole number counted from 0")
        key = SliceKey(patient, phase, int(index))
        check(key, where)
        if key in tags:
            raise ImageLabelsError(f"{where}: {key} was already in the table: keep one row per slice")
        tags[key] = tuple(_zero_or_one(row[name], name, where) for name in label_set.names)
    return tags


class _Known:
    """The slices of a data set, to say which part of a row does not fit."""

    def __init__(self, keys: Collection[SliceKey]) -> None:
        self._keys = set(keys)
        self._patients = {key.patient for key in keys}
        self._phases = {key.phase for key in keys}

    def check(self, key: SliceKey, where: str) -> None:
        if key.patient not in self._patients:
            raise ImageLabelsError(f"{where}: patient {key.patient!r} is not in the data set")
        if key.phase not in self._phases:
            raise ImageLabelsError(f"{where}: phase {key.phase!r} is none of {', '.join(sorted(self._phases))}")
        if key not in self._keys:
            count = sum((known.patient, known.phase) == (key.patient, key.phase) for known in self._keys)
            raise ImageLabelsError(f"{where}: {key.patient} {key.phase} has slices 0 to {count - 1}, not {key.index}")


def _zero_or_one(value: str, name: str, where: str) -> int:
    if value not in ("0", "1"):
        raise ImageLabelsError(f"{where}: {name} is {reprlib.repr(value)}, it must be 0 or 1")
    return int(value)


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The lines of a table after its header, counted from 1, with stripped cells; empty lines are skipped."""
    cells = _cells(path)
    header = cells[0] if cells else []
    missing = [column for column in columns if column not in header]
    if missing:
        raise ImageLabelsError(
            f"{path} has no column {', '.join(missing)}: its first line must name {', '.join(columns)}"
        )
    twice = [column for column in columns if header.count(column) > 1]
    if twice:
        raise ImageLabelsError(f"{path} has the column {', '.join(twice)} more than once: keep one")
    for line, row in enumerate(cells[1:], start=2):
        if any(row) and len(row) != len(header):
            raise ImageLabelsError(f"{path} line {line}: {len(row)} cells, the header has {len(header)}")
    return [(line, dict(zip(header, row, strict=True))) for line, row in enumerate(cells[1:], start=2) if any(row)]


def _cells(path: Path) -> list[list[str]]:
    """Stripped cells of all lines, the header first."""
    lines = _text(path).splitlines()
    separator = ";" if lines and ";" in lines[0] else ","
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    except csv.Error as error:
        raise ImageLabelsError(f"{path} is not a CSV table: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ImageLabelsError(f"cannot read the image-level labels {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ImageLabelsError(f"{path} is not UTF-8: save it as CSV UTF-8") from error
