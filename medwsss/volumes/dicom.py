"""DICOM image series as volumes: the only door to pydicom. No header that names a person leaves this file."""

import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from medwsss.errors import VolumeError
from medwsss.volumes.volume import Volume

MODALITIES = ("MR", "CT")
_TIME_KEYWORDS = ("TriggerTime", "NominalCardiacTriggerDelayTime", "TemporalPositionIndex",
                  "TemporalPositionIdentifier", "AcquisitionTime", "ContentTime", "InstanceNumber")  # fmt: skip
"""What may order the images of one place in time; the first that all have and that tells them apart is taken."""
_SAME_PLACE_MM = 0.05
_STEP_TOLERANCE = 0.02
"""Relative difference of slice distances that counts as equal."""
_MARK_AT, _MARK = 128, b"DICM"
_SECONDS_PER_MS = 1e-3


@dataclass(frozen=True, eq=False)
class DicomStack:
    """Where the images of a series lie, in order; what was read of their headers names nobody."""

    files: tuple[tuple[Path, ...], ...]
    """By slice, along the normal of the image plane, then by time."""
    affine: Float[np.ndarray, "4 4"]
    """Voxel indices (column, row, slice) to RAS+ millimetres."""
    shape: tuple[int, int, int]
    """Columns, rows, slices."""
    frame_spacing: float
    """Seconds between time points; 0 where they are not known."""

    @property
    def frames(self) -> int:
        """Number of time points."""
        return len(self.files[0])


@dataclass(frozen=True, eq=False)
class _Header:
    path: Path
    orientation: Float[np.ndarray, "6"]
    position: Float[np.ndarray, "3"]
    spacing_mm: tuple[float, float]
    """Between rows, between columns."""
    size: tuple[int, int]
    """Rows, columns."""
    thickness_mm: float
    identity: tuple[str, str]
    """Of patient and study: compared, never shown."""
    instance: str
    times: dict[str, float]

    @property
    def normal(self) -> Float[np.ndarray, "3"]:
        return np.cross(self.orientation[:3], self.orientation[3:])

    @property
    def along(self) -> float:
        """Place along the normal, in mm."""
        return float(self.position @ self.normal)


def is_dicom_folder(folder: Path) -> bool:
    """Whether a folder holds DICOM files, whatever their names."""
    return folder.is_dir() and any(_is_dicom(path) for path in sorted(folder.iterdir()))


def read_stack(folder: Path) -> DicomStack:
    """Put the images in a folder in order: one or more series of one stack of parallel slices, still or cine.

    Raises:
        VolumeError: there is none, they do not belong together, slices are missing, twice or unevenly spaced, or a
            header cannot be used. The message names folder or file.
    """
    paths = [path for path in sorted(folder.iterdir()) if _is_dicom(path)] if folder.is_dir() else []
    if not paths:
        raise VolumeError(f"{folder} holds no DICOM file: pass the folder of one series or stack")
    headers = [_header(path) for path in paths]
    _check_together(folder, headers)
    places = _places(headers)
    ordered = _in_time(folder, places)
    first, last = ordered[0][0], ordered[-1][0]
    if len(ordered) > 1:
        _check_steps(folder, [images[0].along for images in ordered])
        step = (last.position - first.position) / (len(ordered) - 1)
    else:
        if not first.thickness_mm > 0:
            raise VolumeError(f"{first.path}: a single slice without SliceThickness has no volume: correct the header")
        step = first.normal * first.thickness_mm
    return DicomStack(
        files=tuple(tuple(image.path for image in images) for images in ordered),
        affine=_affine(first, step),
        shape=(first.size[1], first.size[0], len(ordered)),
        frame_spacing=_frame_spacing(ordered[0]),
    )


def load_dicom(folder: Path) -> Volume:
    """The images in a folder as float32 of shape (column, row, slice) or, for a cine, (column, row, slice, time).

    Raises:
        VolumeError: as ``read_stack``, or the pixels of a file cannot be read.
    """
    stack = read_stack(folder)
    array = np.empty((*stack.shape, stack.frames), np.float32)
    for place, images in enumerate(stack.files):
        for time, path in enumerate(images):
            array[:, :, place, time] = _pixels(path, stack.shape[:2])
    x, y, z = (float(length) for length in np.linalg.norm(stack.affine[:3, :3], axis=0))
    return Volume(
        array if stack.frames > 1 else array[..., 0],
        (x, y, z),
        stack.affine,
        units=("mm", "sec"),
        frame_spacing=stack.frame_spacing,
    )


# --- Headers ---------------------------------------------------------------------------------------------------------


def _is_dicom(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(_MARK_AT + len(_MARK))[_MARK_AT:] == _MARK
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror}; check its permissions") from None


def _header(path: Path) -> _Header:
    import pydicom  # noqa: PLC0415  heavy, and rarely needed

    try:
        with quiet():
            found = pydicom.dcmread(path, stop_before_pixels=True)
            return _read_header(path, found)
    except VolumeError:
        raise
    except Exception as error:  # pydicom raises whatever a broken file makes of it
        raise VolumeError(f"{path}: damaged DICOM file ({type(error).__name__}); export it again") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing of what pydicom warns of or logs: it repeats values, and those may be names."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _read_header(path: Path, found: Any) -> _Header:
    modality = str(found.get("Modality", "none"))
    if modality not in MODALITIES:
        raise VolumeError(
            f"{path}: modality {modality[:8]} is no image of slices: pass the {' or '.join(MODALITIES)} series"
        )
    if int(found.get("NumberOfFrames", 1)) > 1:
        raise VolumeError(f"{path}: enhanced DICOM with several frames a file: convert it to NIfTI, with dcm2niix")
    colours = str(found.get("PhotometricInterpretation", "MONOCHROME2"))
    if not colours.startswith("MONOCHROME"):
        raise VolumeError(f"{path}: pixels are {colours[:16]}, not grey levels: pass the original series")
    missing = [name for name in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "Rows", "Columns")
               if found.get(name) in (None, "")]  # fmt: skip
    if missing:
        raise VolumeError(f"{path}: no {', '.join(missing)} in the header: export the original images, not screenshots")
    row_mm, column_mm = (float(step) for step in found.PixelSpacing)
    header = _Header(
        path=path,
        orientation=np.array([float(cosine) for cosine in found.ImageOrientationPatient]),
        position=np.array([float(place) for place in found.ImagePositionPatient]),
        spacing_mm=(row_mm, column_mm),
        size=(int(found.Rows), int(found.Columns)),
        thickness_mm=float(found.get("SliceThickness") or math.nan),
        identity=(str(found.get("PatientID", "")), str(found.get("StudyInstanceUID", ""))),
        instance=str(found.get("SOPInstanceUID", "")),
        times={name: float(found.get(name)) for name in _TIME_KEYWORDS if _is_number(found.get(name))},
    )
    numbers = (*header.orientation, *header.position, row_mm, column_mm)
    if (
        not all(map(math.isfinite, numbers))
        or row_mm <= 0
        or column_mm <= 0
        or abs(np.linalg.norm(header.normal) - 1) > 1e-2
    ):
        raise VolumeError(f"{path}: its orientation, position or pixel spacing makes no sense: correct the header")
    return header


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


# --- Order -----------------------------------------------------------------------------------------------------------


def _check_together(folder: Path, headers: Sequence[_Header]) -> None:
    """Refuse images of several stacks, naming what differs and how many images have the rarer value."""
    first = headers[0]
    differing = {
        "patient or study": [header.identity != first.identity for header in headers],
        "orientation": [np.abs(header.orientation - first.orientation).max() > 1e-3 for header in headers],
        "image size": [header.size != first.size for header in headers],
        "pixel spacing": [not np.allclose(header.spacing_mm, first.spacing_mm, rtol=1e-3) for header in headers],
    }
    for what, differs in differing.items():
        if any(differs):
            others = sum(differs)
            raise VolumeError(
                f"{folder}: mixed series, {len(headers) - others} images and {others} others differ in {what}:"
                " put each stack into a folder of its own"
            )
    copies = len(headers) - len({header.instance for header in headers})
    if copies:
        raise VolumeError(f"{folder}: {copies} of {len(headers)} files are copies of others: remove them")


def _places(headers: Sequence[_Header]) -> list[list[_Header]]:
    """Images by slice, along the normal."""
    ordered = sorted(headers, key=lambda header: header.along)
    places = [[ordered[0]]]
    for before, header in pairwise(ordered):
        if header.along - before.along > _SAME_PLACE_MM:
            places.append([])
        places[-1].append(header)
    return places


def _in_time(folder: Path, places: Sequence[list[_Header]]) -> list[list[_Header]]:
    """Images of each slice in the order of time; every slice has as many."""
    counts = Counter(len(images) for images in places)
    if len(counts) > 1:
        told = ", ".join(f"{slices} slices have {images}" for images, slices in sorted(counts.items()))
        raise VolumeError(f"{folder}: {told} images each: time points are missing or twice; export the series again")
    if len(places[0]) == 1:
        return list(places)
    for name in _TIME_KEYWORDS:
        values = [[image.times.get(name) for image in images] for images in places]
        if all(None not in own and len(set(own)) == len(own) for own in values):
            return [sorted(images, key=lambda image: image.times[name]) for images in places]
    raise VolumeError(f"{folder}: slices are there twice, or no header tells their order in time: remove the copies")


def _check_steps(folder: Path, along: Sequence[float]) -> None:
    steps = [after - before for before, after in pairwise(along)]
    usual = float(np.median(steps))
    for place, step in enumerate(steps):
        if abs(step - usual) <= max(_STEP_TOLERANCE * usual, 0.01):
            continue
        missing = round(step / usual) - 1
        if missing > 0 and abs(step / usual - missing - 1) <= _STEP_TOLERANCE * (missing + 1):
            count = f"{missing} {'slice is' if missing == 1 else 'slices are'}"
            raise VolumeError(
                f"{folder}: {count} missing between slices {place} and {place + 1}: export the whole stack"
            )
        raise VolumeError(
            f"{folder}: unequal spacing, slices {place} and {place + 1} are {step:.2f} mm apart and others"
            f" {usual:.2f} mm: pass one evenly spaced stack"
        )


def _affine(first: _Header, step: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    row_mm, column_mm = first.spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * column_mm
    affine[:3, 1] = first.orientation[3:] * row_mm
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM counts toward left and posterior


def _frame_spacing(images: Sequence[_Header]) -> float:
    """Seconds, by the trigger times of one slice."""
    times = [image.times.get("TriggerTime", math.nan) for image in images]
    steps = np.diff(times)
    return float(np.median(steps)) * _SECONDS_PER_MS if len(steps) and np.isfinite(steps).all() else 0.0


def _pixels(path: Path, shape: tuple[int, int]) -> Float32[np.ndarray, "x y"]:
    """Grey levels with the rescale of the header, as (column, row)."""
    import SimpleITK as sitk  # noqa: PLC0415  heavy, and rarely needed

    try:
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    except RuntimeError:
        raise VolumeError(
            f"{path}: its pixels cannot be read (truncated, or an unknown compression); export it again"
        ) from None
    array = np.asarray(sitk.GetArrayFromImage(image), np.float32).squeeze()
    if array.T.shape != shape:
        raise VolumeError(f"{path}: has {array.size} pixels where the header says {shape[0]} x {shape[1]}")
    return array.T
