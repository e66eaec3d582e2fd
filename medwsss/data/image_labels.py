"""Image-level labels ("tags") of slices: derived from masks for research, or read from a CSV written by people."""

import csv
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from medwsss.data.csv_table import read_header, read_rows
from medwsss.data.sample import SliceKey
from medwsss.data.study import Study, case_id, load_frame, load_reference
from medwsss.errors import DatasetError, ImageLabelsError, OutputError
from medwsss.labels import LabelSet, Task
from medwsss.spreadsheets import with_formula, without_formula
from medwsss.volumes.slicing import slices_of
from medwsss.writing import written_whole

KEY_COLUMNS = ("patient", "phase", "slice")
BAG_COLUMN = "bag"
"""Optional column: slices with the same number were tagged together."""
PATH_COLUMNS = ("file", "study", "path")
"""What a table of studies calls its files; a table of slices needs none."""


@dataclass(frozen=True)
class ImageLabels:
    """Which classes each slice shows."""

    names: tuple[str, ...]
    """Foreground classes, in label order."""
    tags: Mapping[SliceKey, tuple[int, ...]]
    """1 where the slice shows the class, else 0; in a bag, 1 where at least one of its slices does."""
    bags: tuple[tuple[SliceKey, ...], ...] = ()
    """Slices that were tagged together, as when a tag describes a whole study; all others were tagged one by one."""

    def __post_init__(self) -> None:
        together = [key for bag in self.bags for key in bag]
        if len(set(together)) < len(together):
            raise ValueError("a slice must be in one bag only")
        if any(len({self.tags[key] for key in bag}) > 1 for bag in self.bags):
            raise ValueError("the slices of a bag must have the same tags")
        for key, tags in self.tags.items():
            if len(tags) != len(self.names) or not set(tags) <= {0, 1}:
                raise ValueError(f"tags of {key} must be {len(self.names)} values of 0 or 1, not {tags}")

    def of(self, key: SliceKey) -> tuple[int, ...]:
        """Multi-hot labels of one slice; ``KeyError`` where it has none."""
        return self.tags[key]

    def array(self, keys: Sequence[SliceKey]) -> UInt8[np.ndarray, "n cls"]:
        """Multi-hot labels of slices, one row each."""
        return np.array([self.tags[key] for key in keys], dtype=np.uint8).reshape(len(keys), len(self.names))

    def told(
        self, keys: Sequence[SliceKey], probs: Float[np.ndarray, "n cls"]
    ) -> tuple[Float[np.ndarray, "m cls"], UInt8[np.ndarray, "m cls"]]:
        """Probabilities and tags that can be compared: of each slice, and of each bag the largest of its slices."""
        rows = {key: row for row, key in enumerate(keys)}
        parts = [[rows[key] for key in bag if key in rows] for bag in self.bags]
        parts = [part for part in parts if part]
        alone = sorted(set(rows.values()) - {row for part in parts for row in part})
        parts += [[row] for row in alone]
        pooled = np.stack([probs[part].max(axis=0) for part in parts])
        return pooled, self.array([keys[part[0]] for part in parts])


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
    """Store image-level labels as CSV with the columns patient, phase, slice, bag if there are any, and one per class.

    Slices are counted from 0 in the order of ``volumes.slicing.slices_of``. The file appears whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            numbers = {key: (number,) for number, bag in enumerate(labels.bags, start=1) for key in bag}
            columns, alone = ((BAG_COLUMN,), ("",)) if labels.bags else ((), ())
            rows.writerow((*KEY_COLUMNS, *columns, *labels.names))
            for key, tags in labels.tags.items():
                rows.writerow((without_formula(key.patient), key.phase, key.index, *numbers.get(key, alone), *tags))
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
    found = _labels(path, label_set, known.check)
    missing = [key for key in required_keys if key not in found.tags]
    if missing:
        raise ImageLabelsError(f"{path} has no row for {len(missing)} slices of training patients, first: {missing[0]}")
    return found


def columns_of_table(path: Path) -> tuple[str, ...]:
    """What the first line of a table of image-level labels names, beside patient, phase and slice.

    Raises:
        ImageLabelsError: the file cannot be read, is no table, or does not name patient, phase and slice.
    """
    header = read_header(path)
    missing = [column for column in KEY_COLUMNS if column not in header]
    if missing:
        raise ImageLabelsError(f"{path} has no column {', '.join(missing)}: is it a table of image-level labels?")
    return tuple(name for name in header if name not in (*KEY_COLUMNS, BAG_COLUMN))


def names_slices(path: Path) -> bool:
    """Whether a table has a line for each slice and no column that names files, as tables of studies have.

    Raises:
        ImageLabelsError: the file cannot be read, or is no table.
    """
    return {name.lower() for name in read_header(path)}.isdisjoint(PATH_COLUMNS)


def read_tag_table(path: Path, label_set: LabelSet) -> ImageLabels:
    """The same file, whatever slices it names: for prediction, where a table may cover more than the inputs.

    Raises:
        ImageLabelsError: as ``read_image_labels``, but no slice is unknown or required.
    """
    return _labels(path, label_set, lambda key, where: None)


def _labels(path: Path, label_set: LabelSet, check: Callable[[SliceKey, str], None]) -> ImageLabels:
    tags: dict[SliceKey, tuple[int, ...]] = {}
    bags: dict[str, list[SliceKey]] = {}
    for line, row in read_rows(path, (*KEY_COLUMNS, *label_set.names)):
        where = f"{path} line {line}"
        patient, phase, index = (row[column] for column in KEY_COLUMNS)
        if not re.fullmatch(r"[0-9]{1,9}", index):
            raise ImageLabelsError(f"{where}: slice {reprlib.repr(index)} is not a whole number counted from 0")
        key = SliceKey(with_formula(patient), phase, int(index))
        check(key, where)
        if key in tags:
            raise ImageLabelsError(f"{where}: {key} was already in the table: keep one row per slice")
        tags[key] = tuple(_zero_or_one(row[name], name, where) for name in label_set.names)
        if row.get(BAG_COLUMN):
            bags.setdefault(row[BAG_COLUMN], []).append(key)
            if tags[key] != tags[bags[row[BAG_COLUMN]][0]]:
                raise ImageLabelsError(f"{where}: bag {row[BAG_COLUMN]} has other tags above: a bag shares them")
    return ImageLabels(label_set.names, tags, tuple(map(tuple, bags.values())))


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
