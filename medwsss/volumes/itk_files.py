"""MetaImage and NRRD through SimpleITK, turned from LPS to RAS."""

import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from medwsss.errors import VolumeError
from medwsss.volumes.header import DEFLATE_LIMIT, Geometry, believed_spacing, checked_shape, last_line, refuse_oversize


def read_itk(path: Path) -> tuple[Float32[np.ndarray, "x y z *t"], Geometry]:
    """Voxels and where they lie; a file that does not hold them all is refused before SimpleITK reads it."""
    import SimpleITK as sitk  # noqa: PLC0415  heavy, and rarely needed

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        meta_image = _meta_image(path) if path.name.lower().endswith(".mha") else None
        reader.ReadImageInformation()
        components = reader.GetNumberOfComponents()
        if components != 1 or reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
            raise VolumeError(f"{path}: voxels with several components cannot be read; export grey values or labels")
        shape = checked_shape(path, reader.GetSize())
        bits = int(sitk.GetPixelIDValueAsString(reader.GetPixelID()).partition("-")[0])
        claimed = math.prod(shape) * bits // 8
        refuse_oversize(path, claimed, expansion=DEFLATE_LIMIT)
        if meta_image is not None:
            _check_voxels(path, *meta_image, claimed)
        image = reader.Execute()
    except (OSError, RuntimeError, MemoryError, zlib.error) as error:
        raise VolumeError(f"{path}: damaged file ({last_line(error)}); copy or export it again") from error
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


def _itk_geometry(path: Path, image: Any) -> Geometry:
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
    return Geometry(believed_spacing(path, affine, spacing_mm), affine, ("mm", "sec"), frame_spacing, (1, 1))
