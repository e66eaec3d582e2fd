"""Facts of the real masks, lists and tags beside the checkout."""

import functools
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from medwsss.data.image_files import photograph_size, read_label_image, read_photograph, voc_colours
from medwsss.data.image_labels import ImageLabels
from medwsss.data.onehot_file import read_onehot
from medwsss.data.photograph_labels import disagreements, tags_from_masks
from medwsss.data.sample import photograph_key
from medwsss.data.voc import Voc
from medwsss.labels import VOC_LABELS

pytestmark = pytest.mark.data

Locate = Callable[..., Path]
SIZES = {"train": 1464, "train_aug": 10582, "val": 1449, "test": 1456}


@functools.cache
def stored_tags(path: Path) -> Mapping[str, np.ndarray]:
    """Read once: with run-time checks of shapes it takes seconds."""
    return read_onehot(path)


@pytest.fixture
def root(shared_data: Locate, tmp_path: Path) -> Path:
    """The layout of VOCdevkit/VOC2012 without photographs: lists, and all 12031 masks."""
    with tarfile.open(shared_data("voc", "SegmentationClassAug.tar")) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "ImageSets").symlink_to(shared_data("voc", "ImageSets"))
    return tmp_path


def test_the_lists_have_the_known_sizes_and_train_shares_nothing_with_val(shared_data: Locate) -> None:
    voc = Voc(shared_data("voc"))
    names = {part: voc.names(part) for part in SIZES}
    assert {part: len(listed) for part, listed in names.items()} == SIZES
    assert set(names["train"]) < set(names["train_aug"])
    assert not set(names["train_aug"]) & set(names["val"])


def test_the_tags_file_is_read_without_unpickling_as_numpy_unpickles_it(shared_data: Locate) -> None:
    path = shared_data("voc", "cls_labels_onehot.npy")
    tags = stored_tags(path)
    unpickled = np.load(path, allow_pickle=True).item()
    assert list(tags) == list(unpickled)
    np.testing.assert_array_equal(np.stack(list(tags.values())), np.stack(list(unpickled.values())))


def test_tags_of_all_masks_are_those_of_the_file_but_for_818_images(root: Path, shared_data: Locate) -> None:
    voc = Voc(root)
    names = {part: voc.names(part) for part in ("train", "train_aug", "val")}
    everyone = (*names["train_aug"], *names["val"])
    assert len(everyone) == 12031
    masks = tags_from_masks(voc, everyone)
    stored = stored_tags(shared_data("voc", "cls_labels_onehot.npy"))
    file = ImageLabels(VOC_LABELS.names, {photograph_key(name): tuple(stored[name].tolist()) for name in everyone})
    differing = disagreements(masks, file)
    assert {part: len(set(listed) & set(differing)) for part, listed in names.items()} == {
        "train": 1,
        "train_aug": 817,  # 7.7 %
        "val": 1,
    }
    of_masks, of_file = (tags.array(list(masks.tags)).astype(int) for tags in (masks, file))
    assert ((of_file > of_masks).sum(), (of_masks > of_file).sum()) == (903, 1)


def test_masks_of_the_official_lists_have_borders_and_most_that_train_aug_adds_have_none(root: Path) -> None:
    voc = Voc(root)
    train = voc.names("train")
    added = [name for name in voc.names("train_aug") if name not in set(train)]
    assert all((voc.mask(name) == 255).any() for name in train[:100])
    assert not any((voc.mask(name) == 255).any() for name in added[:100])


def test_the_sample_has_photographs_and_masks_of_one_size_in_the_colours_of_voc(shared_data: Locate) -> None:
    root = shared_data("voc", "sample")
    names = sorted(path.stem for path in (root / "JPEGImages").glob("*.jpg"))
    assert names == ["2011_000003", "2011_000006", "2011_000025"]
    voc = Voc(root)
    for name in names:
        mask = voc.mask(name)
        assert read_photograph(voc.image_path(name)).shape == (*mask.shape, 3)
        assert photograph_size(voc.image_path(name)) == mask.shape
        path = root / f"SegmentationClass/{name}.png"
        np.testing.assert_array_equal(read_label_image(path), mask)
        np.testing.assert_array_equal(read_photograph(path), voc_colours()[mask])
    shown = set(np.unique(voc.mask("2011_000003")).tolist())
    assert shown == {0, 5, 15, 255}  # bottle and person
