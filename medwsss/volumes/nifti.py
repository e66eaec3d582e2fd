"""The only door to nibabel: NIfTI files read as far as their headers claim, and written byte by byte the same."""

import gzip
import io
import math
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.volumes.header import DEFLATE_LIMIT, Geometry, believed_spacing, checked_shape, last_line, refuse_oversize
from medwsss.volumes.volume import Volume

_HEADER_BYTES = 540
"""A NIfTI-2 header; a NIfTI-1 header has 348."""
_MOST_BEHIND = 1 << 20
"""Bytes that may follow the voxels; a stream that goes on and on costs no more than that."""
_MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_HIGHEST_FORM_CODE = 5
LONGEST_DESCRIPTION = 79
"""Characters of ASCII that the header field ``descrip`` holds."""


def read_nifti(path: Path) -> tuple[Float32[np.ndarray, "x y z *t"], Geometry]:
    """Voxels, scaled as the header says, and where they lie."""
    from nibabel.arrayproxy import ArrayProxy  # noqa: PLC0415  heavy, and most commands read no volume

    with _damage_named(path):
        with _open(path) as stream:
            header = _nifti_header(path, stream.read(_HEADER_BYTES))
            shape = checked_shape(path, header.get_data_shape())
            geometry = _nifti_geometry(path, header)
            content = _claimed_content(path, header, stream)
        array = np.asarray(ArrayProxy(io.BytesIO(content), header, mmap=False), dtype=np.float32)
    return array.reshape(shape), geometry


def nifti_shape(path: Path) -> tuple[int, ...]:
    """Lengths of the axes, three or four, by the header alone."""
    with _damage_named(path), _open(path) as stream, np.errstate(over="ignore"):
        header = _nifti_header(path, stream.read(_HEADER_BYTES))
        return checked_shape(path, header.get_data_shape())


def nifti_bytes(volume: Volume, description: str) -> bytes:
    """A NIfTI-1 file, uncompressed; see ``save_volume``."""
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


def write_nifti(content: bytes, path: Path, *, compress: bool) -> None:
    """Write what ``nifti_bytes`` has made."""
    with path.open("wb") as stream:
        if compress:  # no name and no time inside, so that equal volumes give equal bytes
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as packed:
                packed.write(content)
        else:
            stream.write(content)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """What goes wrong while a NIfTI file is read becomes an error that names it."""
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415

    try:
        yield
    except PermissionError as error:
        raise VolumeError(f"{path}: cannot be read; check its permissions") from error
    except (OSError, EOFError, ValueError, zlib.error, MemoryError, HeaderDataError) as error:
        raise VolumeError(f"{path}: damaged NIfTI file ({last_line(error)}); copy or export it again") from error


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
    refuse_oversize(path, claimed, expansion=DEFLATE_LIMIT if path.name.lower().endswith(".gz") else 1)
    return claimed


def _nifti_geometry(path: Path, header: Any) -> Geometry:
    pixdim = [float(step) for step in header["pixdim"][1:5]]
    if not all(math.isfinite(step) and step > 0 for step in pixdim[:3]):
        raise VolumeError(f"{path}: pixdim {tuple(pixdim[:3])} must be positive; correct the header")
    units = _units(header)
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    mm = _MM_PER_UNIT[units[0]]
    spacing_mm = believed_spacing(path, affine * mm, (pixdim[0] * mm, pixdim[1] * mm, pixdim[2] * mm))
    if mm != 1.0:
        message = f"{path}: the header counts in {units[0]}; spacing {spacing_mm} and affine were converted to mm"
        warnings.warn(message, MedwsssWarning, stacklevel=5)
        affine, units = np.diag([mm, mm, mm, 1.0]) @ affine, ("mm", units[1])
    frame_spacing = pixdim[3] if math.isfinite(pixdim[3]) else 0.0
    codes = (_form_code(header["qform_code"]), _form_code(header["sform_code"]))
    return Geometry(spacing_mm, affine, units, frame_spacing, codes)


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
