import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from PIL import Image
from torch.utils.data import DataLoader

from medwsss.config.data import PhotographAugmentationConfig, PhotographDataConfig
from medwsss.data.image_files import read_photograph
from medwsss.data.image_labels import ImageLabels, write_image_labels
from medwsss.data.image_set import ImageSet
from medwsss.data.photographs import PhotographData, PhotographSet, load_photographs
from medwsss.data.sample import Draw, SliceKey, collate, photograph_key
from medwsss.errors import DatasetError, ImageLabelsError, MedwsssWarning, SplitError
from medwsss.labels import LabelSet

PETS = LabelSet("pets", ("cat", "dog", "hen"))
STILL = PhotographAugmentationConfig(scale=(1.0, 1.0), flip_probability=0.0, photometric_probability=0.0)
Tags = tuple[int, int, int]
ANNOTATED: Mapping[str, Tags] = {"a": (1, 0, 0), "b": (0, 1, 1), "c": (1, 1, 0), "v": (0, 0, 1), "w": (1, 0, 0)}
LISTS = {"train": ("a", "b", "c"), "val": ("v", "w")}


class Pets(ImageSet):
    """Photographs of 20 × 30 pixels; a mask has one row a class, and class 1 alone where nothing else is said."""

    labels = PETS

    def __init__(
        self,
        root: Path,
        *,
        lists: Mapping[str, tuple[str, ...]] = LISTS,
        annotated: Mapping[str, Tags] = ANNOTATED,
        masks: Mapping[str, Tags] = ANNOTATED,
    ) -> None:
        self.root = root
        self._lists, self._annotated, self._masks = lists, annotated, masks
        root.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        for name in {name for part in lists.values() for name in part}:
            Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(root / f"{name}.jpg")

    def names(self, part: str) -> tuple[str, ...]:
        if part not in self._lists:
            raise DatasetError(f"there is no list {part} in {self.root}")
        return self._lists[part]

    def image_path(self, name: str) -> Path:
        path = self.root / f"{name}.jpg"
        if not path.exists():
            raise DatasetError(f"there is no image {path}")
        return path

    def has_mask(self, name: str) -> bool:
        return name in self._masks

    def mask(self, name: str) -> UInt8[np.ndarray, "h w"]:
        rows = [label if present else 0 for label, present in enumerate(self._masks[name], start=1)]
        return np.repeat(np.array(rows, dtype=np.uint8)[:, None], 30, axis=1)

    def annotated_tags(self, names: Sequence[str]) -> ImageLabels:
        without = [name for name in names if name not in self._annotated]
        if without:
            raise DatasetError(f"{without[0]} has no annotation")
        return ImageLabels(PETS.names, {photograph_key(name): self._annotated[name] for name in names})


def config(**changes: object) -> PhotographDataConfig:
    return PhotographDataConfig(name="voc", crop=32, augmentation=STILL).model_copy(update=changes)


def table(path: Path, tags: Mapping[str, Tags]) -> Path:
    write_image_labels(ImageLabels(PETS.names, {photograph_key(name): row for name, row in tags.items()}), path)
    return path


def loaded(tmp_path: Path, image_set: ImageSet, **changes: object) -> PhotographData:
    return load_photographs(config(**changes), image_set, tmp_path / "run" / "tags.csv")


def tags_of(data: PhotographData) -> dict[str, tuple[int, ...]]:
    return {key.patient: tags for key, tags in data.image_labels.tags.items()}


# --- the training set


def test_a_sample_is_its_photograph_with_tags_box_and_key(tmp_path: Path) -> None:
    images = loaded(tmp_path, Pets(tmp_path / "pets")).training_set()
    assert images.keys == tuple(SliceKey(name, "", 0) for name in "abc")
    assert len(images) == 3
    np.testing.assert_array_equal(images.image_labels_array, [(1, 0, 0), (0, 1, 1), (1, 1, 0)])
    sample = images[Draw(1, seed=0)]
    assert str(sample.key) == "b"
    assert sample.image_labels.tolist() == [0.0, 1.0, 1.0]
    top, bottom, left, right = sample.box.tolist()
    assert (bottom - top, right - left) == (20, 30)
    expected = torch.tensor(read_photograph(tmp_path / "pets" / "b.jpg")).permute(2, 0, 1) / 255
    assert torch.equal(sample.image[:, top:bottom, left:right], expected)


def test_a_draw_determines_its_sample(tmp_path: Path) -> None:
    data = loaded(tmp_path, Pets(tmp_path / "pets"), augmentation=PhotographAugmentationConfig())
    one, another = data.training_set(), data.training_set()
    first, again, other = one[Draw(2, 7)], another[Draw(2, 7)], one[Draw(2, 8)]
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.box, again.box)
    assert not torch.equal(first.image, other.image)


def test_loader_processes_yield_the_same_samples(tmp_path: Path) -> None:
    images = loaded(tmp_path, Pets(tmp_path / "pets"), augmentation=PhotographAugmentationConfig()).training_set()
    draws = [Draw(index, seed=index) for index in range(len(images))]
    parallel = DataLoader(images, batch_size=2, sampler=draws, collate_fn=collate, num_workers=1)
    here = DataLoader(images, batch_size=2, sampler=draws, collate_fn=collate)
    for one, two in zip(parallel, here, strict=True):
        assert torch.equal(one.images, two.images)
        assert one.keys == two.keys


def test_a_truncated_photograph_is_named(tmp_path: Path) -> None:
    images = loaded(tmp_path, Pets(tmp_path / "pets")).training_set()
    path = tmp_path / "pets" / "a.jpg"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DatasetError, match=r"a\.jpg"):
        images[Draw(0, 0)]


def test_no_mask_is_within_reach_of_a_training_set(tmp_path: Path) -> None:
    images = loaded(tmp_path, Pets(tmp_path / "pets")).training_set()
    assert isinstance(images, PhotographSet)
    assert not any(isinstance(value, ImageSet) for value in vars(images).values())


# --- tags


@pytest.mark.parametrize("source", ["annotations", "masks"])
def test_derived_tags_are_written_and_used_from_there(tmp_path: Path, source: str) -> None:
    data = loaded(tmp_path, Pets(tmp_path / "pets"), tags_from=source)
    assert tags_of(data) == dict(ANNOTATED)
    lines = (tmp_path / "run" / "tags.csv").read_text().splitlines()
    assert lines[:2] == ["patient,phase,slice,cat,dog,hen", "a,,0,1,0,0"]


def test_a_table_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", {**ANNOTATED, "stranger": (1, 1, 1)})
    data = loaded(tmp_path, Pets(tmp_path / "pets"), tags=path)
    assert tags_of(data) == {**ANNOTATED, "stranger": (1, 1, 1)}
    assert not (tmp_path / "run").exists()


def test_held_out_images_need_no_tags_in_a_table(tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", {name: ANNOTATED[name] for name in "abc"})
    assert set(tags_of(loaded(tmp_path, Pets(tmp_path / "pets"), tags=path))) == set("abc")


def test_a_table_without_a_training_image_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", {"a": (1, 0, 0), "v": (1, 0, 0)})
    with pytest.raises(ImageLabelsError, match=r"mine\.csv has no row for 2 of 3 images, first: b"):
        loaded(tmp_path, Pets(tmp_path / "pets"), tags=path)


def test_held_out_images_without_annotation_are_counted_and_left_out(tmp_path: Path) -> None:
    annotated = {name: tags for name, tags in ANNOTATED.items() if name != "v"}
    with pytest.warns(MedwsssWarning, match="1 of 2 images of list val have no annotation that can be read, first v"):
        data = loaded(tmp_path, Pets(tmp_path / "pets", annotated=annotated))
    assert tags_of(data) == annotated


def test_held_out_images_without_mask_are_left_out(tmp_path: Path) -> None:
    masks = {name: tags for name, tags in ANNOTATED.items() if name != "v"}
    assert tags_of(loaded(tmp_path, Pets(tmp_path / "pets", masks=masks), tags_from="masks")) == masks


def test_a_training_image_without_annotation_or_mask_stops_the_run(tmp_path: Path) -> None:
    rest = {name: ANNOTATED[name] for name in "avw"}
    with pytest.raises(DatasetError, match="b has no annotation"):
        loaded(tmp_path, Pets(tmp_path / "pets", annotated=rest))
    with pytest.raises(DatasetError, match=r"2 of 3 images of list train have no mask .* first b: set data"):
        loaded(tmp_path, Pets(tmp_path / "pets", masks=rest), tags_from="masks")


def test_training_images_about_which_a_table_and_the_annotations_differ_are_counted(tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", {**ANNOTATED, "b": (1, 1, 1), "v": (1, 1, 1)})  # v does not train
    expected = rf"tags of 1 of 3 images differ, first b: cat, dog, hen \(table {path}\), dog, hen \(annotations of obj"
    with pytest.warns(MedwsssWarning, match=expected):
        data = loaded(tmp_path, Pets(tmp_path / "pets"), tags=path)
    assert tags_of(data)["b"] == (1, 1, 1)


def test_masks_are_compared_with_annotations_too(tmp_path: Path) -> None:
    pets = Pets(tmp_path / "pets", masks={**ANNOTATED, "a": (0, 0, 1), "b": (0, 0, 1)})
    with pytest.warns(MedwsssWarning, match="tags of 2 of 3 images differ, first a: hen .*, cat "):
        loaded(tmp_path, pets, tags_from="masks")


def test_without_annotations_a_table_is_compared_with_nothing(tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", {**ANNOTATED, "b": (1, 1, 1)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded(tmp_path, Pets(tmp_path / "pets", annotated={}), tags=path)


def test_training_images_without_any_class_are_counted_and_stay(tmp_path: Path) -> None:
    pets = Pets(tmp_path / "pets", annotated={**ANNOTATED, "b": (0, 0, 0), "v": (0, 0, 0)})
    with pytest.warns(MedwsssWarning, match="1 of 3 training images show no class, first b"):
        data = loaded(tmp_path, pets)
    assert len(data.training_set()) == 3


# --- lists and files


def test_an_image_in_both_lists_is_refused(tmp_path: Path) -> None:
    pets = Pets(tmp_path / "pets", lists={"train": ("a", "b", "v", "w"), "val": ("w", "v")})
    with pytest.raises(SplitError, match=r"2 images are in both lists train and val .* first v"):
        loaded(tmp_path, pets)


def test_an_unknown_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no list train_aug"):
        loaded(tmp_path, Pets(tmp_path / "pets"), train="train_aug")


def test_missing_training_images_are_counted_before_training(tmp_path: Path) -> None:
    pets = Pets(tmp_path / "pets")
    for name in "bcv":
        (tmp_path / "pets" / f"{name}.jpg").unlink()
    with pytest.raises(DatasetError, match=r"2 of 3 images of list train are missing, first: there is no .*b\.jpg"):
        loaded(tmp_path, pets)


def test_images_are_not_decoded_before_training(tmp_path: Path) -> None:
    pets = Pets(tmp_path / "pets")
    for path in (tmp_path / "pets").iterdir():
        path.write_bytes(b"")
    assert len(loaded(tmp_path, pets).training_set()) == 3


def test_where_everything_comes_from_is_said(tmp_path: Path) -> None:
    data = loaded(tmp_path, Pets(tmp_path / "pets"))
    assert data.source == f"3 images of list train and 2 of val in {tmp_path / 'pets'}"
    assert data.tags_source == "annotations of objects"
    assert data.split_source == "lists train and val"
    assert (data.split.train, data.split.held_out) == (("a", "b", "c"), ("v", "w"))
    assert data.labels == PETS
