"""Tables that people write: CSV in UTF-8, with or without BOM, cells apart by comma, semicolon or tab."""

import csv
from collections.abc import Sequence
from pathlib import Path

from medwsss.errors import ImageLabelsError
from medwsss.reading import read_text

SEPARATORS = (",", ";", "\t")
Row = tuple[int, dict[str, str]]
"""A line after the header: its number in the file, the header being 1, and its stripped cells by column."""


def read_header(path: Path) -> list[str]:
    """The names of the columns; none of an empty file.

    Raises:
        ImageLabelsError: the file cannot be read or is no table.
    """
    return next(iter(_cells(path)), [])


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """The lines after the header; empty ones are skipped.

    Args:
        path: the file.
        columns: those that must be there, once; there may be more.

    Raises:
        ImageLabelsError: the file cannot be read, lacks a column or has it twice, or a line is longer or shorter than
            the header.
    """
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
    separator = max(SEPARATORS, key=lines[0].count) if lines else SEPARATORS[0]
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    except csv.Error as error:
        raise ImageLabelsError(f"{path} is not a CSV table: {error}") from error


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise ImageLabelsError(f"cannot read the image-level labels {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ImageLabelsError(f"{path} is not UTF-8: save it as CSV UTF-8") from error
