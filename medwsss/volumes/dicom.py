"""The only door to DICOM files: a folder of MR or CT images becomes one volume. Readers load on first use.

No header value that names a person is returned or shown.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.volumes.dicom_header import read_headers, silent_pydicom
from medwsss.volumes.dicom_stack import DicomStack, stack_of
from medwsss.volumes.volume import Volume

_MARK, _MARK_AT = b"DICM", 128


def is_dicom_folder(folder: Path) -> bool:
    """Whether a folder itself holds a DICOM file under any name; DICOMDIR, hidden files and subfolders do not count."""
    try:
        return folder.is_dir() and any(_is_dicom(path) for path in _candidates(folder))
    except OSError:
        return False


def load_dicom(folder: Path) -> Volume:
    """Read the MR or CT images directly in a folder as one float32 volume, 4D (x, y, z, t) for a cine.

    Axes are column, row and slice; slices follow the normal of their plane, and the affine is turned from LPS to RAS.
    Rescale slope and intercept of each file are applied; MONOCHROME1 is not inverted. ``frame_spacing`` is the median
    time between time points in seconds, 0 where it is unknown.

    Raises:
        VolumeError: as ``read_dicom_stack``, or the pixels of a file are missing, damaged or of a compression that
            cannot be read.
    """
    stack = read_dicom_stack(folder)
    columns, rows, _ = stack.grid
    pixels = [[_pixels(path, (rows, columns)) for path in files] for files in stack.source_files]
    array = np.array(pixels, dtype=np.float32).transpose(3, 2, 0, 1)
    return Volume(
        array[..., 0] if stack.frames == 1 else array,
        stack.spacing_mm,
        stack.affine,
        units=("mm", "sec"),
        frame_spacing=stack.frame_spacing,
    )


def read_dicom_stack(folder: Path) -> DicomStack:
    """Where the MR or CT images of a folder lie in space and time, from their headers alone.

    DICOM files that are no such image, such as reports, segmentations and screenshots, are left out with a warning
    that counts them.

    Raises:
        VolumeError: there is no image, a file is damaged, lacks a tag, is in colour or has several frames, or the
            images are not one complete volume (see ``dicom_stack.stack_of``).
    """
    if not folder.is_dir():
        raise VolumeError(f"{folder}: no such folder")
    try:
        paths = [path for path in sorted(_candidates(folder)) if _is_dicom(path)]
    except OSError as error:
        raise VolumeError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from None
    if not paths:
        raise VolumeError(
            f"{folder}: no DICOM file; pass the folder that itself holds the image files (subfolders are not searched)"
        )
    images, others = read_headers(paths)
    listed = ", ".join(f"{count} {name}" for name, count in others.most_common())
    if not images:
        raise VolumeError(f"{folder}: no MR or CT image among its DICOM files ({listed}); pass the folder of a series")
    if others:
        message = f"{folder}: {others.total()} of {len(paths)} DICOM files hold no MR or CT image ({listed}); "
        warnings.warn(f"{message}they were left out", MedwsssWarning, stacklevel=2)
    return stack_of(images, folder)


def _candidates(folder: Path) -> Iterator[Path]:
    return (
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.upper() != "DICOMDIR" and path.is_file()
    )


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(_MARK_AT + len(_MARK))[_MARK_AT:] == _MARK


# --- pixels ----------------------------------------------------------------------------------------------------------


def _pixels(path: Path, size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    """Grey values of one image with its rescale applied."""
    import pydicom  # noqa: PLC0415

    with silent_pydicom():
        try:
            dataset = pydicom.dcmread(path)
            compressed = dataset.file_meta.TransferSyntaxUID.is_compressed
            values = _decoded_pixels(path, dataset) if compressed else _stored_pixels(dataset)
        except VolumeError:
            raise
        except Exception:  # as in _header
            raise VolumeError(f"{path}: damaged or truncated DICOM pixels; copy or export the file again") from None
    if values.shape != size:
        raise VolumeError(f"{path}: pixels of shape {values.shape} where the header says {size}; export the file again")
    return values


def _stored_pixels(dataset: Any) -> Float32[np.ndarray, "h w"]:
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    values = np.asarray(dataset.pixel_array, dtype=np.float64)
    return (values * float(slope or 1.0) + float(intercept or 0.0)).astype(np.float32)


def _decoded_pixels(path: Path, dataset: Any) -> Float32[np.ndarray, "h w"]:
    """Through GDCM in SimpleITK, which applies the rescale itself, but also inverts MONOCHROME1."""
    import SimpleITK as sitk  # noqa: PLC0415

    if dataset.PhotometricInterpretation != "MONOCHROME2":
        raise VolumeError(f"{path}: compressed MONOCHROME1 cannot be read; convert the series with dcm2niix first")
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
    except RuntimeError:
        name = dataset.file_meta.TransferSyntaxUID.name
        raise VolumeError(
            f"{path}: pixels cannot be decoded ({name}); copy the file again, or convert the series with dcm2niix"
        ) from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
    return np.asarray(values.squeeze(0), dtype=np.float32)
