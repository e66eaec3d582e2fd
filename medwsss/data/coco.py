"""MS COCO as its official archives unpack, and as WSSS code bases convert it to lists and label PNGs."""

import reprlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from medwsss.data.coco_annotations import AnnotatedImage, rasterised, read_annotations, shown
from medwsss.data.image_files import read_label_image
from medwsss.data.image_labels import ImageLabels
from medwsss.data.image_set import ImageSet, check_labels, check_size
from medwsss.data.name_lists import choice, file_of, listed_names
from medwsss.data.sample import photograph_key
from medwsss.errors import DatasetError
from medwsss.labels import COCO_LABELS

PARTS = ("train2014", "val2014", "train2017", "val2017")
"""Parts with annotations of their own; WSSS papers use 2014."""
LIST_FOLDERS = (".", "voc_format", "ImageSets", "ImageSets/Segmentation")
IMAGES = "JPEGImages"
MASKS = "SegmentationClass"
_reading = threading.Lock()
"""Threads that need the same annotations wait for the first to read them. Of the module, so that a Coco pickles."""


class Coco(ImageSet):
    """COCO 2014 or 2017 below one folder; what is there is found by looking, and the layouts may be mixed.

    - Official: ``annotations/instances_PART.json`` and ``PART/*.jpg`` (or ``images/PART/*.jpg``), PART as in ``PARTS``.
    - Converted: lists ``train.txt``, ``val.txt``, ``val_part.txt`` in one of ``LIST_FOLDERS``, ``JPEGImages[/PART]``
      and label PNGs ``SegmentationClass[/PART]/NAME.png`` with 0 to 80 and 255; PART may be ``train``, ``val`` as well.

    A list goes before the images of a json, because the papers' lists leave out images without objects. A label PNG
    goes before the json, whose masks are rasterised when asked for (``coco_annotations.rasterised``). The json of a
    part is read when something of it is first needed, and kept: about 12 s and 600 MB for train2014.

    Args:
        root: folder that holds these files.

    Raises:
        DatasetError: ``root`` is no folder, or has neither annotations nor lists.
    """

    labels = COCO_LABELS

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DatasetError(f"{root} is not a folder: pass the folder of COCO")
        self.root = root
        annotations = {part: root / "annotations" / f"instances_{part}.json" for part in PARTS}
        self._annotations = {part: path for part, path in annotations.items() if path.is_file()}
        self._lists = {path.stem: path for folder in reversed(LIST_FOLDERS) for path in (root / folder).glob("*.txt")}
        if not self._annotations and not self._lists:
            raise DatasetError(
                f"{root} has neither annotations/instances_*.json nor lists such as train.txt: pass the folder of COCO"
            )
        folders = (root / IMAGES, *_part_folders(root / IMAGES), *_part_folders(root), *_part_folders(root / "images"))
        self._image_folders = [folder for folder in folders if folder.is_dir()]
        self._mask_folders = [root / MASKS, *_part_folders(root / MASKS)]
        self._read: dict[str, Mapping[str, AnnotatedImage] | DatasetError] = {}

    def names(self, part: str) -> tuple[str, ...]:
        """The names of the list PART.txt, or without one all images of that part's annotations.

        Without lists, ``train`` and ``val`` stand for the year that is there, 2014 before 2017.
        """
        if part in self._lists:
            return listed_names(self._lists[part])
        annotated = next((known for known in self._annotations if part in (known, known[:-4])), None)
        if annotated is None:
            known_parts = sorted({*self._lists, *self._annotations, *(known[:-4] for known in self._annotations)})
            raise DatasetError(f"{self.root} has no list {reprlib.repr(part)}: {choice(part, known_parts)}")
        names = tuple(self._images(annotated))
        if not names:
            raise DatasetError(f"{self._annotations[annotated]} names no image: copy it again from its source")
        return names

    def image_path(self, name: str) -> Path:
        """NAME.jpg in the image folders that are there."""
        path = _found(self._image_folders, name, ".jpg")
        if path is None:
            expected = [*_likely_first(self._image_folders, name), self.root / IMAGES][0] / f"{name}.jpg"
            raise DatasetError(f"image {name} has no file {expected}: copy it there or take the name from the list")
        return path

    def has_mask(self, name: str) -> bool:
        """Whether there is a label PNG, or the annotations cover the image."""
        return self.has_drawn_mask(name) or self._annotated(name) is not None

    def has_drawn_mask(self, name: str) -> bool:
        """Whether there is a label PNG."""
        return _found(self._mask_folders, name, ".png") is not None

    def mask(self, name: str) -> UInt8[np.ndarray, "h w"]:
        """Labels 0 to 80 and 255 of an image, of the size of its photograph where that is there."""
        path = _found(self._mask_folders, name, ".png")
        annotated = None if path else self._annotated(name)
        if path is not None:
            mask = read_label_image(path)
            check_labels(mask, self.labels, path)
        elif annotated is not None:
            mask = rasterised(annotated.objects, annotated.size)
        else:
            raise DatasetError(
                f"image {name} has no mask: neither {MASKS}/{name}.png nor annotations in {self.root}, add one of them"
            )
        photograph = _found(self._image_folders, name, ".jpg")
        if photograph is not None:
            check_size(mask, str(path) if path else f"image {name} in the annotations", photograph)
        return mask

    def annotated_tags(self, names: Sequence[str]) -> ImageLabels:
        """The categories of all objects and crowds of an image (``coco_annotations.shown``); all 0 without any."""
        if not self._annotations:
            raise DatasetError(
                f"{self.root} has no annotations/instances_*.json to take image-level labels from: "
                "take them from a table (data.tags) or from the masks (data.tags_from=masks)"
            )
        return ImageLabels(self.labels.names, {photograph_key(name): self._tags(name) for name in names})

    def _tags(self, name: str) -> tuple[int, ...]:
        annotated = self._annotated(name)
        if annotated is None:
            files = ", ".join(str(path) for path in self._annotations.values())
            raise DatasetError(f"image {name} is not in {files}: add the json of its part, or set data.tags to a table")
        return shown(annotated.objects, self.labels.num_foreground)

    def _annotated(self, name: str) -> AnnotatedImage | None:
        """What the annotations say about an image; its own part is read first, by its name or its folder."""
        photograph = _found(self._image_folders, name, ".jpg")
        folder = photograph.parent.name if photograph else ""
        parts = sorted(self._annotations, key=lambda part: (part not in name, part != folder))
        return next((images[name] for part in parts if name in (images := self._images(part))), None)

    def _images(self, part: str) -> Mapping[str, AnnotatedImage]:
        with _reading:
            if part not in self._read:
                self._read[part] = _annotations_or_error(self._annotations[part])
        read = self._read[part]
        if isinstance(read, DatasetError):
            raise DatasetError(str(read))
        return read


def _annotations_or_error(path: Path) -> Mapping[str, AnnotatedImage] | DatasetError:
    """A broken file is remembered as such: callers that go on without it may ask again for every image."""
    try:
        return read_annotations(path)
    except DatasetError as error:
        return error


def _part_folders(folder: Path) -> list[Path]:
    return [path for part in (*PARTS, "train", "val") if (path := folder / part).is_dir()]


def _likely_first(folders: Sequence[Path], name: str) -> list[Path]:
    """Folders whose name occurs in that of the file, such as val2014, before the others."""
    return sorted(folders, key=lambda folder: folder.name not in name)


def _found(folders: Sequence[Path], name: str, suffix: str) -> Path | None:
    paths = (file_of(folder, name, suffix) for folder in _likely_first(folders, name))
    return next((path for path in paths if path.is_file()), None)
