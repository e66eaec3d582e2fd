"""DICOM headers to a stack: which image is which slice and time point, and where the voxels lie. Reads no file.

A stack forms only when every slice and every time point is there once, on one regular grid; anything else is refused.
Messages name files, numbers and geometry, never what a header says about a person.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64

from medwsss.errors import VolumeError
from medwsss.types import Affine, SpacingMm
from medwsss.volumes.dicom_header import ACQUISITION, CLOCKS, TRIGGER, DicomImage
from medwsss.volumes.dicom_mixture import files_of, number_of, of_series, refuse_mixture

_SAME_PLACE_MM = 0.01
_UNEVEN = 0.02
"""Part of the step by which distances of neighbouring slices may differ."""
_WHOLE = 0.1
"""A gap within this of a whole number of steps is taken for missing slices."""


@dataclass(frozen=True, eq=False)
class DicomStack:
    """Where the images of a folder lie in space and time; holds neither voxels nor anything that names a person."""

    source_files: tuple[tuple[Path, ...], ...]
    """Files by slice, then by time point."""
    grid: tuple[int, int, int]
    """Columns, rows and slices."""
    spacing_mm: SpacingMm
    affine: Affine
    """Voxel indices (column, row, slice) to RAS+ millimetres."""
    trigger_times_ms: Float64[np.ndarray, "z t"] | None
    """Time after the R wave; None where the files do not order their time points by it."""
    frame_spacing: float
    """Median time between time points in seconds; 0 where it is unknown or there is one time point."""

    @property
    def frames(self) -> int:
        """Number of time points."""
        return len(self.source_files[0])


def stack_of(images: Sequence[DicomImage], folder: Path) -> DicomStack:
    """Order the images of a folder by slice (along the normal of their plane) and time.

    Each slice may be a series of its own, as some scanners store cine. Positions count, whatever
    SpacingBetweenSlices says.

    Args:
        images: at least one.
        folder: named in messages.

    Raises:
        VolumeError: the images are not one volume: they differ in patient, study, geometry or kind, an image is there
            twice or missing, or the slices are unevenly spaced or shifted sideways.
    """
    _refuse_copies(images, folder)
    refuse_mixture(images, folder)
    slices = _by_position(images)
    _refuse_several_series(slices, folder)
    clock = _clock(slices, folder)
    if clock is not None:
        slices = [sorted(images, key=lambda image: image.times[clock] or 0.0) for images in slices]
    _refuse_unequal_counts(slices, folder)
    affine = _affine(slices, folder)
    x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    rows, columns = images[0].size
    return DicomStack(
        source_files=tuple(tuple(image.path for image in images) for images in slices),
        grid=(columns, rows, len(slices)),
        spacing_mm=(x, y, z),
        affine=affine,
        trigger_times_ms=_times(slices, TRIGGER) if clock in (None, TRIGGER) else None,
        frame_spacing=_frame_spacing(slices, clock),
    )


# --- one volume, every image once ------------------------------------------------------------------------------------


def _refuse_copies(images: Sequence[DicomImage], folder: Path) -> None:
    seen: dict[str, Path] = {}
    for image in images:
        if image.instance in seen:
            raise VolumeError(
                f"{folder}: {seen[image.instance].name} and {image.path.name} are the same image twice; delete one"
            )
        seen[image.instance] = image.path


def _refuse_several_series(slices: Sequence[Sequence[DicomImage]], folder: Path) -> None:
    shared = [images for images in slices if len({image.series for image in images}) > 1]
    if shared:
        first = next(image for image in shared[0] if image.series != shared[0][0].series)
        raise VolumeError(
            f"{folder}: {len(shared)} of {len(slices)} slice positions have images of several series"
            f"{of_series(shared[0])}, such as {shared[0][0].path.name} and {first.path.name}; keep one series"
        )


def _refuse_unequal_counts(slices: Sequence[Sequence[DicomImage]], folder: Path) -> None:
    counts = Counter(len(images) for images in slices)
    if len(counts) > 1:
        (usual, _), *_ = counts.most_common()
        odd = next(number for number, images in enumerate(slices, start=1) if len(images) != usual)
        listed = ", ".join(
            f"{number_of(many, 'slice')} with {number_of(count, 'image')}" for count, many in counts.most_common()
        )
        raise VolumeError(
            f"{folder}: slices have different numbers of time points: {listed} (slice {odd} of {len(slices)}, at "
            f"{slices[odd - 1][0].path.name}, differs); an image is missing or there twice, export the series again"
        )


# --- time ------------------------------------------------------------------------------------------------------------


def _clock(slices: Sequence[Sequence[DicomImage]], folder: Path) -> int | None:
    """Place in ``CLOCKS`` of what orders the images of each slice; None where each slice has one image."""
    several = [images for images in slices if len(images) > 1]
    if not several:
        return None
    for clock in range(len(CLOCKS)):
        if any(image.times[clock] is None for images in slices for image in images):
            continue
        tie = next((pair for images in several if (pair := _tie(images, clock))), None)
        if tie is None:
            return clock
        if clock != ACQUISITION and any(len({image.times[clock] for image in images}) > 1 for images in several):
            raise VolumeError(
                f"{folder}: {tie[0].path.name} and {tie[1].path.name} show the same slice at the same time "
                f"({CLOCKS[clock]} {tie[0].times[clock]:g}); keep one of them"
            )
    raise VolumeError(
        f"{folder}: {files_of(len(several[0]))} show the same slice, such as {several[0][0].path.name} and "
        f"{several[0][1].path.name}, and no header says which comes first ({', '.join(CLOCKS)}); "
        "delete what is there twice, or convert the series with dcm2niix"
    )


def _tie(images: Sequence[DicomImage], clock: int) -> tuple[DicomImage, DicomImage] | None:
    ordered = sorted(images, key=lambda image: image.times[clock] or 0.0)
    return next((pair for pair in pairwise(ordered) if pair[0].times[clock] == pair[1].times[clock]), None)


def _times(slices: Sequence[Sequence[DicomImage]], clock: int) -> Float64[np.ndarray, "z t"] | None:
    times = [[image.times[clock] for image in images] for images in slices]
    if any(time is None for row in times for time in row):
        return None
    return np.array(times, dtype=np.float64)


def _frame_spacing(slices: Sequence[Sequence[DicomImage]], clock: int | None) -> float:
    seconds = {TRIGGER: 0.001, ACQUISITION: 1.0}
    if clock not in seconds:
        return 0.0
    times = _times(slices, clock)
    return 0.0 if times is None else float(np.median(np.diff(times, axis=1))) * seconds[clock]


# --- space -----------------------------------------------------------------------------------------------------------


def _by_position(images: Sequence[DicomImage]) -> list[list[DicomImage]]:
    """Images of one orientation, grouped by where they lie along the normal, in its direction."""
    normal = _normal(images[0])
    ordered = sorted(images, key=lambda image: float(normal @ image.position_mm))
    slices = [[ordered[0]]]
    for before, image in pairwise(ordered):
        if normal @ np.subtract(image.position_mm, before.position_mm) > _SAME_PLACE_MM:
            slices.append([])
        slices[-1].append(image)
    return slices


def _affine(slices: Sequence[Sequence[DicomImage]], folder: Path) -> Affine:
    first = slices[0][0]
    columns, rows = np.reshape(first.orientation, (2, 3))
    row_mm, column_mm = first.pixel_spacing_mm
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = columns * column_mm, rows * row_mm
    lps[:3, 2] = _step(slices, folder)
    lps[:3, 3] = first.position_mm
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def _step(slices: Sequence[Sequence[DicomImage]], folder: Path) -> Float[np.ndarray, "3"]:
    """Vector in mm from each slice to the next (LPS)."""
    first = slices[0][0]
    normal = _normal(first)
    if len(slices) == 1:
        if first.thickness_mm is None or first.thickness_mm <= 0:
            raise VolumeError(
                f"{first.path}: a single slice needs SliceThickness for its spacing, it is missing or not positive; "
                "export the series again"
            )
        _refuse_shifts(slices, first.thickness_mm, folder)
        return normal * first.thickness_mm
    _refuse_gaps(slices, normal, folder)
    step = np.subtract(slices[-1][0].position_mm, first.position_mm) / (len(slices) - 1)
    _refuse_shifts(slices, float(normal @ step), folder)
    return np.asarray(step, dtype=np.float64)


def _refuse_gaps(slices: Sequence[Sequence[DicomImage]], normal: Float[np.ndarray, "3"], folder: Path) -> None:
    places = [float(normal @ images[0].position_mm) for images in slices]
    gaps = [after - before for before, after in pairwise(places)]
    usual = sorted(gaps)[(len(gaps) - 1) // 2]
    widest = max(gaps, key=lambda gap: abs(gap - usual))
    if abs(widest - usual) <= max(_UNEVEN * usual, _SAME_PLACE_MM):
        return
    before = gaps.index(widest) + 1
    between = (
        f"between slice {before} ({slices[before - 1][0].path.name}) and slice {before + 1} "
        f"({slices[before][0].path.name}) of {len(slices)}"
    )
    steps = round(widest / usual)
    if steps > 1 and abs(widest / usual - steps) <= _WHOLE:
        missing = "a slice is" if steps == 2 else f"{steps - 1} slices are"
        raise VolumeError(
            f"{folder}: {missing} missing {between}: {widest:.4g} mm apart where others are {usual:.4g} mm; "
            "copy or export the series again"
        )
    raise VolumeError(
        f"{folder}: unequal slice spacing: {widest:.4g} mm {between}, elsewhere {usual:.4g} mm; "
        "keep the files of one stack with equal spacing"
    )


def _refuse_shifts(slices: Sequence[Sequence[DicomImage]], step_mm: float, folder: Path) -> None:
    """Refuse slices that do not lie straight above each other, as with a tilted gantry."""
    normal = _normal(slices[0][0])
    for before, image in pairwise(image for images in slices for image in images):
        way = np.subtract(image.position_mm, before.position_mm)
        aside_mm = float(np.linalg.norm(way - normal * float(normal @ way)))
        if aside_mm > max(_UNEVEN * step_mm, _SAME_PLACE_MM):
            raise VolumeError(
                f"{folder}: {image.path.name} lies {aside_mm:.4g} mm beside the line through {before.path.name} along "
                "the normal of the slices; a tilted or shifted stack must be resampled to a straight one first"
            )


def _normal(image: DicomImage) -> Float[np.ndarray, "3"]:
    columns, rows = np.reshape(image.orientation, (2, 3))
    normal = np.cross(columns, rows)
    return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)
