"""PASCAL VOC 2012 as its development kit lays it out, with the augmented masks that most papers train on."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from jaxtyping import UInt8

from medwsss.data.image_files import read_label_image
from medwsss.data.image_labels import ImageLabels
from medwsss.data.image_set import ImageSet, check_labels, check_size
from medwsss.data.name_lists import choice, file_of, listed_names
from medwsss.data.sample import photograph_key
from medwsss.errors import DatasetError, MedwsssWarning
from medwsss.labels import VOC_LABELS

IMAGES = "JPEGImages"
MASKS = ("SegmentationClass", "SegmentationClassAug")
"""Where a mask is looked for: the official one first, whose borders are 255, then the augmented one."""
LISTS = "ImageSets/Segmentation"
AUGMENTED_LIST = "train_aug"
ANNOTATIONS = "Annotations"
_ANNOTATION_LIMIT_BYTES = 4_000_000


class Voc(ImageSet):
    """The folders of VOC 2012: photographs, masks, lists, annotations; each is needed only when it is used.

    A mask in SegmentationClass goes before one in SegmentationClassAug, so ``train_aug`` trains and scores on official
    masks where there are any; some copies of the augmented masks have no 255 along the borders of objects.

    Args:
        root: VOCdevkit/VOC2012, or a folder above it.

    Raises:
        DatasetError: ``root`` holds none of the folders.
    """

    labels = VOC_LABELS

    def __init__(self, root: Path) -> None:
        folders = (IMAGES, *MASKS, "ImageSets", ANNOTATIONS)
        candidates = [root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"]
        found = [path for path in candidates if any((path / folder).is_dir() for folder in folders)]
        if not found:
            problem = f"holds none of {', '.join(folders)}" if root.is_dir() else "is not a folder"
            raise DatasetError(f"{root} {problem}: pass the folder VOCdevkit/VOC2012")
        self.root = found[0]

    def names(self, part: str) -> tuple[str, ...]:
        """The images of ``ImageSets/Segmentation/PART.txt``.

        The official kit has no list ``train_aug``. Without one it is what papers mean by it: all images that have a
        mask in SegmentationClassAug and are not in ``val``.
        """
        folder = self._folder(LISTS)
        known = sorted(path.stem for path in folder.glob("*.txt"))
        if part in known:
            return listed_names(folder / f"{part}.txt")
        augmented = self.root / MASKS[1]
        if part != AUGMENTED_LIST or "val" not in known or not augmented.is_dir():
            advice = f"; {AUGMENTED_LIST} needs the masks of {MASKS[1]}" if part == AUGMENTED_LIST else ""
            raise DatasetError(f"there is no list {part} in {folder}: {choice(part, known)}{advice}")
        held_out = set(listed_names(folder / "val.txt"))
        return tuple(sorted({path.stem for path in augmented.glob("*.png")} - held_out))

    def image_path(self, name: str) -> Path:
        """JPEGImages/NAME.jpg."""
        path = file_of(self.root / IMAGES, name, ".jpg")
        if not path.is_file():
            self._folder(IMAGES)
            raise DatasetError(f"image {name} has no file {path}: copy it there or take the name from the list")
        return path

    def has_mask(self, name: str) -> bool:
        """Whether SegmentationClass or SegmentationClassAug has NAME.png."""
        return any(path.is_file() for path in self._mask_files(name))

    def mask(self, name: str) -> UInt8[np.ndarray, "h w"]:
        """Labels 0 to 20 and 255 of an image, of the size of its photograph where that is there."""
        path = next((path for path in self._mask_files(name) if path.is_file()), None)
        if path is None:
            raise DatasetError(
                f"image {name} has no mask {name}.png in {' or '.join(MASKS)} of {self.root}: copy it there"
            )
        mask = read_label_image(path)
        check_labels(mask, self.labels, path)
        photograph = file_of(self.root / IMAGES, name, ".jpg")
        if photograph.is_file():
            check_size(mask, str(path), photograph)
        return mask

    def annotated_tags(self, names: Sequence[str]) -> ImageLabels:
        """The classes of all objects in Annotations/NAME.xml, difficult ones too; images without any are counted."""
        if names:
            self._folder(ANNOTATIONS)
        tags = {
            photograph_key(name): self._tags(file_of(self.root / ANNOTATIONS, name, ".xml"), name) for name in names
        }
        without = [key.patient for key, row in tags.items() if not any(row)]
        if without:
            message = f"{len(without)} of {len(names)} annotations in {self.root / ANNOTATIONS} name no object, "
            warnings.warn(f"{message}first {without[0]}.xml: their tags are all 0", MedwsssWarning, stacklevel=2)
        return ImageLabels(self.labels.names, tags)

    def _tags(self, path: Path, name: str) -> tuple[int, ...]:
        if not path.is_file():
            raise DatasetError(
                f"image {name} has no annotation {path}: copy it there, or take the image-level labels from a table "
                "(data.tags) or from the masks (data.tags_from=masks)"
            )
        shown = set(_object_classes(path))
        known = self.labels.names
        unknown = sorted(shown - set(known))
        if unknown:
            raise DatasetError(f"{path} has an object of class {unknown[0][:80]!r}: {choice(unknown[0], known)}")
        return tuple(int(label in shown) for label in known)

    def _mask_files(self, name: str) -> list[Path]:
        return [file_of(self.root / folder, name, ".png") for folder in MASKS]

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        if not folder.is_dir():
            raise DatasetError(f"there is no folder {folder}: copy {name} of VOC2012 there")
        return folder


def _object_classes(path: Path) -> list[str]:
    """Class names of the objects of an annotation; the parts of an object, such as a head, have names of their own."""
    root = _xml(path)
    names = [(found.findtext("name") or "").strip() for found in root.findall("object")]
    if root.tag != "annotation" or not all(names):
        raise DatasetError(f"{path} is no annotation of VOC: it needs <annotation> with a <name> in each <object>")
    return names


def _xml(path: Path) -> ElementTree.Element:
    try:
        with path.open("rb") as file:
            content = file.read(_ANNOTATION_LIMIT_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"cannot read the annotation {path}: {error.strerror}") from error
    if not content.strip():
        raise DatasetError(f"the annotation {path} is empty: copy it again from its source")
    # Only class names matter and they are ASCII. Text, not bytes: no encoding can then hide an entity declaration.
    text = content.decode("utf-8-sig", errors="replace")
    if len(content) > _ANNOTATION_LIMIT_BYTES or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DatasetError(f"the annotation {path} is refused: it is larger than 4 MB or declares XML entities")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DatasetError(f"the annotation {path} is broken XML ({error}): copy it again from its source") from error
