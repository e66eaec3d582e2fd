"""What the header of a DICOM image says about its place in a volume. pydicom loads on first use.

No value that names a person is kept or shown: of the patient, only a digest is compared.
"""

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medwsss.errors import VolumeError

CLOCKS = ("TriggerTime", "TemporalPositionIndex", "TemporalPositionIdentifier", "AcquisitionTime", "InstanceNumber")
"""What may order the images of a slice in time; the first that every image has and that differs decides."""
TRIGGER, ACQUISITION = 0, 3
"""Places in ``CLOCKS`` of the times: milliseconds after the R wave, and seconds of the day."""

_STORAGE = {"1.2.840.10008.5.1.4.1.1.4": "MR Image Storage", "1.2.840.10008.5.1.4.1.1.2": "CT Image Storage"}
"""Classic images: one slice a file."""
_MULTI_FRAME = (
    "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4",
    "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2",
)  # fmt: skip
"""Enhanced and legacy converted enhanced MR and CT."""
_GREY = ("MONOCHROME1", "MONOCHROME2")
_KNOWN_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID",
    "SeriesNumber", "ImageType", "NumberOfFrames", "PhotometricInterpretation", "Rows", "Columns", "PixelSpacing",
    "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", *CLOCKS,
)  # fmt: skip
_NOT_ORTHOGONAL = 1e-2


@dataclass(frozen=True, kw_only=True)
class DicomImage:
    """What the header of one single-frame image says about its place in a stack."""

    path: Path
    patient: str = field(repr=False)
    """A digest, only to be compared."""
    study: str = field(repr=False)
    frame_of_reference: str = field(repr=False)
    series: str = field(repr=False)
    series_number: int | None
    instance: str = field(repr=False)
    storage: str
    """Registered name of its storage class, such as MR Image Storage."""
    image_type: str = field(repr=False)
    size: tuple[int, int]
    """Rows and columns."""
    pixel_spacing_mm: tuple[float, float]
    """Distance of neighbouring rows, and of neighbouring columns."""
    orientation: tuple[float, ...]
    """Unit vectors (LPS) along which column index and row index grow: six numbers."""
    position_mm: tuple[float, ...]
    """Centre of the first pixel (LPS)."""
    thickness_mm: float | None
    times: tuple[float | None, ...]
    """One number for each of ``CLOCKS``."""


@contextmanager
def silent_pydicom() -> Iterator[None]:
    """Without the warnings of pydicom, which quote headers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_headers(paths: Sequence[Path]) -> tuple[list[DicomImage], Counter[str]]:
    """The images among DICOM files, and how many files of each other kind there are.

    Raises:
        VolumeError: a file is damaged, lacks a tag that an image needs, is in colour or holds several frames.
    """
    images: list[DicomImage] = []
    others: Counter[str] = Counter()
    with silent_pydicom():
        for path in paths:
            header = _header(path)
            storage = _text(path, header, "SOPClassUID")
            if storage in _MULTI_FRAME:
                raise _multi_frame(path)
            if storage in _STORAGE:
                images.append(_image(path, header))
            else:
                others[_kind(storage)] += 1
    return images, others


def _header(path: Path) -> Any:
    import pydicom  # noqa: PLC0415  most commands read no DICOM

    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except PermissionError:
        raise VolumeError(f"{path}: cannot be read; check its permissions") from None
    except Exception:  # damaged files raise nearly anything, and the messages of pydicom quote headers
        raise VolumeError(f"{path}: damaged DICOM header; copy or export the file again") from None


def _multi_frame(path: Path) -> VolumeError:
    return VolumeError(f"{path}: several frames in one file (enhanced DICOM); convert it to NIfTI with dcm2niix first")


def _kind(storage: str) -> str:
    from pydicom.uid import UID_dictionary  # noqa: PLC0415

    return str(UID_dictionary[storage][0]) if storage in UID_dictionary else "of an unknown kind"


def _image(path: Path, header: Any) -> DicomImage:
    frames = _optional(path, header, "NumberOfFrames")
    if frames is not None and frames > 1:
        raise _multi_frame(path)
    _refuse_colour(path, header)
    rows, columns = (_numbers(path, header, tag, 1)[0] for tag in ("Rows", "Columns"))
    row_mm, column_mm = _numbers(path, header, "PixelSpacing", 2)
    if min(rows, columns, row_mm, column_mm) <= 0:
        raise VolumeError(f"{path}: Rows, Columns and PixelSpacing must be positive; export the file again")
    number = _optional(path, header, "SeriesNumber")
    return DicomImage(
        path=path,
        patient=hashlib.sha256(_raw(header, "PatientID").strip(b" \0")).hexdigest(),
        study=_text(path, header, "StudyInstanceUID"),
        frame_of_reference=_raw(header, "FrameOfReferenceUID").hex(),
        series=_text(path, header, "SeriesInstanceUID"),
        series_number=None if number is None else int(number),
        instance=_text(path, header, "SOPInstanceUID"),
        storage=_STORAGE[_text(path, header, "SOPClassUID")],
        image_type=_raw(header, "ImageType").hex(),
        size=(int(rows), int(columns)),
        pixel_spacing_mm=(row_mm, column_mm),
        orientation=_orientation(path, header),
        position_mm=_numbers(path, header, "ImagePositionPatient", 3),
        thickness_mm=_optional(path, header, "SliceThickness"),
        times=tuple(_time(path, header, place) for place in range(len(CLOCKS))),
    )


def _refuse_colour(path: Path, header: Any) -> None:
    colour = _text(path, header, "PhotometricInterpretation")
    if colour not in _GREY:
        kind = colour if colour in _KNOWN_COLOURS else "of an unknown PhotometricInterpretation"
        raise VolumeError(f"{path}: pixels are {kind}, not grey values (MONOCHROME1 or 2); pass the images themselves")


def _orientation(path: Path, header: Any) -> tuple[float, ...]:
    """Direction cosines, made exact: unit vectors, the second perpendicular to the first."""
    columns, rows = np.reshape(_numbers(path, header, "ImageOrientationPatient", 6), (2, 3))
    lengths = np.linalg.norm(columns), np.linalg.norm(rows)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(columns @ rows)) > _NOT_ORTHOGONAL:
        raise VolumeError(f"{path}: ImageOrientationPatient is no pair of perpendicular unit vectors; export again")
    columns = columns / lengths[0]
    rows = rows - columns * (columns @ rows)
    return (*columns.tolist(), *(rows / np.linalg.norm(rows)).tolist())


def _time(path: Path, header: Any, place: int) -> float | None:
    if place != ACQUISITION:
        return _optional(path, header, CLOCKS[place])
    text = _raw(header, CLOCKS[place]).decode("ascii", "replace").strip(" \0").replace(":", "")
    hours, minutes, seconds = text[:2], text[2:4], text[4:]
    if not (hours.isdecimal() and minutes.isdecimal() and seconds[:2].isdecimal()):
        return None
    try:
        return 3600.0 * int(hours) + 60.0 * int(minutes) + float(seconds)
    except ValueError:
        return None


def _raw(header: Any, tag: str) -> bytes:
    """Bytes of a text as the file holds them, empty where it is absent; no character set can break this."""
    value = header.get_item(tag, keep_deferred=True).value if tag in header else None
    return value if isinstance(value, bytes) else str(value or "").encode()


def _text(path: Path, header: Any, tag: str) -> str:
    text = _raw(header, tag).decode("ascii", "replace").strip(" \0")
    if not text:
        raise _missing(path, tag)
    return text


def _optional(path: Path, header: Any, tag: str) -> float | None:
    """A number, or None where the tag is absent, empty or unreadable."""
    try:
        return _numbers(path, header, tag, 1)[0]
    except VolumeError:
        return None


def _numbers(path: Path, header: Any, tag: str, count: int) -> tuple[float, ...]:
    try:
        value = header.get(tag)
        numbers = tuple(float(number) for number in (value if count > 1 else [value]))
    except Exception:  # what a damaged number raises depends on its type, and the message would quote it
        raise _missing(path, tag) from None
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise _missing(path, tag)
    return numbers


def _missing(path: Path, tag: str) -> VolumeError:
    return VolumeError(
        f"{path}: {tag} is missing or cannot be read; copy or export the file again with all its headers"
    )
