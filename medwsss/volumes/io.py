"""Volumes in and out: NIfTI, MetaImage and NRRD by the endings of their names, folders of DICOM."""

import warnings
from pathlib import Path

import numpy as np

from medwsss.errors import MedwsssWarning, OutputError, VolumeError
from medwsss.volumes.dicom import load_dicom, read_dicom_stack
from medwsss.volumes.header import check_extent
from medwsss.volumes.itk_files import read_itk
from medwsss.volumes.nifti import nifti_bytes, nifti_shape, read_nifti, write_nifti
from medwsss.volumes.volume import Volume
from medwsss.writing import written_whole

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".mha", ".nrrd")

_LARGEST_VALUE = 1e15
"""No scanner measures more, and the squares of what lies beyond would overflow in sums of float32."""
_MAX_CODE = 255


def load_volume(path: Path | str) -> Volume:
    """Read a 3D or 4D image as float32, with the header's intensity scale applied.

    Files: .nii, .nii.gz, .mha, .nrrd (the last two are turned from LPS to RAS). Trailing axes of length 1 beyond the
    fourth are dropped. A folder is read as one DICOM series (see ``medwsss.volumes.dicom.load_dicom``).
    ``spacing_mm`` comes from the affine; when the affine and pixdim differ by more than 1 %, pixdim is believed if the
    affine is unit-scale, otherwise the affine, and a warning says so. Voxels that are not finite or lie beyond 1e15
    take the smallest value of the others, and a warning counts them.

    Raises:
        VolumeError: the file is missing, damaged, of another kind, or no voxel is finite.
    """
    volume = load_dicom(Path(path)) if Path(path).is_dir() else _read(Path(path))
    finite = (volume.array > -_LARGEST_VALUE) & (volume.array < _LARGEST_VALUE)
    bad = finite.size - int(np.count_nonzero(finite))
    if not bad:
        return volume
    if bad == finite.size:
        raise VolumeError(f"{path}: no voxel is finite and below {_LARGEST_VALUE:g}; export the volume again")
    floor = volume.array[finite].min()
    message = (
        f"{path}: {bad} of {finite.size} voxels are NaN or infinite, or beyond {_LARGEST_VALUE:g}; they were set to"
        f" the smallest value {floor:g}"
    )
    warnings.warn(message, MedwsssWarning, stacklevel=2)
    return volume.with_array(np.where(finite, volume.array, floor))


def load_label_volume(path: Path | str) -> Volume:
    """Read a label map as uint8; files and geometry as in ``load_volume``, but a single time point is 3D.

    Raises:
        VolumeError: as ``load_volume``, or a voxel is not an integer between 0 and 255.
    """
    volume = _read(Path(path))
    codes = volume.array
    if not np.isfinite(codes).all() or (codes != np.rint(codes)).any():
        raise VolumeError(f"{path}: label maps hold integers, this file holds other values; is it an image?")
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high > _MAX_CODE:
        raise VolumeError(f"{path}: labels run from {low} to {high}, allowed are 0 to {_MAX_CODE}; is it an image?")
    labels = volume.with_array(codes.astype(np.uint8))
    return labels.frame(0) if labels.frames == 1 else labels


def time_points(path: Path | str) -> int:
    """How many 3D volumes a file or DICOM folder holds, by its headers alone.

    Raises:
        VolumeError: as ``load_volume``, as far as the header tells.
    """
    path = Path(path)
    if path.is_dir():
        return read_dicom_stack(path).frames
    suffix = _checked_suffix(path)
    if suffix in ITK_SUFFIXES:
        return load_volume(path).frames
    shape = nifti_shape(path)
    return shape[3] if len(shape) == 4 else 1


def save_volume(volume: Volume, path: Path | str, *, description: str = "") -> None:
    """Write NIfTI-1 (.nii or .nii.gz) with the volume's dtype, affine, spacing, units and form codes; bool as uint8.

    The file appears whole or not at all, and equal volumes give equal bytes.

    Args:
        volume: what to write.
        path: of the file.
        description: where the voxels come from, for the header's ``descrip``; ASCII, at most 79 characters.

    Raises:
        OutputError: the name does not end in .nii or .nii.gz, or the file cannot be written.
        ValueError: NIfTI cannot store the dtype or the description.
    """
    path = Path(path)
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise OutputError(f"{path}: volumes are written as NIfTI; choose a name ending in .nii or .nii.gz")
    content = nifti_bytes(volume, description)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: no such folder; choose an existing, writable folder with space")
    try:
        with written_whole(path) as partial:
            write_nifti(content, partial, compress=path.name.lower().endswith(".gz"))
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: cannot write ({reason}); choose an existing, writable folder with space") from error


def volume_stem(path: Path | str) -> str:
    """File name without folder and volume suffix: ``a/patient001_4d.nii.gz`` gives ``patient001_4d``."""
    name = Path(path).name
    suffix = _suffix(Path(path))
    return name[: -len(suffix)] if suffix else Path(name).stem


def _suffix(path: Path) -> str:
    return next((suffix for suffix in NIFTI_SUFFIXES + ITK_SUFFIXES if path.name.lower().endswith(suffix)), "")


def _read(path: Path) -> Volume:
    suffix = _checked_suffix(path)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows becomes infinite, and is refused or counted
        array, geometry = read_nifti(path) if suffix in NIFTI_SUFFIXES else read_itk(path)
        check_extent(path, geometry)
    return Volume(
        np.require(array, requirements="W"),
        geometry.spacing_mm,
        geometry.affine,
        geometry.units,
        geometry.frame_spacing,
        geometry.form_codes,
    )


def _checked_suffix(path: Path) -> str:
    """The suffix of a file that is there and not empty, and of a kind that can be read."""
    suffix = _suffix(path)
    if not suffix:
        kinds = ", ".join(NIFTI_SUFFIXES + ITK_SUFFIXES)
        raise VolumeError(f"{path}: unknown kind of file; medwsss reads {kinds}, and folders of DICOM files as images")
    if not path.is_file():
        raise VolumeError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise VolumeError(f"{path}: the file is empty; copy it again")
    return suffix
