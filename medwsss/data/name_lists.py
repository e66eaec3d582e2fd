"""List files of data sets of photographs: one image a line, by its name or by the paths of its files."""

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from medwsss.errors import DatasetError
from medwsss.reading import read_text
from medwsss.writing import is_plain_name

_SHOWN = 80


def listed_names(path: Path) -> tuple[str, ...]:
    """The names in a list file, in its order; blank lines are skipped.

    A line holds a name, or the paths of an image and its mask, such as
    ``/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png``.

    Raises:
        DatasetError: the file cannot be read, is empty or repeats a name, or a line means no single image.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise DatasetError(f"cannot read the list {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"the list {path} is not UTF-8 text: copy it again from its source") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    names = tuple(_name(line, f"{path} line {number}") for number, line in lines)
    if not names:
        raise DatasetError(f"{path} names no image: copy it again from its source")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DatasetError(f"{path} repeats {len(repeated)} names, first {repeated[0]}: keep one line each")
    return names


def file_of(folder: Path, name: str, suffix: str) -> Path:
    """``folder/NAME.suffix``, which may not be there, but lies in ``folder`` whatever the name is.

    Raises:
        DatasetError: the name is none of a file alone.
    """
    if not is_plain_name(name):
        raise DatasetError(f"{name[:_SHOWN]!r} is no name of an image: give a file name without folders")
    return folder / f"{name}{suffix}"


def choice(wrong: str, known: Sequence[str]) -> str:
    """What to say of a name that is not among the known ones: the nearest, and all there are."""
    near = difflib.get_close_matches(wrong, known, n=1)
    there_are = f"there are {', '.join(known)}" if known else "there is none at all"
    return f"did you mean {near[0]}? ({there_are})" if near else there_are


def _name(line: str, where: str) -> str:
    """The one name that all columns of a line mean."""
    names = {_without_suffix(column.replace("\\", "/").rpartition("/")[2]) for column in line.split()}
    name = names.pop()
    if names or not is_plain_name(name):
        raise DatasetError(
            f"{where}: {line.strip()[:_SHOWN]!r} is neither a name nor the paths of an image and its mask"
        )
    return name


def _without_suffix(file: str) -> str:
    stem, _, suffix = file.rpartition(".")
    return stem if suffix.lower() in ("jpg", "jpeg", "png") else file
