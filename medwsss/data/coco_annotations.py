"""The official annotations of MS COCO (instances_*.json): read compactly, and rasterised one image at a time.

The only door to pycocotools, whose rule says which pixels a polygon covers.
"""

import json
import re
import reprlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8, UInt32
from pycocotools import mask as mask_api

from medwsss.errors import DatasetError, MedwsssWarning
from medwsss.labels import BACKGROUND, COCO_CATEGORIES, IGNORE
from medwsss.reading import read_text

MAX_BYTES = 2_000_000_000
"""Of a json file; the largest official one has 450 MB."""
MAX_PIXELS = 100_000_000
"""An image of more pixels is taken for a mistake."""
MAX_OUTLINES = 2_000_000
"""Pixels that the polygons of an image may be long in all: pycocotools takes 130 bytes for each, unchecked."""
MAX_SIDE = 65_535
"""The longest side that a JPEG file can have."""

_COMPRESSED_RUN = re.compile(r"[P-o]{0,6}[0-O]")
_COMPRESSED_RUNS = re.compile(rf"(?:{_COMPRESSED_RUN.pattern})*")
_IMAGE_KEYS = {"id", "file_name", "height", "width"}
_ANNOTATION_KEYS = {"id", "image_id", "category_id", "segmentation"}


@dataclass(frozen=True, slots=True)
class Runs:
    """A mask as lengths of runs down the columns, background first."""

    size: tuple[int, int]
    """Height and width."""
    counts: UInt32[np.ndarray, " _"]


Polygons = tuple[Float64[np.ndarray, " _"], ...]
"""Corners x1 y1 x2 y2 ... in pixels; pixel (row, column) covers [column, column + 1) × [row, row + 1)."""


@dataclass(frozen=True, slots=True)
class CocoObject:
    """One annotated object, or one crowd of objects that nobody told apart."""

    label: int
    """1 for the first category of the table, and so on."""
    crowd: bool
    outline: Polygons | Runs


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image as the annotations describe it."""

    size: tuple[int, int]
    """Height and width in pixels."""
    objects: tuple[CocoObject, ...]


def read_annotations(path: Path, categories: Mapping[int, str] = COCO_CATEGORIES) -> dict[str, AnnotatedImage]:
    """All images of an instances file by name (file name without folder and suffix), in the order of the file.

    Each annotation shrinks to its outline while the file is parsed: memory stays below three times the file's size.
    Polygons with an odd count of numbers or fewer than three corners, and objects without any outline, occur in
    published files: they cover no pixel and are counted in one ``MedwsssWarning``; the object still counts as shown.

    Args:
        path: the json file.
        categories: name by category id, in label order: the first category is label 1.

    Raises:
        DatasetError: the file cannot be read, is no instances file, names categories otherwise than ``categories``, or
            has an entry that cannot be used: an unknown image or category, an impossible size, an outline that is
            neither polygons nor RLE, that lies far outside of its image or has another size. The message names it.
    """
    shrinking = _Shrinking(path)
    content = _parsed(path, shrinking)
    _check_category_names(content.get("categories", []), categories, path)
    images = _images(content["images"], path)
    objects = _objects(content["annotations"], images, categories, path)
    if shrinking.degenerate:
        message = f"{path}: {len(shrinking.degenerate)} outlines without area are left out, first in annotation "
        warnings.warn(f"{message}{shrinking.degenerate[0]}", MedwsssWarning, stacklevel=2)
    return {image.name: AnnotatedImage(image.size, tuple(objects[number])) for number, image in images.items()}


def rasterised(objects: Sequence[CocoObject], size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """Labels of an image of (height, width): 0 background, the labels of its objects, 255 in crowds.

    Where objects overlap, the one with the smaller area lies on top (of equal ones, the later); a crowd lies below
    all of them. Published converters differ here: some draw in the order of the file, some keep the highest label
    or ignore what overlaps.
    """
    height, width = size
    counts = [_counts(found.outline, size) for found in objects]
    areas = [int(runs[1::2].sum()) for runs in counts]
    bottom_to_top = sorted(range(len(objects)), key=lambda i: (not objects[i].crowd, -areas[i]))
    columns = np.full(height * width, BACKGROUND, dtype=np.uint8)
    for i in bottom_to_top:
        covered = np.repeat(np.arange(len(counts[i])) % 2 == 1, counts[i])
        columns[covered] = IGNORE if objects[i].crowd else objects[i].label
    return np.ascontiguousarray(columns.reshape(width, height).T)


def shown(objects: Sequence[CocoObject], num_foreground: int) -> tuple[int, ...]:
    """Multi-hot labels: 1 where an object or a crowd has the label.

    A crowd counts although its pixels are 255: the image does show the class.
    """
    labels = {found.label for found in objects}
    return tuple(int(label in labels) for label in range(1, num_foreground + 1))


def _counts(outline: Polygons | Runs, size: tuple[int, int]) -> UInt32[np.ndarray, " _"]:
    """Lengths of runs; pycocotools decides which pixels a polygon covers."""
    if isinstance(outline, Runs):
        return outline.counts
    if not outline:
        return np.array([size[0] * size[1]], dtype=np.uint32)
    merged = mask_api.merge(mask_api.frPyObjects(list(outline), *size))
    return np.array(_decompressed(merged["counts"].decode("ascii")), dtype=np.uint32)


class _Image(NamedTuple):
    number: Any
    name: str
    size: tuple[int, int]


class _Annotation(NamedTuple):
    number: Any
    image: Any
    category: Any
    crowd: bool
    outline: Polygons | Runs


class _Shrinking:
    """Takes each entry from the json parser as soon as it is complete, and keeps what is needed of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.degenerate: list[Any] = []
        """The annotation of each outline that was left out."""

    def __call__(self, entry: dict[str, Any]) -> Any:
        if entry.keys() >= _ANNOTATION_KEYS:
            return self._annotation(entry)
        return self._image(entry) if entry.keys() >= _IMAGE_KEYS else entry

    def _image(self, entry: dict[str, Any]) -> _Image:
        name, size = _stem(entry["file_name"]), _size((entry["height"], entry["width"]))
        if not name or size is None:
            sides = f"of height {reprlib.repr(entry['height'])} and width {reprlib.repr(entry['width'])}"
            file = f"file_name {reprlib.repr(entry['file_name'])}"
            raise DatasetError(
                f"{self._path}: image {reprlib.repr(entry['id'])} {sides} with {file} is impossible: correct the file"
            )
        return _Image(entry["id"], name, size)

    def _annotation(self, entry: dict[str, Any]) -> _Annotation:
        number, segmentation, crowd = entry["id"], entry["segmentation"], entry.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise _unusable(self._path, number, f"iscrowd is {reprlib.repr(crowd)} and not 0 or 1")
        outline = _polygons(segmentation) if isinstance(segmentation, list) else _runs(segmentation)
        if outline is None:
            raise _unusable(
                self._path, number, "its segmentation is neither a list of polygons nor an RLE that fills it"
            )
        if isinstance(outline, tuple):
            usable = tuple(polygon for polygon in outline if len(polygon) >= 6 and len(polygon) % 2 == 0)
            self.degenerate += [number] * (len(outline) - len(usable) if outline else 1)
            outline = usable
        return _Annotation(number, entry["image_id"], entry["category_id"], bool(crowd), outline)


def _parsed(path: Path, shrinking: _Shrinking) -> dict[str, Any]:
    try:
        text = read_text(path, largest_bytes=MAX_BYTES)
        content = json.loads(text, object_hook=shrinking)
    except OSError as error:
        raise DatasetError(f"cannot read the annotations {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        reason = str(error) if path.stat().st_size else "it is empty"
        raise DatasetError(f"{path} is no JSON ({reason}): copy it again from its source") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        raise DatasetError(f"{path} has no lists images and annotations: pass an instances_*.json of COCO")
    return content


def _check_category_names(entries: Any, categories: Mapping[int, str], path: Path) -> None:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DatasetError(f"{path}: categories must be a list of entries with id and name")
    for entry in entries:
        number, name = entry.get("id"), entry.get("name")
        if isinstance(number, int) and categories.get(number, name) != name:
            raise DatasetError(
                f"{path}: category {number} is {reprlib.repr(name)}, expected {categories[number]!r}: "
                "this file was not made with COCO's categories"
            )


def _images(entries: list[Any], path: Path) -> dict[Any, _Image]:
    images: dict[Any, _Image] = {}
    names = set()
    for entry in entries:
        if not isinstance(entry, _Image) or not isinstance(entry.number, int | str):
            raise DatasetError(f"{path}: image {reprlib.repr(entry)} needs {', '.join(sorted(_IMAGE_KEYS))}")
        if entry.number in images or entry.name in names:
            raise DatasetError(f"{path}: image {entry.number!r} ({entry.name}) is there twice: keep one")
        images[entry.number] = entry
        names.add(entry.name)
    return images


def _objects(
    entries: list[Any], images: Mapping[Any, _Image], categories: Mapping[int, str], path: Path
) -> dict[Any, list[CocoObject]]:
    """The objects of each image by its id, in the order of the file."""
    labels = {category: label for label, category in enumerate(categories, start=1)}
    objects: dict[Any, list[CocoObject]] = {number: [] for number in images}
    for entry in entries:
        if not isinstance(entry, _Annotation):
            number = entry.get("id") if isinstance(entry, dict) else entry
            raise _unusable(path, number, f"it needs {', '.join(sorted(_ANNOTATION_KEYS))}")
        if not isinstance(entry.image, int | str) or entry.image not in images:
            raise _unusable(path, entry.number, f"its image {reprlib.repr(entry.image)} is not among the images")
        if not isinstance(entry.category, int) or entry.category not in labels:
            raise _unusable(path, entry.number, f"its category {reprlib.repr(entry.category)} is unknown")
        _check_fits(entry, images[entry.image], path)
        objects[entry.image].append(CocoObject(labels[entry.category], entry.crowd, entry.outline))
    for number, found in objects.items():
        _check_length(found, images[number], path)
    return objects


def _check_fits(annotation: _Annotation, image: _Image, path: Path) -> None:
    """Outlines may reach a little over the border; NaN or a corner far outside is a mistake that costs much memory."""
    outline, farthest = annotation.outline, 2 * max(image.size)
    if isinstance(outline, Runs):
        if outline.size != image.size:
            sizes = f"its RLE has height and width {outline.size}, its image {image.name} {image.size}"
            raise _unusable(path, annotation.number, sizes)
    elif not all((np.abs(polygon) <= farthest).all() for polygon in outline):
        raise _unusable(path, annotation.number, f"its polygon leaves the image {image.name} by far, or is not finite")


def _check_length(objects: Sequence[CocoObject], image: _Image, path: Path) -> None:
    """Lines that cross an image again and again take memory out of proportion to the file."""
    polygons = [polygon for found in objects if not isinstance(found.outline, Runs) for polygon in found.outline]
    corners, farthest = sum(polygon.size for polygon in polygons) // 2, 2 * max(image.size)
    if corners * 2 * farthest > MAX_OUTLINES and sum(map(_length, polygons)) > MAX_OUTLINES:
        raise DatasetError(f"{path}: the polygons of image {image.name} are absurdly long: correct or remove them")


def _length(polygon: Float64[np.ndarray, " _"]) -> float:
    corners = polygon.reshape(-1, 2)
    return float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum())


def _polygons(segmentation: list[Any]) -> Polygons | None:
    """None where an entry is no list of numbers."""
    polygons = []
    for entry in segmentation:
        numbers = _numbers(entry)
        if numbers is None:
            return None
        polygons.append(numbers)
    return tuple(polygons)


def _numbers(entry: Any) -> Float64[np.ndarray, " _"] | None:
    if not isinstance(entry, list):
        return None
    try:
        numbers = np.array(entry)
    except ValueError:  # lists of unequal length inside
        return None
    return numbers.astype(np.float64) if numbers.ndim == 1 and numbers.dtype.kind in "if" else None


def _runs(segmentation: Any) -> Runs | None:
    """A run-length encoding, compressed or not; None where it is none, or where its runs do not fill its size."""
    if not isinstance(segmentation, dict):
        return None
    size, lengths = _size(segmentation.get("size")), segmentation.get("counts")
    if isinstance(lengths, str):
        lengths = _decompressed(lengths) if _COMPRESSED_RUNS.fullmatch(lengths) else None
    if size is None or not isinstance(lengths, list) or not all(type(length) is int for length in lengths):
        return None
    if min(lengths, default=0) < 0 or sum(lengths) != size[0] * size[1]:
        return None
    return Runs(size, np.array(lengths, dtype=np.uint32))


def _decompressed(counts: str) -> list[int]:
    """Lengths of runs from COCO's text form.

    A number is written in groups of 5 bits, lowest first, each as the character 48 + group, + 32 where another
    follows; its highest bit is the sign. From the fourth on, it is the difference to the run before the last.
    (pycocotools has no door to the lengths, and its decoder takes runs that fill less than the mask.)
    """
    lengths: list[int] = []
    for i, word in enumerate(_COMPRESSED_RUN.findall(counts)):
        value = sum(((ord(character) - 48) & 31) << (5 * place) for place, character in enumerate(word))
        value -= (1 << 5 * len(word)) if (ord(word[-1]) - 48) & 16 else 0
        lengths.append(value + lengths[i - 2] if i > 2 else value)
    return lengths


def _size(entry: Any) -> tuple[int, int] | None:
    """Height and width; None where they are none or absurd."""
    if not isinstance(entry, list | tuple) or len(entry) != 2 or not all(type(side) is int for side in entry):
        return None
    height, width = entry
    possible = 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE and height * width <= MAX_PIXELS
    return (height, width) if possible else None


def _stem(file_name: Any) -> str:
    """The name without folders and suffix; "" where there is none."""
    stem = PurePosixPath(file_name.replace("\\", "/")).stem if isinstance(file_name, str) else ""
    return stem if stem.isprintable() and not stem.startswith(".") else ""


def _unusable(path: Path, annotation: Any, reason: str) -> DatasetError:
    return DatasetError(f"{path}: annotation {reprlib.repr(annotation)} cannot be used: {reason}; correct or remove it")
