"""A tiny PASCAL VOC in the real layout: coloured ellipses on grey, one colour a class, masks with 255 borders."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from medwsss.data.image_files import write_label_image
from medwsss.labels import VOC_LABELS

COLOURS = {"aeroplane": (210, 40, 40), "dog": (40, 190, 60), "person": (50, 70, 220)}
"""The classes that occur, and how they look."""
TEST_IMAGES = 2
BORDER = 1.15
"""Radius of the 255 border, in radii of the object."""


@dataclass(frozen=True)
class Ellipse:
    """One object; centre and radii as shares of height and width."""

    name: str
    centre: tuple[float, float]
    radii: tuple[float, float]

    def covers(self, shape: tuple[int, int], *, grown: float = 1.0) -> np.ndarray:
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        down = ((rows + 0.5) / shape[0] - self.centre[0]) / self.radii[0]
        across = ((columns + 0.5) / shape[1] - self.centre[1]) / self.radii[1]
        return np.asarray(down**2 + across**2 <= grown**2)


def write_voc(root: Path, *, images: int = 8, size: tuple[int, int] = (60, 80), seed: int = 0) -> Path:
    """Write VOCdevkit/VOC2012 below ``root`` and return it.

    Half of the images are ``train``, a quarter is ``val``, the rest is in ``train_aug`` only; two more are ``test``,
    with neither masks nor annotations. Masks of ``train`` are in both folders, those of ``val`` in SegmentationClass,
    those that ``train_aug`` adds in SegmentationClassAug, where no mask has a border. Every second image shows two
    classes.

    Args:
        root: folder to write to.
        images: photographs with masks, at least 4.
        size: height and width of the largest.
        seed: of positions, sizes and noise.
    """
    voc = root / "VOCdevkit" / "VOC2012"
    rng = np.random.default_rng(seed)
    names = [f"2007_{number:06d}" for number in range(1, images + 1)]
    tests = [f"2008_{number:06d}" for number in range(1, TEST_IMAGES + 1)]
    train, added, val = np.split(np.array(names), [images // 2, images - images // 4])
    for number, name in enumerate([*names, *tests]):
        shape = (size[0] - int(rng.integers(6)), size[1] - int(rng.integers(6)))
        objects = _objects(number, rng)
        _write_photograph(voc / f"JPEGImages/{name}.jpg", objects, shape, rng)
        if name in train or name in val:
            write_label_image(_mask(objects, shape, border=True), voc / f"SegmentationClass/{name}.png")
        if name in train or name in added:
            write_label_image(_mask(objects, shape, border=False), voc / f"SegmentationClassAug/{name}.png")
        if name in names:
            write_annotation(voc / f"Annotations/{name}.xml", [found.name for found in objects])
    for part, listed in {"train": train, "val": val, "train_aug": [*train, *added], "test": tests}.items():
        write_list(voc, part, listed)
    return voc


def write_list(voc: Path, part: str, lines: list[str] | np.ndarray) -> None:
    path = voc / f"ImageSets/Segmentation/{part}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_annotation(path: Path, classes: list[str]) -> None:
    """Objects of these classes, the last of them difficult; each has a part with a name of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = [
        f"\t<object>\n\t\t<name>{name}</name>\n\t\t<difficult>{int(number == len(classes))}</difficult>\n"
        "\t\t<part><name>head</name></part>\n\t</object>\n"
        for number, name in enumerate(classes, start=1)
    ]
    path.write_text(f"<annotation>\n\t<filename>{path.stem}.jpg</filename>\n{''.join(objects)}</annotation>\n")


def _objects(number: int, rng: np.random.Generator) -> list[Ellipse]:
    """One object in the left half, and in every second image one of the next class in the right half."""
    classes = list(COLOURS)
    return [
        Ellipse(
            classes[(number + side) % len(classes)],
            (float(rng.uniform(0.4, 0.6)), 0.25 + 0.5 * side + float(rng.uniform(-0.03, 0.03))),
            (float(rng.uniform(0.2, 0.32)), float(rng.uniform(0.13, 0.18))),
        )
        for side in range(1 + number % 2)
    ]


def _write_photograph(path: Path, objects: list[Ellipse], shape: tuple[int, int], rng: np.random.Generator) -> None:
    photograph = rng.normal(128.0, 12.0, (*shape, 3))
    for found in objects:
        inside = found.covers(shape)
        photograph[inside] = COLOURS[found.name] + rng.normal(0.0, 8.0, (int(inside.sum()), 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph.clip(0, 255).astype(np.uint8)).save(path, quality=95)


def _mask(objects: list[Ellipse], shape: tuple[int, int], *, border: bool) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    for found in objects:
        if border:
            mask[found.covers(shape, grown=BORDER)] = 255
        mask[found.covers(shape)] = VOC_LABELS.names.index(found.name) + 1
    return mask
