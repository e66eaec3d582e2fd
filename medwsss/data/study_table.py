"""The table a clinical group keeps: which studies there are, and what each of them, or each slice, shows."""

import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medwsss.data.csv_table import read_header, read_rows
from medwsss.data.image_labels import BAG_COLUMN, PATH_COLUMNS
from medwsss.data.study import PHASES
from medwsss.errors import ImageLabelsError
from medwsss.labels import BACKGROUND_NAME

TABLE_NAME = "studies.csv"
"""Where the table is looked for in a folder of studies."""
CLASS_LIST_COLUMNS = ("classes", "labels")
SLICE_COLUMNS = ("slice", "slices")
NUMBER_COLUMNS = ("frame", "ed", "es")
KNOWN_COLUMNS = (
    "patient", *PATH_COLUMNS, "phase", *NUMBER_COLUMNS, *SLICE_COLUMNS, "group", "height_cm", "weight_kg", "mask",
    *CLASS_LIST_COLUMNS,
)  # fmt: skip
"""Columns with a meaning of their own, in any case; every other one is a class, or a remark that is passed over."""

RESERVED_NAMES = (*KNOWN_COLUMNS, BAG_COLUMN, BACKGROUND_NAME)
"""What no class may be called, in any case: it would be taken for something else in a table or a mask."""

_LONGEST_PATH, _LONGEST_PART, _LONGEST_WORD = 1000, 255, 100
"""Of a file name, of what lies between two of its slashes, and of what becomes part of one."""
_YES, _NO = ("1", "yes", "true", "x"), ("0", "no", "false")
_LIST = re.compile(r"\s*[;,|/+]\s*")
_RANGE = re.compile(r"(\d{1,5})\s*(?:[-–:]\s*(\d{1,5}))?")


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One line: a volume, or some slices of it, and the classes seen there."""

    where: str
    """File and line, for messages."""
    patient: str
    path: str
    """Of the images, as written."""
    phase: str
    numbers: Mapping[str, int]
    """Time points counted from 1, of the columns frame, ed and es that are filled."""
    slices: range | None
    """Counted from 0; None for the whole volume."""
    group: str
    height_cm: float | None
    weight_kg: float | None
    mask: str
    """As written; empty where there is none."""
    cells: Mapping[str, str]
    """All of the line, by column in lower case."""


@dataclass(frozen=True)
class StudyTable:
    """All lines of a table: the studies, and the cells that may say what they show."""

    path: Path
    columns: tuple[str, ...]
    """As they are named in the file."""
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class StudyTags:
    """What each line of a table says is seen."""

    classes: tuple[str, ...]
    by_line: Mapping[str, tuple[int, ...]]
    """By ``TableRow.where``, 1 for the classes that are seen."""
    passed_over: tuple[str, ...]
    """Columns that are neither known nor classes."""


def read_study_table(path: Path) -> StudyTable:
    """Read a CSV table with the columns patient and file (or study); all else may be left out.

    Args:
        path: the file; UTF-8 with or without BOM; commas, semicolons or tabs between cells.

    Raises:
        ImageLabelsError: the file cannot be read, lacks a column, or has a cell that cannot be understood. The message
            names the line.
    """
    header = read_header(path)
    names = {name.lower(): name for name in header}
    path_column = next((column for column in PATH_COLUMNS if column in names), None)
    if "patient" not in names or path_column is None:
        raise ImageLabelsError(
            f"{path} needs the columns patient and file (or study): medwsss init writes an example beside your data"
        )
    twice = sorted({name for name in header if name and [n.lower() for n in header].count(name.lower()) > 1})
    if twice:
        raise ImageLabelsError(f"{path} has the column {' and '.join(twice)} more than once: keep one")
    rows = read_rows(path, [names["patient"], names[path_column]])
    if not rows:
        raise ImageLabelsError(f"{path} has no line below its header: write one for each study")
    return StudyTable(
        path,
        tuple(name for name in header if name),
        tuple(_row(path, line, cells, path_column) for line, cells in rows),
    )


def study_tags(table: StudyTable, classes: Sequence[str] = ()) -> StudyTags:
    """The classes of a table: columns of 0 and 1 (or no and yes), or one column ``classes`` that lists what is seen.

    Args:
        table: of ``read_study_table``.
        classes: those that count, in this order and in any case; none takes all that the table has, in its own order.

    Raises:
        ImageLabelsError: there is no class, one has no column, or a cell says neither yes nor no.
    """
    named = {name.lower() for name in table.columns}
    listing = next((column for column in CLASS_LIST_COLUMNS if column in named), None)
    others = [name for name in table.columns if name.lower() not in KNOWN_COLUMNS]
    if listing is not None:
        found = tuple(classes) or _listed_classes(table.rows, listing)
        _check_classes(found, table.path)
        seen = {row.where: _listed_tags(row.cells[listing], found, row.where) for row in table.rows}
        return StudyTags(found, seen, tuple(others))
    found = tuple(classes) or tuple(name for name in others if _is_class(name.lower(), table.rows))
    _check_classes(found, table.path)
    missing = [name for name in found if name.lower() not in named]
    if missing:
        raise ImageLabelsError(
            f"{table.path} has no column {', '.join(missing)}: each class of data.classes needs one,"
            " or a column classes"
        )
    seen = {row.where: _column_tags(row.cells, found, row.where) for row in table.rows}
    told = {name.lower() for name in found}
    return StudyTags(found, seen, tuple(name for name in others if name.lower() not in told))


def blank_columns(table: StudyTable) -> tuple[str, ...]:
    """Columns without a meaning of their own in which nobody has filled a cell: classes of a table that was begun."""
    others = [name for name in table.columns if name.lower() not in KNOWN_COLUMNS]
    return tuple(name for name in others if not any(row.cells[name.lower()] for row in table.rows))


def check_class_name(name: str, where: str) -> None:
    """Refuse what cannot be the name of a class, of its column and of the files of its maps.

    Raises:
        ImageLabelsError: it is taken already, or has signs that file names, tables or codes cannot hold.
    """
    if name.lower() in RESERVED_NAMES:
        raise ImageLabelsError(f"{where}: a class cannot be called {name}, which means something else: rename it")
    if "," in name or "=" in name:
        raise ImageLabelsError(f"{where}: class {reprlib.repr(name)} holds a comma or an equals sign: rename it")
    _word(name, "class", where)


def _check_classes(classes: tuple[str, ...], path: Path) -> None:
    if not classes:
        raise ImageLabelsError(f"{path} names no class: add a column of 0 and 1 for each, or one column named classes")
    for name in classes:
        check_class_name(name, str(path))


def _is_class(column: str, rows: Sequence[TableRow]) -> bool:
    """Whether half of the filled cells or more say yes or no; the others, and empty ones, are told as mistakes then."""
    filled = [row.cells[column].lower() for row in rows if row.cells[column]]
    told = sum(cell in (*_YES, *_NO) for cell in filled)
    return told > 0 and 2 * told >= len(filled)


def _listed_classes(rows: Sequence[TableRow], column: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in _listed(row.cells[column])))


def _listed(cell: str) -> list[str]:
    names = [name for name in _LIST.split(cell.strip()) if name]
    return [] if [name.lower() for name in names] in (["none"], ["-"]) else names


def _row(path: Path, line: int, as_named: Mapping[str, str], path_column: str) -> TableRow:
    where, cells = f"{path} line {line}", {name.lower(): cell for name, cell in as_named.items()}
    patient, images = _patient(cells["patient"], where), cells[path_column]
    if not images:
        raise ImageLabelsError(f"{where}: {path_column} is empty: name the file or folder of the images")
    mask = cells.get("mask", "")
    _check_file_name(images, path_column, where)
    _check_file_name(mask, "mask", where)
    spans = [cells[column] for column in SLICE_COLUMNS if cells.get(column)]
    return TableRow(
        where=where,
        patient=patient,
        path=images,
        phase=_phase(cells.get("phase", ""), where),
        numbers={name: _whole(cells[name], name, where) for name in NUMBER_COLUMNS if cells.get(name)},
        slices=_slices(spans[0], where) if spans else None,
        group=_plain(cells.get("group", ""), "group", where),
        height_cm=_measure(cells.get("height_cm", ""), "height_cm", where),
        weight_kg=_measure(cells.get("weight_kg", ""), "weight_kg", where),
        mask=mask,
        cells=cells,
    )


def _check_file_name(cell: str, column: str, where: str) -> None:
    """Refuse what no disk takes; whether a file of this name is there is looked for later."""
    long = len(cell) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_PART for part in Path(cell).parts)
    if long or "\0" in cell:
        raise ImageLabelsError(f"{where}: {column} {reprlib.repr(cell)} cannot be the name of a file: correct it")


def _patient(cell: str, where: str) -> str:
    if not cell:
        raise ImageLabelsError(f"{where}: patient is empty: give every patient a name of your own, such as P001")
    return _word(cell, "patient", where)


def _phase(cell: str, where: str) -> str:
    """ED and ES in any case; others as they are written."""
    return cell.upper() if cell.upper() in PHASES else _word(cell, "phase", where)


def _word(cell: str, column: str, where: str) -> str:
    """A name that becomes part of file names and of tables: neither a path nor a formula."""
    long = len(cell) > _LONGEST_WORD
    if long or not cell.isprintable() or cell.startswith(".") or re.search(r'[\\/:*?"<>|]', cell):
        raise ImageLabelsError(f"{where}: {column} {reprlib.repr(cell)} cannot be part of a file name: rename it")
    return _plain(cell, column, where)


def _plain(cell: str, column: str, where: str) -> str:
    """A word that tables may hold: a spreadsheet would run a formula."""
    if cell.startswith(("=", "+", "-", "@")):
        raise ImageLabelsError(f"{where}: {column} {reprlib.repr(cell)} looks like a formula: write a plain name")
    return cell


def _whole(cell: str, column: str, where: str) -> int:
    if not re.fullmatch(r"0{0,9}[1-9]\d{0,4}", cell):
        raise ImageLabelsError(f"{where}: {column} is {reprlib.repr(cell)}, it must be a time point counted from 1")
    return int(cell)


def _measure(cell: str, column: str, where: str) -> float | None:
    if not cell:
        return None
    if not re.fullmatch(r"\d{1,3}([.,]\d{1,3})?", cell):
        raise ImageLabelsError(f"{where}: {column} is {reprlib.repr(cell)}, it must be a number such as 172")
    return float(cell.replace(",", "."))


def _slices(cell: str, where: str) -> range:
    match = _RANGE.fullmatch(cell)
    if match is None:
        raise ImageLabelsError(f"{where}: slice is {reprlib.repr(cell)}, it must be like 3 or 3-7, counted from 0")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise ImageLabelsError(f"{where}: slices {cell} run backwards: write {last}-{first}")
    return range(first, last + 1)


def _column_tags(cells: Mapping[str, str], classes: Iterable[str], where: str) -> tuple[int, ...]:
    return tuple(_yes_or_no(cells[name.lower()], name, where) for name in classes)


def _yes_or_no(cell: str, name: str, where: str) -> int:
    if cell.lower() in _YES:
        return 1
    if cell.lower() in _NO:
        return 0
    raise ImageLabelsError(f"{where}: {name} is {reprlib.repr(cell)}, it must be 0 or 1 (or no, yes)")


def _listed_tags(cell: str, classes: Sequence[str], where: str) -> tuple[int, ...]:
    known = {name.lower() for name in classes}
    seen = {name.lower() for name in _listed(cell)}
    if seen - known:
        unknown = ", ".join(sorted(seen - known))
        raise ImageLabelsError(f"{where}: {unknown} is not a class ({', '.join(classes)}): correct it, or add it")
    return tuple(int(name.lower() in seen) for name in classes)
