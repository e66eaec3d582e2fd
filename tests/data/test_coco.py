"""MS COCO in its official and its converted layout."""

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fakes.coco import BENCH, CAT, DOG, LABELS, fake_images, image_name, write_coco, write_list

from medwsss.data import coco
from medwsss.data.coco import Coco
from medwsss.data.coco_annotations import read_annotations
from medwsss.data.image_files import read_photograph, write_label_image
from medwsss.data.sample import SliceKey
from medwsss.errors import DatasetError

FIRST = "COCO_train2014_000000000009"
FIRST_VAL = "COCO_val2014_000000001042"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The json files that were read."""
    seen: list[str] = []

    def counted(path: Path) -> object:
        seen.append(path.name)
        return read_annotations(path)

    monkeypatch.setattr(coco, "read_annotations", counted)
    return seen


def test_the_official_layout_offers_lists_images_masks_and_tags(tmp_path: Path) -> None:
    data = Coco(write_coco(tmp_path))
    images = fake_images(6, first_number=9)
    assert data.names("train") == data.names("train2014") == tuple(image_name("train2014", i.number) for i in images)
    assert data.names("val")[0] == FIRST_VAL
    assert data.image_path(FIRST) == tmp_path / "train2014" / f"{FIRST}.jpg"
    for name, image in zip(data.names("train"), images, strict=True):
        assert data.has_mask(name)
        assert np.array_equal(data.mask(name), image.labels())
        assert read_photograph(data.image_path(name)).shape[:2] == image.size


def test_the_converted_layout_offers_the_same_lists_and_masks(tmp_path: Path) -> None:
    official, converted = Coco(write_coco(tmp_path / "a")), Coco(write_coco(tmp_path / "b", converted=True))
    for part in ("train", "val"):
        assert official.names(part) == converted.names(part)
        for name in official.names(part):
            assert np.array_equal(official.mask(name), converted.mask(name))
    assert converted.names("val_part") == official.names("val")[:2]
    assert converted.image_path(FIRST) == tmp_path / "b" / "JPEGImages" / "train2014" / f"{FIRST}.jpg"


def test_images_of_2017_are_found_by_their_numbers(tmp_path: Path, reads: list[str]) -> None:
    data = Coco(write_coco(tmp_path, year=2017))
    assert data.names("val")[0] == data.names("val2017")[0] == "000000001042"
    assert data.mask("000000001042").shape == (48, 64)
    assert reads == ["instances_val2017.json"]


def test_train_is_2014_where_both_years_are_there(tmp_path: Path) -> None:
    data = Coco(write_coco(write_coco(tmp_path, year=2017)))
    assert data.names("train") == data.names("train2014") != data.names("train2017")


def test_images_may_lie_in_images_part_or_flat(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "train2014").rename(tmp_path / "images" / "train2014")
    (tmp_path / "val2014").rename(tmp_path / "JPEGImages")
    data = Coco(tmp_path)
    assert data.image_path(FIRST).parent == tmp_path / "images" / "train2014"
    assert data.image_path(FIRST_VAL).parent == tmp_path / "JPEGImages"


def test_tags_come_from_the_annotations_with_crowds_and_without_a_mask(tmp_path: Path) -> None:
    data = Coco(write_coco(tmp_path))
    names = data.names("train")
    shutil.rmtree(tmp_path / "train2014")
    tags = data.annotated_tags(names)
    assert tags.names == data.labels.names
    # image 0 shows a cat; image 1 a dog and a bench on top; image 3 a cat, a dog on top, and dogs as a crowd
    expected = {0: {CAT}, 1: {DOG, BENCH}, 3: {CAT, DOG}}
    for index, categories in expected.items():
        row = np.array(tags.of(SliceKey(names[index], "", 0)))
        assert set(np.flatnonzero(row) + 1) == {LABELS[category] for category in categories}


def test_a_list_goes_before_the_images_of_the_annotations(tmp_path: Path) -> None:
    data_root = write_coco(tmp_path)
    write_list(tmp_path / "train.txt", [FIRST])
    data = Coco(data_root)
    assert data.names("train") == (FIRST,)
    assert len(data.names("train2014")) == 6
    assert len(data.annotated_tags(data.names("train")).tags) == 1


@pytest.mark.parametrize("folder", ["", "voc_format", "ImageSets", "ImageSets/Segmentation"])
def test_lists_are_found_in_each_of_their_folders(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "val_part.txt").write_bytes("\ufeffb\r\n\r\n a \n".encode())
    assert Coco(tmp_path).names("val_part") == ("b", "a")


def test_a_label_image_goes_before_the_annotations(tmp_path: Path, reads: list[str]) -> None:
    write_coco(tmp_path)
    painted = np.full((48, 64), 80, dtype=np.uint8)
    write_label_image(painted, tmp_path / "SegmentationClass" / "train" / f"{FIRST}.png")
    data = Coco(tmp_path)
    assert data.has_mask(FIRST)
    assert np.array_equal(data.mask(FIRST), painted)
    assert reads == []


def test_the_annotations_of_a_part_are_read_once_and_only_when_needed(tmp_path: Path, reads: list[str]) -> None:
    data = Coco(write_coco(tmp_path))
    data.image_path(FIRST)
    assert reads == []
    names = data.names("train")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(data.mask, names))
    data.annotated_tags(names)
    assert reads == ["instances_train2014.json"]
    assert np.array_equal(pickle.loads(pickle.dumps(data)).mask(FIRST), data.mask(FIRST))


def test_a_broken_json_is_read_once_and_refused_each_time(tmp_path: Path, reads: list[str]) -> None:
    write_coco(tmp_path)
    (tmp_path / "annotations" / "instances_train2014.json").write_bytes(b"")
    data = Coco(tmp_path)
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"instances_train2014\.json is no JSON .it is empty"):
            data.annotated_tags([FIRST])
    assert reads == ["instances_train2014.json"]


def test_tags_without_annotations_are_refused_with_advice(tmp_path: Path) -> None:
    data = Coco(write_coco(tmp_path, converted=True))
    with pytest.raises(DatasetError, match=r"has no annotations.*data\.tags.*data\.tags_from=masks"):
        data.annotated_tags([FIRST])


def test_an_image_that_no_json_covers_has_neither_tags_nor_mask(tmp_path: Path) -> None:
    data = Coco(write_coco(tmp_path))
    assert not data.has_mask("other")
    with pytest.raises(DatasetError, match=r"image other is not in .*instances_train2014\.json, .*data\.tags"):
        data.annotated_tags([FIRST, "other"])
    with pytest.raises(DatasetError, match=r"image other has no mask: neither SegmentationClass/other\.png nor"):
        data.mask("other")


def test_a_missing_image_is_named_where_it_was_expected(tmp_path: Path) -> None:
    data = Coco(write_coco(tmp_path))
    with pytest.raises(DatasetError, match=r"has no file .*val2014.COCO_val2014_000000000001\.jpg"):
        data.image_path("COCO_val2014_000000000001")


@pytest.mark.parametrize("name", ["../secret", "a/b", "a\\b", "", ".hidden", "a\0"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    data = Coco(write_coco(tmp_path, converted=True))
    for look in (data.image_path, data.mask, data.has_mask):
        with pytest.raises(DatasetError, match="is no name of an image"):
            look(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "names no image"),
        (b"\n \n", "names no image"),
        (b"a\nb c\n", r" line 2: 'b c' is neither a name nor the paths"),
        (b"a\nb\na\n", "repeats 1 names, first a"),
        (b"\xff\xfe\x80", "is not UTF-8"),
    ],
)
def test_an_unusable_list_is_named(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "val.txt").write_bytes(text)
    with pytest.raises(DatasetError, match=rf"val\.txt.*{message}"):
        Coco(tmp_path).names("val")


def test_an_unknown_list_is_refused_with_those_there_are(tmp_path: Path) -> None:
    write_list(write_coco(tmp_path) / "mine.txt", [FIRST])
    for part in ("test", "../mine", "2014", ""):
        with pytest.raises(DatasetError, match=r"has no list .*there are mine, train, train2014, val, val2014"):
            Coco(tmp_path).names(part)


def test_annotations_without_images_are_refused_as_a_list(tmp_path: Path) -> None:
    path = tmp_path / "annotations" / "instances_val2014.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"images": [], "annotations": []}), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"instances_val2014\.json names no image"):
        Coco(tmp_path).names("val")


def test_a_folder_without_coco_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a folder"):
        Coco(tmp_path / "none")
    with pytest.raises(DatasetError, match="neither annotations/instances"):
        Coco(tmp_path)


def test_a_label_image_with_raw_category_ids_is_refused(tmp_path: Path) -> None:
    data = Coco(write_coco(tmp_path, converted=True))
    path = tmp_path / "SegmentationClass" / "train2014" / f"{FIRST}.png"
    write_label_image(np.array([[0, 80], [90, 255]], dtype=np.uint8), path)
    with pytest.raises(DatasetError, match=rf"{FIRST}\.png holds labels \[90\]: coco defines 0 to 80 and 255"):
        data.mask(FIRST)


def test_a_label_image_of_another_size_is_refused(tmp_path: Path) -> None:
    data = Coco(write_coco(tmp_path, converted=True))
    path = tmp_path / "SegmentationClass" / "train2014" / f"{FIRST}.png"
    write_label_image(np.zeros((64, 48), dtype=np.uint8), path)
    with pytest.raises(DatasetError, match=rf"{FIRST}\.png is 48 x 64 pixels, .*{FIRST}\.jpg is 64 x 48"):
        data.mask(FIRST)


def test_a_photograph_of_another_size_than_its_annotation_says_is_refused(tmp_path: Path) -> None:
    data = Coco(write_coco(tmp_path))
    first, second = data.names("train")[:2]
    shutil.copy(data.image_path(second), data.image_path(first))
    with pytest.raises(
        DatasetError, match=rf"image {first} in the annotations is 64 x 48 pixels, .*{first}\.jpg is 48 x 64"
    ):
        data.mask(first)


def test_a_mask_is_read_where_the_photograph_is_absent(tmp_path: Path) -> None:
    data = Coco(write_coco(tmp_path, converted=True))
    data.image_path(FIRST).unlink()
    assert data.mask(FIRST).shape == (48, 64)
