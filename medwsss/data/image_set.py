"""What a data set of photographs on disk offers: lists of names, and image, mask and tags by name."""

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from medwsss.data.image_files import photograph_size
from medwsss.data.image_labels import ImageLabels
from medwsss.errors import DatasetError
from medwsss.labels import IGNORE, LabelSet


class ImageSet(ABC):
    """Photographs below one folder. Lists are read when asked for, images and masks one at a time."""

    root: Path
    labels: LabelSet

    @abstractmethod
    def __init__(self, root: Path) -> None:
        """Find what is in the folder.

        Raises:
            DatasetError: nothing of this data set is there.
        """

    @abstractmethod
    def names(self, part: str) -> tuple[str, ...]:
        """The images of a list such as ``val``, in its order.

        Raises:
            DatasetError: there is no such list (those there are, are named), it is empty, or it repeats a name.
        """

    @abstractmethod
    def image_path(self, name: str) -> Path:
        """The file of an image.

        Raises:
            DatasetError: there is none; the message names the file that was expected.
        """

    @abstractmethod
    def has_mask(self, name: str) -> bool:
        """Whether ``mask`` can answer."""

    def has_drawn_mask(self, name: str) -> bool:
        """Whether the mask is a file of its own, and not made from the annotations."""
        return self.has_mask(name)

    @abstractmethod
    def mask(self, name: str) -> UInt8[np.ndarray, "h w"]:
        """Reference labels of an image: 0 background, i for the i-th class, 255 left out of every score.

        Raises:
            DatasetError: there is no mask, it cannot be read, or it holds labels that the data set does not define.
        """

    @abstractmethod
    def annotated_tags(self, names: Sequence[str]) -> ImageLabels:
        """Image-level labels from the annotations of objects, keyed ``SliceKey(name, "", 0)``; no mask is opened.

        Raises:
            DatasetError: an image has no annotation, or one that cannot be read.
        """


def check_labels(mask: UInt8[np.ndarray, "h w"], label_set: LabelSet, source: Path) -> None:
    """Refuse labels that the data set does not define.

    Raises:
        DatasetError: the mask holds others than 0 to the number of classes, and 255.
    """
    wrong = label_set.undefined_in(mask)
    if wrong:
        defined = f"0 to {label_set.num_foreground} and {IGNORE}"
        raise DatasetError(
            f"{source} holds labels {reprlib.repr(wrong)}: {label_set.name} defines {defined}, use its own masks"
        )


def check_size(mask: UInt8[np.ndarray, "h w"], source: str, photograph: Path) -> None:
    """Refuse a mask that is not the size of its photograph.

    Raises:
        DatasetError: the sizes differ, or the photograph's header cannot be read.
    """
    size = photograph_size(photograph)
    if size != mask.shape:
        sizes = [f"{width} x {height}" for height, width in (mask.shape, size)]
        raise DatasetError(f"{source} is {sizes[0]} pixels, {photograph} is {sizes[1]}: use the mask of this image")
