"""Tiny cine series in the layouts of real scanners and exports; every voxel has a value of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

PATIENT = "Mustermann^Erika"
"""Names, ids and the like of the patient: nothing of them may leave the reader."""
IDENTITY = (PATIENT, "Mustermann", "Erika", "PAT-4711", "19571103", "ACC-0815", "Dr^Referring", "Klinik Musterstadt")

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.36, -0.48, 0.0, 0.8, 0.6)
"""Column and row direction (LPS): 0.8² + 0.36² + 0.48² = 1, 0.8² + 0.6² = 1, 0.36 · 0.8 − 0.48 · 0.6 = 0."""
OBLIQUE_NORMAL = (0.6, -0.48, 0.64)
"""Their cross product: (0.36 · 0.6 + 0.48 · 0.8, −0.8 · 0.6, 0.8 · 0.8)."""

Edit = Callable[[Dataset, int, int], None]


class Layout(Enum):
    """How the images are spread over files and series."""

    ONE_SERIES = "IM_{number:04d}.dcm"
    SERIES_A_SLICE = "1.3.12.{series}.{number}"
    NO_SUFFIX = "I{number}"


@dataclass(frozen=True, kw_only=True)
class FakeDicom:
    """One stack; the defaults are an axial MR cine of 3 slices and 4 time points."""

    columns: int = 6
    rows: int = 5
    slices: int = 3
    frames: int = 4
    row_mm: float = 1.5
    """Distance of rows; the first number of PixelSpacing."""
    column_mm: float = 1.25
    slice_mm: float = 8.0
    orientation: tuple[float, ...] = AXIAL
    position: tuple[float, float, float] = (10.0, -20.0, 30.0)
    layout: Layout = Layout.ONE_SERIES
    frame_ms: float = 40.0
    signed: bool = False
    slope: float | None = None
    intercept: float | None = None
    modality: str = "MR"
    name: str = PATIENT
    charset: str | None = None

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.orientation[:3], self.orientation[3:])

    def stored(self, z: int, t: int) -> np.ndarray:
        """Stored pixels (rows, columns): 1000 t + 100 z + 10 row + column, less 500 where signed."""
        pixels = 1000 * t + 100 * z + 10 * np.arange(self.rows)[:, None] + np.arange(self.columns)
        return (pixels - 500).astype(np.int16) if self.signed else pixels.astype(np.uint16)

    def volume(self) -> np.ndarray:
        """Grey values (x, y, z, t), or (x, y, z) of one time point."""
        pixels = np.array([[self.stored(z, t) for t in range(self.frames)] for z in range(self.slices)], float)
        grey = pixels * (1.0 if self.slope is None else self.slope) + (self.intercept or 0.0)
        array = grey.transpose(3, 2, 0, 1).astype(np.float32)
        return array[..., 0] if self.frames == 1 else array


def write_dicom(folder: Path, fake: FakeDicom | None = None, *, edit: Edit | None = None, shuffle: int = 0) -> Path:
    """Write the files of a stack, ``edit(dataset, z, t)`` changing each first; a DICOMDIR and a note lie beside them.

    Names and instance numbers follow time and slice, or say nothing where ``shuffle`` is not 0.
    """
    fake = fake or FakeDicom()
    folder.mkdir(parents=True, exist_ok=True)
    study, frame_of_reference = generate_uid(), generate_uid()
    series = [generate_uid()] * fake.slices
    if fake.layout is Layout.SERIES_A_SLICE:
        series = [generate_uid() for _ in range(fake.slices)]
    numbers = np.arange(fake.slices * fake.frames)
    if shuffle:
        numbers = np.random.default_rng(shuffle).permutation(numbers)
    for z in range(fake.slices):
        for t in range(fake.frames):
            number = int(numbers[z * fake.frames + t]) + 1
            dataset = _image(fake, z, t)
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series[z]
            dataset.FrameOfReferenceUID = frame_of_reference
            dataset.SeriesNumber = 7 + (z if fake.layout is Layout.SERIES_A_SLICE else 0)
            dataset.InstanceNumber = number
            if edit is not None:
                edit(dataset, z, t)
            save(dataset, folder / fake.layout.value.format(number=number, series=dataset.SeriesNumber))
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(20))
    (folder / "readme.txt").write_text("exported")
    return folder


def save(dataset: Dataset, path: Path) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def _image(fake: FakeDicom, z: int, t: int) -> Dataset:
    dataset = Dataset()
    if fake.charset is not None:
        dataset.SpecificCharacterSet = fake.charset
    _identify(dataset, fake)
    dataset.SOPClassUID = CTImageStorage if fake.modality == "CT" else MRImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = fake.modality
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "RETRO"]
    dataset.SliceThickness = fake.slice_mm - 1
    dataset.SpacingBetweenSlices = 99.0  # contradicts the positions, which count
    dataset.TriggerTime = fake.frame_ms * t + 3
    position = np.array(fake.position) + z * fake.slice_mm * fake.normal
    dataset.ImagePositionPatient = [round(float(number), 6) for number in position]
    dataset.ImageOrientationPatient = list(fake.orientation)
    dataset.PixelSpacing = [fake.row_mm, fake.column_mm]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = fake.rows, fake.columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(fake.signed)
    if fake.slope is not None:
        dataset.RescaleSlope = fake.slope
    if fake.intercept is not None:
        dataset.RescaleIntercept = fake.intercept
    dataset.PixelData = fake.stored(z, t).tobytes()
    return dataset


def _identify(dataset: Dataset, fake: FakeDicom) -> None:
    dataset.PatientName, dataset.PatientID = fake.name, "PAT-4711"
    dataset.PatientBirthDate, dataset.PatientSex = "19571103", "F"
    dataset.AccessionNumber, dataset.StudyID = "ACC-0815", "1"
    dataset.StudyDate, dataset.StudyTime = "20240229", "101500"
    dataset.ReferringPhysicianName, dataset.InstitutionName = "Dr^Referring", "Klinik Musterstadt"
    dataset.SeriesDescription = f"SAX of {PATIENT}"


def break_charset(folder: Path, raw_name: bytes) -> None:
    """Give each file a character set that does not exist and a name of bytes that no set explains.

    The files must have been written with ISO_IR 100 and a name of as many ASCII characters.
    """
    for path in folder.iterdir():
        content = path.read_bytes()
        written = PATIENT.encode()
        assert len(raw_name) == len(written)
        path.write_bytes(content.replace(b"ISO_IR 100", b"ISO_IR 9_9").replace(written, raw_name))
