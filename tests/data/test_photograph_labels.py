from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8

from medwsss.data.image_labels import ImageLabels, write_image_labels
from medwsss.data.image_set import ImageSet
from medwsss.data.photograph_labels import (
    compared,
    disagreements,
    photograph_key,
    read_photograph_tags,
    tags_from_masks,
)
from medwsss.data.sample import SliceKey
from medwsss.errors import DatasetError, ImageLabelsError
from medwsss.labels import LabelSet

PETS = LabelSet("pets", ("cat", "dog", "hen"))


class Masks(ImageSet):
    """Masks alone."""

    labels = PETS

    def __init__(self, masks: Mapping[str, UInt8[np.ndarray, "h w"]]) -> None:
        self.root = Path("pets")
        self._masks = masks

    def names(self, part: str) -> tuple[str, ...]:
        return tuple(self._masks)

    def image_path(self, name: str) -> Path:
        raise DatasetError(f"no image {name}")

    def has_mask(self, name: str) -> bool:
        return name in self._masks

    def mask(self, name: str) -> UInt8[np.ndarray, "h w"]:
        if name not in self._masks:
            raise DatasetError(f"image {name} has no mask")
        return self._masks[name]

    def annotated_tags(self, names: Sequence[str]) -> ImageLabels:
        raise DatasetError("no annotations")


def labels(**tags: tuple[int, int, int]) -> ImageLabels:
    return ImageLabels(PETS.names, {photograph_key(name): row for name, row in tags.items()})


def onehot(path: Path, vectors: Mapping[str, Sequence[float]]) -> Path:
    """The file everyone passes around: a pickled dictionary in a .npy."""
    np.save(path, {name: np.array(row, dtype=np.float32) for name, row in vectors.items()}, allow_pickle=True)
    return path


# --- from masks


def test_tags_are_the_classes_with_a_pixel_and_neither_background_nor_ignored_pixels_count() -> None:
    masks = {
        "b": np.array([[0, 1], [3, 255]], dtype=np.uint8),
        "a": np.array([[0, 0, 0]], dtype=np.uint8),
        "c": np.array([[2], [255]], dtype=np.uint8),
        "d": np.array([[255]], dtype=np.uint8),
    }
    found = tags_from_masks(Masks(masks), ["b", "a", "c", "d"])
    assert found == labels(b=(1, 0, 1), a=(0, 0, 0), c=(0, 1, 0), d=(0, 0, 0))
    assert [key.patient for key in found.tags] == ["b", "a", "c", "d"]


def test_tags_equal_an_independent_count_on_many_random_masks() -> None:
    rng = np.random.default_rng(0)
    masks = {f"image{i}": rng.choice([0, 1, 2, 3, 255], (1, 3)).astype(np.uint8) for i in range(2100)}
    found = tags_from_masks(Masks(masks), list(masks))
    assert found.tags == {
        SliceKey(name, "", 0): tuple(int((mask == label).any()) for label in (1, 2, 3)) for name, mask in masks.items()
    }


def test_an_error_of_a_mask_goes_on() -> None:
    with pytest.raises(DatasetError, match="lost has no mask"):
        tags_from_masks(Masks({"there": np.zeros((1, 1), np.uint8)}), ["there", "lost"])


# --- from files


def test_a_onehot_file_is_in_label_order(tmp_path: Path) -> None:
    path = onehot(tmp_path / "cls_labels_onehot.npy", {"x": [1, 0, 0], "y": [0, 1, 1]})
    assert read_photograph_tags(path, PETS, ["y"]) == labels(x=(1, 0, 0), y=(0, 1, 1))


def test_a_onehot_file_of_other_classes_is_refused(tmp_path: Path) -> None:
    path = onehot(tmp_path / "tags.npy", {"x": [1, 0]})
    with pytest.raises(ImageLabelsError, match=r"tags\.npy .*x.* pets has 3"):
        read_photograph_tags(path, PETS, ["x"])


def test_a_written_table_is_read_back(tmp_path: Path) -> None:
    tags = labels(x=(1, 0, 0), y=(0, 1, 1))
    write_image_labels(tags, tmp_path / "tags.csv")
    assert read_photograph_tags(tmp_path / "tags.csv", PETS, ["x", "y"]) == tags


@pytest.mark.parametrize("kind", ["npy", "csv"])
def test_images_without_a_row_are_counted_and_rows_of_others_are_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"tags.{kind}"
    if kind == "npy":
        onehot(path, {"x": [1, 0, 0], "other": [0, 1, 1]})
    else:
        write_image_labels(labels(x=(1, 0, 0), other=(0, 1, 1)), path)
    assert read_photograph_tags(path, PETS, ["x"]).of(photograph_key("other")) == (0, 1, 1)
    with pytest.raises(ImageLabelsError, match=rf"tags\.{kind} has no row for 2 of 3 images, first: y"):
        read_photograph_tags(path, PETS, ["x", "y", "z"])


# --- two sources


def test_disagreements_are_common_images_with_other_tags_in_the_order_of_the_first() -> None:
    one = labels(z=(1, 0, 0), a=(1, 1, 0), same=(0, 0, 1), alone=(1, 1, 1))
    other = labels(a=(1, 0, 0), same=(0, 0, 1), z=(0, 0, 0), stranger=(1, 0, 1))
    assert disagreements(one, other) == ("z", "a")
    assert disagreements(other, one) == ("a", "z")
    assert disagreements(one, one) == ()


def test_other_classes_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"second must be about cat, dog, hen, not cat"):
        disagreements(labels(), ImageLabels(("cat",), {}))


def test_a_comparison_says_how_many_which_classes_and_who_is_used() -> None:
    one, other = labels(x=(1, 1, 0), y=(0, 0, 0), only=(1, 1, 1)), labels(x=(1, 0, 0), y=(0, 0, 0))
    assert compared(one, other, source="table t.csv", other="annotations") == (
        "tags of 1 of 2 images differ, first x: cat, dog (table t.csv), cat (annotations); used: table t.csv"
    )
    assert compared(one, labels(y=(0, 0, 1)), source="masks", other="table") == (
        "tags of 1 of 1 images differ, first y: no class (masks), hen (table); used: masks"
    )


def test_a_comparison_of_equal_tags_says_on_how_many_images() -> None:
    one, other = labels(x=(1, 1, 0), only=(1, 1, 1)), labels(x=(1, 1, 0))
    assert compared(one, other, source="masks", other="annotations") == (
        "tags agree on all 1 images: masks, and annotations"
    )
