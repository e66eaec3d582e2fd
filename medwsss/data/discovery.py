"""What images lie in a folder that nobody has described yet, and a table to describe them in."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medwsss.data.cine_phases import extreme_frames
from medwsss.data.study import PHASES
from medwsss.errors import DatasetError, OutputError
from medwsss.spreadsheets import FORMULA_SIGNS
from medwsss.volumes.dicom import is_dicom_folder
from medwsss.volumes.io import ITK_SUFFIXES, NIFTI_SUFFIXES, load_volume, time_points, volume_stem
from medwsss.writing import written_whole

_MASK = re.compile(r"_(gt|seg|segmentation|mask|labels?)$", re.IGNORECASE)
_PHASE = re.compile(r"_(ED|ES)$", re.IGNORECASE)


@dataclass(frozen=True)
class FoundImage:
    """One volume or cine, with the name that its patient gets in a new table."""

    patient: str
    """P001, P002, …: file names and headers may name persons."""
    path: Path
    phase: str
    """ED or ES where the file name ends so; else empty."""
    mask: Path | None
    """The file of the same name with a suffix such as _gt or _seg."""


def find_images(root: Path) -> list[FoundImage]:
    """Every volume below ``root`` that is no mask, in the order of their paths; those of one name but ED and ES are one
    patient's.

    Raises:
        DatasetError: there is none, or no such folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder: pass the folder of your studies")
    paths = sorted(_volumes(root))
    masks = {_named(path): path for path in paths if _is_mask(path)}
    images = [path for path in paths if not _is_mask(path)]
    if not images:
        raise DatasetError(f"{root} holds no images: medwsss reads NIfTI (.nii, .nii.gz), .mha, .nrrd and DICOM")
    persons = list(dict.fromkeys(_person(path) for path in images))
    width = max(3, len(str(len(persons))))
    names = {person: f"P{number:0{width}d}" for number, person in enumerate(persons, start=1)}
    return [
        FoundImage(names[_person(path)], path, _phase(path), masks.get((path.parent, volume_stem(path))))
        for path in images
    ]


def write_example_table(images: Sequence[FoundImage], classes: Sequence[str], path: Path) -> int:
    """Write a table with a line for each image, its classes still to be filled in, and count the cines among them.

    Cines get the time points of ED and ES that ``extreme_frames`` finds, and no mask. Paths are relative to the
    table's folder.

    Raises:
        OutputError: the file cannot be written.
        VolumeError: an image cannot be read.
    """
    root, rows, cines = path.parent, [], 0
    for image in images:
        early, late = "", ""
        mask = "" if image.mask is None else _cell(image.mask.relative_to(root))
        if time_points(image.path) > 1:
            cines += 1
            early, late = (str(index + 1) for index in extreme_frames(load_volume(image.path).array))
            mask = ""  # of which time point, nobody says
        where = _cell(image.path.relative_to(root))
        rows.append((image.patient, where, image.phase, early, late, "", "", mask, *("" for _ in classes)))
    header = ("patient", "file", "phase", "ed", "es", "slice", "group", "mask", *classes)
    used = [column for column, name in enumerate(header) if _worth(name) or any(row[column] for row in rows)]
    try:
        with written_whole(path) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file).writerows([row[column] for column in used] for row in (header, *rows))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose a writable folder") from error
    return cines


def _cell(path: Path) -> str:
    """The path as text that no spreadsheet takes for a formula."""
    return f"./{path.as_posix()}" if path.as_posix().startswith(FORMULA_SIGNS) else path.as_posix()


def _worth(column: str) -> bool:
    """Columns that are written even when nothing is in them yet."""
    return column not in ("phase", "ed", "es", "mask")


def _volumes(root: Path) -> Iterator[Path]:
    """Volume files, and folders of DICOM files."""
    for path in (root, *root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        if is_dicom_folder(path) or (path.is_file() and path.name.lower().endswith((*NIFTI_SUFFIXES, *ITK_SUFFIXES))):
            yield path


def _is_mask(path: Path) -> bool:
    return _MASK.search(volume_stem(path)) is not None


def _named(path: Path) -> tuple[Path, str]:
    """Folder and name of the image that a mask belongs to."""
    return path.parent, _MASK.sub("", volume_stem(path))


def _person(path: Path) -> tuple[Path, str]:
    return path.parent, _PHASE.sub("", volume_stem(path))


def _phase(path: Path) -> str:
    match = _PHASE.search(volume_stem(path))
    return match[1].upper() if match and match[1].upper() in PHASES else ""
