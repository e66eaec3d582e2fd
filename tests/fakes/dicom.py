"""Tiny cine series as scanners write them: one file an image, a person's name and id in every header."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

NAME, IDENTITY = "Müller^Änne", "ID-4711"
"""What must never be told."""
OBLIQUE = (0.6, 0.8, 0.0, 0.0, 0.0, -1.0)
"""Directions along a row and down a column: their normal is (-0.8, 0.6, 0)."""


@dataclass(frozen=True, kw_only=True)
class FakeSeries:
    """A stack of slices over time; pixel (column c, row r) of slice z at time t holds 100 z + 10 t + c."""

    slices: int = 3
    frames: int = 4
    rows: int = 6
    columns: int = 5
    row_mm: float = 1.5
    column_mm: float = 1.25
    step_mm: float = 8.0
    orientation: tuple[float, ...] = OBLIQUE
    origin: tuple[float, float, float] = (10.0, 20.0, 30.0)
    slope: float = 1.0
    intercept: float = 0.0
    charset: str = "ISO_IR 100"
    series_per_slice: bool = False


def write_series(
    folder: Path, series: FakeSeries, *, change: Callable[[FileDataset, int, int], None] | None = None
) -> Path:
    """Write the files in an order that means nothing; ``change`` alters a header, given slice and time."""
    folder.mkdir(parents=True, exist_ok=True)
    study, one, number = generate_uid(), generate_uid(), 0
    several = [generate_uid() for _ in range(series.slices)]
    for place in reversed(range(series.slices)):
        for time in range(series.frames):
            number += 1
            image = _image(series, place, time, study, several[place] if series.series_per_slice else one)
            image.InstanceNumber = number
            if change is not None:
                change(image, place, time)
            image.save_as(folder / f"IM{(number * 37) % 1009:04d}", enforce_file_format=True)
    return folder


def position(series: FakeSeries, place: int) -> np.ndarray:
    """Of the first pixel of a slice, in mm toward left, posterior and superior."""
    normal = np.cross(series.orientation[:3], series.orientation[3:])
    return np.array(series.origin) + place * series.step_mm * normal


def _image(series: FakeSeries, place: int, time: int, study: str, uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.SpecificCharacterSet = series.charset
    image.PatientName, image.PatientID, image.PatientBirthDate = NAME, IDENTITY, "19500101"
    image.PatientSex, image.StudyID, image.AccessionNumber = "F", "1", IDENTITY
    image.StudyDate, image.StudyTime, image.ReferringPhysicianName = "20200101", "120000", NAME
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, uid, study
    image.SeriesNumber, image.Modality, image.TriggerTime = 1, "MR", 40.0 * time
    image.Rows, image.Columns, image.PixelSpacing = series.rows, series.columns, [series.row_mm, series.column_mm]
    image.ImageOrientationPatient = list(series.orientation)
    image.ImagePositionPatient = [float(value) for value in position(series, place)]
    image.SliceThickness, image.SpacingBetweenSlices = 6.0, series.step_mm
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 1
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.RescaleSlope, image.RescaleIntercept = series.slope, series.intercept
    pixels = np.tile(np.arange(series.columns), (series.rows, 1)) + 100 * place + 10 * time
    image.PixelData = pixels.astype("<i2").tobytes()
    return image


def read(path: Path) -> pydicom.FileDataset:
    """A header, for tests that compare."""
    return pydicom.dcmread(path)
