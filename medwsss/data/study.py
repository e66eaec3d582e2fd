"""One patient's images, whatever data set they come from; a ``Study`` knows no mask."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medwsss.errors import DatasetError
from medwsss.labels import Task
from medwsss.types import LabelMap3D
from medwsss.volumes.io import load_label_volume, load_volume
from medwsss.volumes.volume import Volume

PHASES = ("ED", "ES")
"""End-diastole and end-systole: what the cine prior and clinical numbers ask for."""
AFFINE_TOLERANCE = 1e-3
"""Largest difference between the affines of a frame and its mask, per entry."""


@dataclass(frozen=True)
class Frame:
    """One volume of a study: a file of its own, or one time point of a 4D file or DICOM folder."""

    path: Path
    number: int | None
    """Time point counted from 1, as in ACDC's Info.cfg and file names; None where nothing numbers it."""
    time_index: int | None = None
    """Index along the fourth axis of ``path``, counted from 0; None where ``path`` holds this frame alone."""

    def __str__(self) -> str:
        return str(self.path) if self.number is None else f"{self.path} frame {self.number}"


@dataclass(frozen=True)
class Study:
    """One patient: the volumes to segment, the cine file where there is one, and what is known of the patient."""

    patient: str
    group: str
    frames: Mapping[str, Frame]
    """By phase: ED and ES where those are known, otherwise what the data set calls a volume; never empty."""
    cine: Path | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
    frame_count: int | None = None


def case_id(study: Study, phase: str) -> str:
    """Name of one volume: patient001_frame01 where frames are numbered, else patient_phase, or the patient alone."""
    number = study.frames[phase].number
    if number is not None:
        return numbered_case(study.patient, number)
    return f"{study.patient}_{phase}" if phase else study.patient


def numbered_case(patient: str, number: int) -> str:
    """Name of the volume at a time point counted from 1."""
    return f"{patient}_frame{number:02d}"


def cine_case(study: Study) -> str:
    """Name of the 4D file of a study."""
    return f"{study.patient}_4d"


def case_ids(studies: Iterable[Study]) -> tuple[str, ...]:
    """Names of all volumes, in the order of studies and phases."""
    return tuple(case_id(study, phase) for study in studies for phase in study.frames)


def load_frame(frame: Frame) -> Volume:
    """The voxels of one frame, 3D float32.

    Raises:
        DatasetError: the 4D file has no such time point, or a frame's own file has several.
        VolumeError: the file cannot be read.
    """
    volume = load_volume(frame.path)
    index = 0 if frame.time_index is None else frame.time_index
    if frame.time_index is None and volume.frames > 1:
        raise DatasetError(f"{frame.path} has {volume.frames} time points where one frame was expected")
    if index >= volume.frames:
        raise DatasetError(f"{frame.path} has {volume.frames} time points, Info.cfg names frame {frame.number}")
    return volume.frame(index)


def load_reference(path: Path, like: Volume, task: Task) -> LabelMap3D:
    """The mask in ``path`` as labels of ``task``, on the grid of ``like``.

    Raises:
        DatasetError: shape or affine differ from ``like``, or the mask has codes that the task does not define.
        VolumeError: the file cannot be read.
    """
    mask = load_label_volume(path)
    if mask.array.shape != like.grid:
        raise DatasetError(f"{path} has shape {mask.array.shape}, its frame has {like.grid}: mask and frame must match")
    if not np.allclose(mask.affine, like.affine, rtol=0.0, atol=AFFINE_TOLERANCE):
        difference = float(np.abs(mask.affine - like.affine).max())
        raise DatasetError(
            f"{path} has another affine than its frame (by up to {difference:g}): mask and frame must match"
        )
    try:
        return task.from_codes(mask.array)
    except ValueError as error:
        raise DatasetError(f"{path}: {error} ({task.words})") from error


@dataclass(frozen=True)
class StudySet:
    """The studies of a data set, and the masks that there are, for scoring alone."""

    studies: tuple[Study, ...]
    references: Mapping[str, Path]
    """Mask file by ``case_id``; not every volume needs one."""
