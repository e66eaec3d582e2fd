"""The only door to Pillow: photographs, and label images whose pixels are label numbers."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, UnidentifiedImageError

from medwsss.errors import DatasetError, OutputError
from medwsss.writing import written_whole

MAX_PIXELS = 100_000_000
"""More than phones and scanners of slides give out; a file of some kilobytes can claim any number."""
_PHOTOGRAPH_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
"""Plain raster files; Pillow would start other programs for some of the formats that are left out."""
_LABEL_FORMATS = ("PNG",)
_warning_filters = threading.Lock()


def read_photograph(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A photograph as RGB, as it is stored: EXIF does not turn it; grey, palette and CMYK files are converted.

    Raises:
        DatasetError: there is no such file, it is no image, it is truncated or far too large, or its pixels are not
            8-bit colours.
    """
    with _opened(path, _PHOTOGRAPH_FORMATS) as file:
        if file.mode.startswith(("I", "F")):
            raise DatasetError(f"{path} does not hold 8-bit colours (mode {file.mode}): save it as an 8-bit RGB image")
        # a direct step from transparency to RGB would warn
        image = file.convert("RGBA") if "transparency" in file.info else file
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def photograph_size(path: Path) -> tuple[int, int]:
    """Height and width of a photograph or a label image in pixels, from the header: no pixel is decoded.

    Raises:
        DatasetError: there is no such file, it is no image, or it is far too large.
    """
    with _opened(path, _PHOTOGRAPH_FORMATS) as file:
        return file.height, file.width


def read_label_image(path: Path) -> UInt8[np.ndarray, "h w"]:
    """The label numbers of a PNG of mode P (palette; its colours do not matter) or L (grey).

    Raises:
        DatasetError: there is no such file, it is no PNG, it is truncated, or it holds something other than 8-bit
            label numbers, such as colours.
    """
    with _opened(path, _LABEL_FORMATS) as file:
        _check_holds_labels(file, path)
        return np.array(file)


def write_label_image(labels: UInt8[np.ndarray, "h w"], path: Path) -> None:
    """Store label numbers as a palette PNG in the colours of PASCAL VOC; the file appears whole or not at all.

    Raises:
        ValueError: ``labels`` has no pixel.
        OutputError: the file cannot be written.
    """
    _check_has_pixels("labels", labels)
    image = Image.fromarray(labels)
    image.putpalette(voc_colours().tobytes())
    _write_png(image, path)


def write_grey_image(levels: UInt8[np.ndarray, "h w"], path: Path) -> None:
    """Store grey levels as an 8-bit PNG; the file appears whole or not at all.

    Raises:
        ValueError: ``levels`` has no pixel.
        OutputError: the file cannot be written.
    """
    _check_has_pixels("levels", levels)
    _write_png(Image.fromarray(levels), path)


def voc_colours() -> UInt8[np.ndarray, "256 3"]:
    """RGB of each label in the palette of PASCAL VOC (its development kit, VOClabelcolormap).

    Bits 0, 3, 6 of a label are the highest bits of red, the lowest first; bits 1, 4, 7 those of green, 2, 5 of blue.
    """
    labels = np.arange(256)[:, None]
    channels = np.arange(3)
    colours = sum(((labels >> (3 * bit + channels)) & 1) << (7 - bit) for bit in range(3))
    return np.asarray(colours, dtype=np.uint8)


def _check_has_pixels(name: str, array: UInt8[np.ndarray, "h w"]) -> None:
    if array.size == 0:
        raise ValueError(f"{name} must have at least one pixel, not the shape {array.shape}")


def _write_png(image: Image.Image, path: Path) -> None:
    try:
        with written_whole(path) as temporary:
            image.save(temporary, format="PNG")
    except OSError as error:
        raise OutputError(f"cannot write the image {path}: {error.strerror or error}; choose another folder") from error


def _check_holds_labels(file: ImageFile.ImageFile, path: Path) -> None:
    if file.mode not in ("P", "L"):
        kind = "16-bit numbers" if file.mode.startswith("I") else "black and white" if file.mode == "1" else "colours"
        raise DatasetError(
            f"{path} holds {kind} where label numbers are expected (mode {file.mode}): "
            "save it as an 8-bit palette or grey PNG whose pixel values are the labels"
        )
    coding = file.tile[0][3] if file.tile else None  # by place: the entries had no names before Pillow 11
    if coding in ("L;2", "L;4"):  # Pillow stretches these to 0-255, and label 1 would come out as 85 or 17
        raise DatasetError(f"{path} holds grey levels of fewer than 8 bits: save it as an 8-bit palette or grey PNG")


@contextmanager
def _opened(path: Path, formats: tuple[str, ...]) -> Iterator[ImageFile.ImageFile]:
    """The image file with its header read; every complaint of Pillow becomes one line that names the file."""
    try:
        # Odd metadata makes Pillow warn, which says nothing about the pixels. Filters belong to the process: one
        # thread at a time may swap them. Decoding happens later, outside the lock.
        with _warning_filters, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = Image.open(path, formats=formats)
        with file:
            if file.width * file.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield file
    except DatasetError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise DatasetError(_complaint(path, formats, error)) from error


def _complaint(path: Path, formats: tuple[str, ...], error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no image {path}: check the name and the folder of the data set"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot read the image {path}: {error.strerror}"
    if isinstance(error, Image.DecompressionBombError):
        return f"{path} claims to have more than {MAX_PIXELS} pixels: replace or shrink it"
    if path.stat().st_size == 0:
        return f"{path} is empty: copy it again from its source"
    if isinstance(error, UnidentifiedImageError):
        return f"{path} is no {' or '.join(formats)} image: replace it by one"
    return f"{path} is damaged or truncated ({' '.join(str(error).split())}): copy it again from its source"
