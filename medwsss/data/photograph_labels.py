"""Image-level labels ("tags") of photographs: from masks, from tables, and what two sources say differently."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medwsss.data.image_labels import ImageLabels, read_tag_table
from medwsss.data.image_set import ImageSet
from medwsss.data.onehot_file import read_onehot
from medwsss.data.sample import SliceKey, photograph_key
from medwsss.errors import DatasetError, ImageLabelsError
from medwsss.labels import LabelSet

QUEUED = 1000
"""Masks that wait for a thread at a time; each waiting one takes memory."""


def tags_from_masks(image_set: ImageSet, names: Sequence[str]) -> ImageLabels:
    """Image-level labels from reference masks: the classes with at least one pixel; 0 and 255 do not count.

    Masks are decoded by several threads, so ``ImageSet.mask`` must bear that.

    Raises:
        DatasetError: a mask is missing or cannot be used (see ``ImageSet.mask``).
    """

    def present(name: str) -> tuple[int, ...]:
        seen = np.zeros(256, dtype=np.uint8)
        seen[image_set.mask(name)] = 1  # unlike bincount this lets other threads decode meanwhile
        return tuple(seen[1 : image_set.labels.num_classes].tolist())

    tags: dict[SliceKey, tuple[int, ...]] = {}
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(names), QUEUED):
            some = names[start : start + QUEUED]
            tags.update(zip(map(photograph_key, some), threads.map(present, some), strict=True))
    return ImageLabels(image_set.labels.names, tags)


def tags_where_possible(
    read: Callable[[Sequence[str]], ImageLabels], names: Sequence[str], label_set: LabelSet
) -> tuple[ImageLabels, dict[str, str]]:
    """The tags of the images that ``read`` has them for, and for each of the others what stood in the way."""
    try:
        return read(names), {}
    except DatasetError:
        pass  # some or all have none: one by one
    tags: dict[SliceKey, tuple[int, ...]] = {}
    failed: dict[str, str] = {}
    for name in names:
        try:
            tags.update(read([name]).tags)
        except DatasetError as error:
            failed[name] = str(error)
    return ImageLabels(label_set.names, tags), failed


def read_photograph_tags(path: Path, label_set: LabelSet, names: Sequence[str]) -> ImageLabels:
    """Image-level labels from cls_labels_onehot.npy or from a CSV table as ``write_image_labels`` makes it.

    Args:
        path: a .npy file (see ``onehot_file.read_onehot``; its vectors are in label order), or any other file as CSV.
        label_set: classes of the data set.
        names: images that must have a row; rows of other images are kept.

    Raises:
        ImageLabelsError: the file cannot be read, is malformed, is about other classes, or has no row for an image.
    """
    tags = _onehot_tags(path, label_set) if path.suffix.lower() == ".npy" else read_tag_table(path, label_set)
    missing = [name for name in names if photograph_key(name) not in tags.tags]
    if missing:
        raise ImageLabelsError(f"{path} has no row for {len(missing)} of {len(names)} images, first: {missing[0]}")
    return tags


def disagreements(used: ImageLabels, second: ImageLabels) -> tuple[str, ...]:
    """Images with different tags in both sources, in the order of the first; images of one source alone are left out.

    Raises:
        ValueError: ``second`` is about other classes than ``used``.
    """
    if used.names != second.names:
        raise ValueError(f"second must be about {', '.join(used.names)}, not {', '.join(second.names)}")
    return tuple(key.patient for key, tags in used.tags.items() if second.tags.get(key, tags) != tags)


def compared(used: ImageLabels, second: ImageLabels, *, source: str, other: str) -> str:
    """One line on two sources of tags: on how many of their common images they differ, the first, and which is used.

    Args:
        used: tags that are used.
        second: tags to compare them with.
        source: where the first come from, in words.
        other: where the second come from, in words.

    Raises:
        ValueError: ``second`` is about other classes than ``used``.
    """
    differing = disagreements(used, second)
    common = len(used.tags.keys() & second.tags.keys())
    if not differing:
        return f"tags agree on all {common} images: {source}, and {other}"
    first = photograph_key(differing[0])
    return (
        f"tags of {len(differing)} of {common} images differ, first {first}: {_shown(used, first)} ({source}), "
        f"{_shown(second, first)} ({other}); used: {source}"
    )


def _onehot_tags(path: Path, label_set: LabelSet) -> ImageLabels:
    tags = {}
    for name, vector in read_onehot(path).items():
        if len(vector) != label_set.num_foreground:
            raise ImageLabelsError(
                f"{path} has {len(vector)} values for {name}, {label_set.name} has {label_set.num_foreground} classes: "
                "use the file of this data set"
            )
        tags[photograph_key(name)] = tuple(vector.tolist())
    return ImageLabels(label_set.names, tags)


def _shown(labels: ImageLabels, key: SliceKey) -> str:
    names = [name for name, present in zip(labels.names, labels.of(key), strict=True) if present]
    return ", ".join(names) or "no class"
