"""The only door to volumes: NIfTI through nibabel, MetaImage and NRRD through SimpleITK, folders of DICOM."""

import gzip
import io
import math
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from medwsss.errors import MedwsssWarning, OutputError, VolumeError
from medwsss.types import Affine, SpacingMm
from medwsss.volumes.dicom import load_dicom, read_dicom_stack
from medwsss.volumes.volume import Volume

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".mha", ".nrrd")

_HEADER_BYTES = 540
"""A NIfTI-2 header; a NIfTI-1 header has 348."""
_DEFLATE_LIMIT = 1032
"""No deflate stream expands further than this."""
_MOST_BEHIND = 1 << 20
"""Bytes that may follow the voxels; a stream that goes on and on costs no more than that."""
_TOLERANCE = 0.01
"""Relative difference of affine and pixdim that is reported."""
_MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_HIGHEST_FORM_CODE = 5
_SMALLEST_MM, _LARGEST_MM = 1e-6, 1e6
"""Voxel sizes and places beyond these are mistakes of a header, and no NIfTI could store them."""
_LARGEST_VALUE = 1e15
"""No scanner measures more, and the squares of what lies beyond would overflow in sums of float32."""
_MAX_CODE = 255
LONGEST_DESCRIPTION = 79
"""Characters of ASCII that the header field ``descrip`` holds."""


@dataclass(frozen=True, eq=False)
class _Geometry:
    spacing_mm: SpacingMm
    affine: Affine
    units: tuple[str, str]
    frame_spacing: float
    form_codes: tuple[int, int]


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
    with _damage_named(path), _open(path) as stream, np.errstate(over="ignore"):
        header = _nifti_header(path, stream.read(_HEADER_BYTES))
        shape = _checked_shape(path, header.get_data_shape())
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
    content = _nifti_bytes(volume, description)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.unlink(missing_ok=True)  # whoever prepared the folder may have put a link of this name there
        _write(content, partial, compress=path.name.lower().endswith(".gz"))
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: cannot write ({reason}); choose an existing, writable folder with space") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


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
        array, geometry = _read_nifti(path) if suffix in NIFTI_SUFFIXES else _read_itk(path)
        _check_extent(path, geometry)
    return Volume(
        np.require(array, requirements="W"),
        geometry.spacing_mm,
        geometry.affine,
        geometry.units,
        geometry.frame_spacing,
        geometry.form_codes,
    )


def _check_extent(path: Path, geometry: _Geometry) -> None:
    sizes = (*geometry.spacing_mm, *np.linalg.norm(geometry.affine[:3, :3], axis=0))
    if min(sizes) < _SMALLEST_MM or max(*sizes, np.abs(geometry.affine).max()) > _LARGEST_MM:
        raise VolumeError(
            f"{path}: voxels of {_rounded(geometry.spacing_mm)} mm, or their place, lie beyond {_SMALLEST_MM:g} to"
            f" {_LARGEST_MM:g} mm; correct the header"
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


# --- NIfTI -----------------------------------------------------------------------------------------------------------


def _read_nifti(path: Path) -> tuple[Float32[np.ndarray, "x y z *t"], _Geometry]:
    from nibabel.arrayproxy import ArrayProxy  # noqa: PLC0415  heavy, and most commands read no volume

    with _damage_named(path):
        with _open(path) as stream:
            header = _nifti_header(path, stream.read(_HEADER_BYTES))
            shape = _checked_shape(path, header.get_data_shape())
            geometry = _nifti_geometry(path, header)
            content = _claimed_content(path, header, stream)
        array = np.asarray(ArrayProxy(io.BytesIO(content), header, mmap=False), dtype=np.float32)
    return array.reshape(shape), geometry


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """What goes wrong while a NIfTI file is read becomes an error that names it."""
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415

    try:
        yield
    except PermissionError as error:
        raise VolumeError(f"{path}: cannot be read; check its permissions") from error
    except (OSError, EOFError, ValueError, zlib.error, MemoryError, HeaderDataError) as error:
        raise VolumeError(f"{path}: damaged NIfTI file ({_one_line(error)}); copy or export it again") from error


def _open(path: Path) -> io.BufferedIOBase:
    return gzip.GzipFile(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def _nifti_header(path: Path, block: bytes) -> Any:
    import nibabel as nib  # noqa: PLC0415

    if len(block) >= nib.Nifti2Header.sizeof_hdr and block[4:8] == b"n+2\0":
        header = nib.Nifti2Header(block[: nib.Nifti2Header.sizeof_hdr], check=False)
    elif block[344:348] == b"n+1\0":
        header = nib.Nifti1Header(block[: nib.Nifti1Header.sizeof_hdr], check=False)
    else:
        raise VolumeError(f"{path}: not a NIfTI file (no n+1 or n+2 mark in the header)")
    code = int(header["datatype"])
    dtype = header.get_data_dtype() if code in nib.nifti1.data_type_codes.code else np.dtype("V")
    if dtype.kind not in "iuf" or dtype.itemsize == 0:
        raise VolumeError(f"{path}: voxels of NIfTI type {code} are not real numbers; export grey values or labels")
    return header


def _claimed_content(path: Path, header: Any, stream: io.BufferedIOBase) -> bytes:
    """The uncompressed file as far as its header claims it, refused where it holds less, or much more."""
    claimed = _claimed_bytes(path, header)
    stream.seek(0)
    content = stream.read(claimed)
    if len(content) < claimed:
        raise VolumeError(f"{path}: header claims {claimed} bytes, the file has only {len(content)}; copy it again")
    if len(stream.read(_MOST_BEHIND + 1)) > _MOST_BEHIND:  # at its end the checksum of a .gz is compared
        raise VolumeError(f"{path}: holds more than {_MOST_BEHIND} bytes behind its voxels; correct the header")
    return content


def _claimed_bytes(path: Path, header: Any) -> int:
    """Length of the uncompressed file according to its header, refused when the file cannot hold it."""
    offset, least = float(header["vox_offset"]), int(header.single_vox_offset)
    if not least <= offset < math.inf:
        raise VolumeError(f"{path}: vox_offset {offset:g} must be {least} or more; correct the header")
    voxels = math.prod(int(length) for length in header.get_data_shape())
    claimed = int(offset) + voxels * int(header.get_data_dtype().itemsize)
    _refuse_oversize(path, claimed, expansion=_DEFLATE_LIMIT if path.name.lower().endswith(".gz") else 1)
    return claimed


def _refuse_oversize(path: Path, claimed: int, *, expansion: int) -> None:
    size = path.stat().st_size
    if claimed > size * expansion:
        raise VolumeError(f"{path}: header claims {claimed} bytes, the file has only {size}; copy or export it again")


def _checked_shape(path: Path, stored: tuple[int, ...]) -> tuple[int, ...]:
    shape = tuple(int(length) for length in stored)
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise VolumeError(f"{path}: the image has shape {shape}; medwsss reads 3D (x, y, z) and 4D (x, y, z, t)")
    return shape


def _nifti_geometry(path: Path, header: Any) -> _Geometry:
    pixdim = [float(step) for step in header["pixdim"][1:5]]
    if not all(math.isfinite(step) and step > 0 for step in pixdim[:3]):
        raise VolumeError(f"{path}: pixdim {tuple(pixdim[:3])} must be positive; correct the header")
    units = _units(header)
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    mm = _MM_PER_UNIT[units[0]]
    spacing_mm = _believed_spacing(path, affine * mm, (pixdim[0] * mm, pixdim[1] * mm, pixdim[2] * mm))
    if mm != 1.0:
        message = f"{path}: the header counts in {units[0]}; spacing {spacing_mm} and affine were converted to mm"
        warnings.warn(message, MedwsssWarning, stacklevel=5)
        affine, units = np.diag([mm, mm, mm, 1.0]) @ affine, ("mm", units[1])
    frame_spacing = pixdim[3] if math.isfinite(pixdim[3]) else 0.0
    codes = (_form_code(header["qform_code"]), _form_code(header["sform_code"]))
    return _Geometry(spacing_mm, affine, units, frame_spacing, codes)


def _form_code(stored: Any) -> int:
    """A code outside the standard is kept as what it means: above 0 the form counts, below it does not."""
    code = int(stored)
    return code if code in range(_HIGHEST_FORM_CODE + 1) else int(code > 0)


def _units(header: Any) -> tuple[str, str]:
    try:
        space, time = header.get_xyzt_units()
    except KeyError:  # a code outside the standard
        return "unknown", "unknown"
    return str(space), str(time)


def _believed_spacing(path: Path, affine: Affine, pixdim: SpacingMm) -> SpacingMm:
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise VolumeError(f"{path}: the affine in the header is singular or not finite; correct the header")
    x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    norms = (x, y, z)
    if np.allclose(norms, pixdim, rtol=_TOLERANCE, atol=0.0):
        return norms
    believed, name = (pixdim, "pixdim") if np.allclose(norms, 1.0, rtol=_TOLERANCE) else (norms, "the affine")
    message = f"{path}: voxel size is {_rounded(norms)} mm in the affine but {_rounded(pixdim)} mm in pixdim; "
    warnings.warn(f"{message}{name} was believed", MedwsssWarning, stacklevel=6)
    return believed


def _rounded(spacing_mm: SpacingMm) -> str:
    return " x ".join(f"{step:.4g}" for step in spacing_mm)


def _nifti_bytes(volume: Volume, description: str) -> bytes:
    import nibabel as nib  # noqa: PLC0415
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415

    if not description.isascii() or len(description) > LONGEST_DESCRIPTION:
        raise ValueError(f"description must be ASCII of at most {LONGEST_DESCRIPTION} characters, not {description!r}")
    array = volume.array.astype(np.uint8) if volume.array.dtype == np.bool_ else volume.array
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    header = nib.Nifti1Header()
    try:
        header.set_data_dtype(array.dtype)
    except HeaderDataError as error:
        raise ValueError(f"volume.array: NIfTI cannot store dtype {array.dtype}") from error
    header.set_data_shape(array.shape)
    header.set_xyzt_units(*volume.units)
    header["descrip"] = description.encode("ascii")
    _set_forms(header, volume)
    return bytes(nib.Nifti1Image(array, None, header, dtype=array.dtype).to_bytes())


def _set_forms(header: Any, volume: Volume) -> None:
    qform_code, sform_code = volume.form_codes
    header.set_qform(volume.affine, qform_code)
    header.set_sform(volume.affine, sform_code)
    header["pixdim"][1:4] = volume.spacing_mm
    if volume.array.ndim == 4:
        header["pixdim"][4] = volume.frame_spacing
    if not np.allclose(header.get_best_affine(), volume.affine, rtol=0.0, atol=1e-5):
        header.set_sform(volume.affine, sform_code or qform_code or 1)  # only an sform holds any affine


def _write(content: bytes, path: Path, *, compress: bool) -> None:
    with path.open("wb") as stream:
        if compress:  # no name and no time inside, so that equal volumes give equal bytes
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as packed:
                packed.write(content)
        else:
            stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


# --- MetaImage and NRRD ----------------------------------------------------------------------------------------------


def _read_itk(path: Path) -> tuple[Float32[np.ndarray, "x y z *t"], _Geometry]:
    import SimpleITK as sitk  # noqa: PLC0415  heavy, and rarely needed

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        meta_image = _meta_image(path) if path.name.lower().endswith(".mha") else None
        reader.ReadImageInformation()
        components = reader.GetNumberOfComponents()
        if components != 1 or reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
            raise VolumeError(f"{path}: voxels with several components cannot be read; export grey values or labels")
        shape = _checked_shape(path, reader.GetSize())
        bits = int(sitk.GetPixelIDValueAsString(reader.GetPixelID()).partition("-")[0])
        claimed = math.prod(shape) * bits // 8
        _refuse_oversize(path, claimed, expansion=_DEFLATE_LIMIT)
        if meta_image is not None:
            _check_voxels(path, *meta_image, claimed)
        image = reader.Execute()
    except (OSError, RuntimeError, MemoryError, zlib.error) as error:
        raise VolumeError(f"{path}: damaged file ({_one_line(error)}); copy or export it again") from error
    array = np.asarray(sitk.GetArrayFromImage(image), dtype=np.float32).transpose()
    return array.reshape(shape), _itk_geometry(path, image)


def _meta_image(path: Path) -> tuple[bytes, bytes]:
    """Header and voxels of a MetaImage, as they are stored."""
    content = path.read_bytes()
    last_line = re.search(rb"^ElementDataFile *[=:] *LOCAL[ \t]*\r?\n", content, re.MULTILINE)
    if last_line is None:
        raise VolumeError(f"{path}: damaged file (no line ElementDataFile = LOCAL); copy or export it again")
    return content[: last_line.end()], content[last_line.end() :]


def _check_voxels(path: Path, header: bytes, stored: bytes, claimed: int) -> None:
    """Refuse a MetaImage without all its voxels: MetaIO tells standard error alone, and makes up what is missing."""
    if _says(header, b"BinaryData", b"False"):
        return
    if _says(header, b"CompressedData", b"True"):
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # zlib or gzip
        stored = unpacker.decompress(stored, claimed + 1)
        if len(stored) >= claimed and not unpacker.eof:
            raise VolumeError(f"{path}: damaged file (its voxels do not end where they should); copy it again")
    if len(stored) < claimed:
        raise VolumeError(f"{path}: header claims {claimed} bytes, the file has only {len(stored)}; copy it again")


def _says(header: bytes, key: bytes, value: bytes) -> bool:
    return re.search(rb"^" + key + rb" *[=:] *" + value, header, re.MULTILINE | re.IGNORECASE) is not None


def _itk_geometry(path: Path, image: Any) -> _Geometry:
    axes = image.GetDimension()
    steps = [float(step) for step in image.GetSpacing()]
    spacing_mm = (steps[0], steps[1], steps[2])
    direction = np.reshape(image.GetDirection(), (axes, axes))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing_mm
    affine[:3, 3] = image.GetOrigin()[:3]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # ITK counts toward left and posterior
    if not all(math.isfinite(step) and step > 0 for step in spacing_mm):
        raise VolumeError(f"{path}: spacing {spacing_mm} must be positive; correct the header")
    frame_spacing = steps[3] if axes > 3 else 1.0
    return _Geometry(_believed_spacing(path, affine, spacing_mm), affine, ("mm", "sec"), frame_spacing, (1, 1))


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
