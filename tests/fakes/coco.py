"""A tiny COCO in its real layouts: coloured rectangles of three categories on grey photographs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

from medwsss.data.image_files import write_label_image
from medwsss.labels import COCO_CATEGORIES

BENCH, CAT, DOG = 15, 17, 18
LABELS = {BENCH: 14, CAT: 16, DOG: 17}
"""Places of the three ids among the 80: before 15 only 12 is left out, so 14; then 17 and 18 give 16 and 17."""
COLOURS = {BENCH: (40, 60, 200), CAT: (210, 50, 40), DOG: (50, 190, 60)}
SIZES = ((48, 64), (64, 48))
"""Height and width of even and odd images."""

Coding = Literal["polygon", "runs", "compressed"]


@dataclass(frozen=True, kw_only=True)
class FakeObject:
    """A rectangle of whole pixels."""

    category: int
    top: int
    left: int
    bottom: int
    right: int
    coding: Coding = "polygon"
    crowd: bool = False

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    def covers(self, size: tuple[int, int]) -> np.ndarray:
        pixels = np.zeros(size, dtype=bool)
        pixels[self.top : self.bottom, self.left : self.right] = True
        return pixels


@dataclass(frozen=True)
class FakeImage:
    """A photograph and its objects, the larger ones first and crowds before all."""

    number: int
    size: tuple[int, int]
    objects: tuple[FakeObject, ...]

    def labels(self) -> np.ndarray:
        """Reference labels, painted directly."""
        labels = np.zeros(self.size, dtype=np.uint8)
        for found in self.objects:
            labels[found.covers(self.size)] = 255 if found.crowd else LABELS[found.category]
        return labels

    def photograph(self) -> np.ndarray:
        """Colours of the objects on grey that grows lighter downwards."""
        height, width = self.size
        rows = np.linspace(90, 130, height).astype(np.uint8)
        pixels = np.repeat(np.repeat(rows[:, None, None], width, axis=1), 3, axis=2)
        for found in self.objects:
            pixels[found.covers(self.size)] = COLOURS[found.category]
        return pixels


def fake_images(count: int, *, first_number: int = 1) -> tuple[FakeImage, ...]:
    """Images with one object; every second has a smaller one on top of it, every fourth a crowd below as well."""
    return tuple(_fake_image(i, first_number + 3 * i) for i in range(count))


def write_coco(root: Path, *, year: int = 2014, converted: bool = False, train: int = 6, val: int = 4) -> Path:
    """Write both parts below ``root`` and return it.

    Official: ``annotations/instances_{train,val}YEAR.json`` and ``{train,val}YEAR/*.jpg``. Converted: lists in
    ``voc_format``, ``JPEGImages/{train,val}YEAR`` and ``SegmentationClass/{train,val}YEAR``, no json; ``val_part``
    is the first half of ``val``.
    """
    for kind, count, first in (("train", train, 9), ("val", val, 1042)):
        part = f"{kind}{year}"
        images = fake_images(count, first_number=first)
        if converted:
            _write_converted(root, kind, part, images)
        else:
            write_photographs(root / part, part, images)
            write_instances(root / "annotations" / f"instances_{part}.json", instances(part, images))
    return root


def image_name(part: str, number: int) -> str:
    """As COCO names its files: with the part until 2014, the number alone in 2017."""
    return f"{number:012d}" if part.endswith("2017") else f"COCO_{part}_{number:012d}"


def write_photographs(folder: Path, part: str, images: Sequence[FakeImage]) -> None:
    folder.mkdir(parents=True)
    for image in images:
        path = folder / f"{image_name(part, image.number)}.jpg"
        Image.fromarray(image.photograph()).save(path, quality=95, subsampling=0)


def write_instances(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def instances(part: str, images: Sequence[FakeImage]) -> dict[str, Any]:
    """The content of an instances file, with all keys of the official ones."""
    objects = [(image, found) for image in images for found in image.objects]
    return {
        "info": {"description": "generated", "version": "1.0", "year": int(part[-4:])},
        "images": [_image_entry(part, image) for image in images],
        "licenses": [{"id": 5, "name": "none", "url": ""}],
        "annotations": [annotation(i, image, found) for i, (image, found) in enumerate(objects, start=200)],
        "categories": [
            {"supercategory": "thing", "id": number, "name": name} for number, name in COCO_CATEGORIES.items()
        ],
    }


def annotation(number: int, image: FakeImage, found: FakeObject) -> dict[str, Any]:
    """One entry of the list ``annotations``."""
    return {
        "segmentation": _segmentation(found, image.size),
        "area": float(found.area),
        "iscrowd": int(found.crowd),
        "image_id": image.number,
        "bbox": [found.left, found.top, found.right - found.left, found.bottom - found.top],
        "category_id": found.category,
        "id": number,
    }


def _fake_image(index: int, number: int) -> FakeImage:
    height, width = SIZES[index % 2]
    main, other = ((CAT, DOG, BENCH)[(index + step) % 3] for step in range(2))
    shift = index % 4
    objects = [FakeObject(category=main, top=8 + shift, left=6 + shift, bottom=34 + shift, right=36 + shift)]
    if index % 2 == 1:
        objects.append(
            FakeObject(category=other, top=26, left=24, bottom=44, right=44, coding="compressed")  # over the main one
        )
    if index % 4 == 3:
        crowd = FakeObject(
            category=other, top=height - 24, left=4, bottom=height, right=width, coding="runs", crowd=True
        )
        objects.insert(0, crowd)
    return FakeImage(number, (height, width), tuple(objects))


def _image_entry(part: str, image: FakeImage) -> dict[str, Any]:
    height, width = image.size
    return {
        "license": 5,
        "file_name": f"{image_name(part, image.number)}.jpg",
        "coco_url": "",
        "height": height,
        "width": width,
        "date_captured": "2013-11-14 16:28:13",
        "flickr_url": "",
        "id": image.number,
    }


def _segmentation(found: FakeObject, size: tuple[int, int]) -> Any:
    if found.coding == "polygon":
        left, top, right, bottom = (float(side) for side in (found.left, found.top, found.right, found.bottom))
        return [[left, top, right, top, right, bottom, left, bottom]]
    pixels = found.covers(size)
    if found.coding == "compressed":
        return {
            "size": list(size),
            "counts": mask_api.encode(np.asfortranarray(pixels, dtype=np.uint8))["counts"].decode(),
        }
    return {"size": list(size), "counts": run_lengths(pixels)}


def run_lengths(pixels: np.ndarray) -> list[int]:
    """Lengths of runs down the columns, background first."""
    column_wise = pixels.flatten(order="F")
    borders = [0, *(np.flatnonzero(np.diff(column_wise)) + 1).tolist(), column_wise.size]
    lengths = np.diff(borders).tolist()
    return [0, *lengths] if column_wise[0] else lengths


def _write_converted(root: Path, kind: str, part: str, images: Sequence[FakeImage]) -> None:
    write_photographs(root / "JPEGImages" / part, part, images)
    names = [image_name(part, image.number) for image in images]
    for name, image in zip(names, images, strict=True):
        write_label_image(image.labels(), root / "SegmentationClass" / part / f"{name}.png")
    write_list(root / "voc_format" / f"{kind}.txt", names)
    if kind == "val":
        write_list(root / "voc_format" / "val_part.txt", names[: (len(names) + 1) // 2])


def write_list(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
