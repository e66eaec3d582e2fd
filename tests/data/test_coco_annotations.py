"""Annotations of COCO: which pixels, which label, what is refused."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.coco import fake_images, image_name, instances, write_instances
from pycocotools import mask as mask_api

from medwsss.data.coco_annotations import (
    AnnotatedImage,
    CocoObject,
    Polygons,
    Runs,
    rasterised,
    read_annotations,
    shown,
)
from medwsss.errors import DatasetError, MedwsssWarning
from medwsss.labels import COCO_CATEGORIES, COCO_LABELS

SIZE = (4, 5)


def square(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def polygons(*corners: list[float]) -> Polygons:
    return tuple(np.array(polygon, dtype=np.float64) for polygon in corners)


def entry(number: int = 7, **changes: Any) -> dict[str, Any]:
    """An annotation of image 9: two by two pixels of a person."""
    whole = {"id": number, "image_id": 9, "category_id": 1, "iscrowd": 0, "segmentation": [square(1, 1, 3, 3)]}
    return {key: value for key, value in {**whole, **changes}.items() if value is not ...}


def written(folder: Path, *annotations: Any, **changes: Any) -> Path:
    """An instances file with one image of 4 x 5 pixels."""
    image = {"id": 9, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}
    content = {"images": [image], "annotations": list(annotations), "categories": [], **changes}
    return write_instances(folder / "instances_val2014.json", content)


def mask_of(path: Path) -> np.ndarray:
    image = read_annotations(path)["a"]
    return rasterised(image.objects, image.size)


def test_a_square_from_corner_1_1_to_3_3_covers_two_by_two_pixels() -> None:
    mask = rasterised([CocoObject(16, False, polygons(square(1, 1, 3, 3)))], SIZE)
    assert mask.tolist() == [
        [0, 0, 0, 0, 0],
        [0, 16, 16, 0, 0],
        [0, 16, 16, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_the_polygons_of_an_object_are_one_mask_and_may_reach_over_the_border() -> None:
    mask = rasterised([CocoObject(3, False, polygons(square(0, 0, 1, 1), square(3, 2, 7, 9)))], SIZE)
    assert mask.tolist() == [
        [3, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 3, 3],
        [0, 0, 0, 3, 3],
    ]


def test_the_smaller_of_two_overlapping_objects_lies_on_top_in_either_order() -> None:
    large = CocoObject(1, False, polygons(square(0, 0, 4, 2)))  # 8 pixels
    small = CocoObject(2, False, polygons(square(3, 1, 5, 3)))  # 4 pixels, one of them shared
    expected = [
        [1, 1, 1, 1, 0],
        [1, 1, 1, 2, 2],
        [0, 0, 0, 2, 2],
        [0, 0, 0, 0, 0],
    ]
    assert rasterised([large, small], SIZE).tolist() == rasterised([small, large], SIZE).tolist() == expected


def test_the_later_of_two_objects_of_equal_area_lies_on_top() -> None:
    first, second = (CocoObject(label, False, polygons(square(0, 0, 1, 1))) for label in (1, 2))
    assert rasterised([first, second], SIZE)[0, 0] == 2
    assert rasterised([second, first], SIZE)[0, 0] == 1


def test_a_crowd_is_255_and_lies_below_a_larger_object() -> None:
    crowd = CocoObject(1, True, polygons(square(3, 0, 5, 1)))  # 2 pixels, fewer than the object's 4
    person = CocoObject(1, False, polygons(square(0, 0, 4, 1)))
    for objects in ([crowd, person], [person, crowd]):
        assert rasterised(objects, SIZE)[0].tolist() == [1, 1, 1, 1, 255]


def test_runs_go_down_the_columns_and_start_with_background() -> None:
    runs = Runs((2, 3), np.array([1, 2, 3], dtype=np.uint32))  # columns: 0 1 | 1 0 | 0 0
    assert rasterised([CocoObject(5, False, runs)], (2, 3)).tolist() == [[0, 5, 0], [5, 0, 0]]


def test_an_image_without_objects_is_background() -> None:
    assert rasterised([], SIZE).tolist() == np.zeros(SIZE, dtype=int).tolist()


def test_sparse_category_ids_become_labels_without_gaps() -> None:
    # 12 is left out below 13; below 90 so are 12, 26, 29, 30, 45, 66, 68, 69, 71 and 83
    labels = dict(zip(COCO_CATEGORIES, range(1, 81), strict=True))
    assert (labels[11], labels[13], labels[90]) == (11, 12, 80)
    assert COCO_LABELS.names[80 - 1] == "toothbrush"


@pytest.mark.parametrize(("category", "label"), [(1, 1), (11, 11), (13, 12), (27, 25), (90, 80)])
def test_the_label_of_an_object_is_the_place_of_its_category(tmp_path: Path, category: int, label: int) -> None:
    mask = mask_of(written(tmp_path, entry(category_id=category)))
    assert np.unique(mask).tolist() == [0, label]


def test_a_crowd_counts_as_shown() -> None:
    objects = [CocoObject(1, True, polygons()), CocoObject(3, False, polygons())]
    assert shown(objects, 4) == (1, 0, 1, 0)
    assert shown([], 4) == (0, 0, 0, 0)


def test_a_file_is_read_into_sizes_objects_and_crowds_by_image_name(tmp_path: Path) -> None:
    runs = {"size": list(SIZE), "counts": [4, 16]}
    path = written(tmp_path, entry(), entry(8, category_id=13, iscrowd=1, segmentation=runs))
    (name, image), *others = read_annotations(path).items()
    assert (name, image.size, others) == ("a", SIZE, [])
    assert [(found.label, found.crowd) for found in image.objects] == [(1, False), (12, True)]
    assert rasterised(image.objects, image.size).tolist() == [
        [0, 255, 255, 255, 255],
        [0, 1, 1, 255, 255],
        [0, 1, 1, 255, 255],
        [0, 255, 255, 255, 255],
    ]


def test_an_image_without_annotations_is_there_without_objects(tmp_path: Path) -> None:
    assert read_annotations(written(tmp_path)) == {"a": AnnotatedImage(SIZE, ())}


def test_compressed_runs_are_read_as_pycocotools_writes_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        pixels = rng.random((120, 90)) < share
        text = mask_api.encode(np.asfortranarray(pixels, dtype=np.uint8))["counts"].decode()
        image = {"id": 9, "file_name": "a.jpg", "height": 120, "width": 90}
        found = entry(segmentation={"size": [120, 90], "counts": text})
        assert np.array_equal(mask_of(written(tmp_path, found, images=[image])), pixels)


def test_polygons_of_many_corners_cover_what_pycocotools_decodes() -> None:
    rng = np.random.default_rng(1)
    for corners in (3, 5, 20, 200):
        outline = tuple(rng.uniform(-5, 45, 2 * corners).round(2) for _ in range(2))
        encoded = mask_api.merge(mask_api.frPyObjects(list(outline), 40, 35))
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # its arrays, under numpy 2
            decoded = mask_api.decode(encoded)
        assert np.array_equal(rasterised([CocoObject(1, False, outline)], (40, 35)), decoded)


def test_the_text_06_means_no_background_and_six_pixels(tmp_path: Path) -> None:
    image = {"id": 9, "file_name": "a.jpg", "height": 2, "width": 3}
    path = written(tmp_path, entry(segmentation={"size": [2, 3], "counts": "06"}), images=[image])
    assert mask_of(path).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_generated_files_rasterise_to_the_masks_painted_directly(tmp_path: Path) -> None:
    images = fake_images(8)
    assert {found.coding for image in images for found in image.objects} == {"polygon", "runs", "compressed"}
    path = write_instances(tmp_path / "instances_val2014.json", instances("val2014", images))
    annotated = read_annotations(path)
    assert list(annotated) == [image_name("val2014", image.number) for image in images]
    for image, found in zip(images, annotated.values(), strict=True):
        assert np.array_equal(rasterised(found.objects, found.size), image.labels())


def test_a_table_of_other_categories_numbers_them_in_its_order(tmp_path: Path) -> None:
    path = written(tmp_path, entry(category_id=40), categories=[{"id": 40, "name": "liver"}, {"id": 0, "name": "none"}])
    (found,) = read_annotations(path, {7: "spleen", 40: "liver"})["a"].objects
    assert found.label == 2


def test_names_that_contradict_the_table_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, categories=[{"id": 1, "name": "aeroplane"}])
    with pytest.raises(DatasetError, match=r"instances_val2014\.json: category 1 is 'aeroplane', expected 'person'"):
        read_annotations(path)


def test_outlines_without_area_are_counted_and_the_object_is_still_shown(tmp_path: Path) -> None:
    line, odd = [1, 1, 3, 3], [1, 1, 3, 1, 3, 3, 1]
    path = written(tmp_path, entry(5, segmentation=[line, square(0, 0, 1, 1), odd]), entry(6, segmentation=[]))
    with pytest.warns(MedwsssWarning, match=r"3 outlines without area are left out, first in annotation 5"):
        image = read_annotations(path)["a"]
    assert int((rasterised(image.objects, image.size) > 0).sum()) == 1
    assert len(image.objects) == 2


def test_file_names_lose_folder_and_suffix(tmp_path: Path) -> None:
    for file_name in ("JPEGImages/x.1.jpg", "..\\..\\x.1.jpg", "../x.1.png"):
        image = {"id": "nine", "file_name": file_name, "height": 4, "width": 5}
        assert list(read_annotations(written(tmp_path, images=[image]))) == ["x.1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": 12}, "its category 12 is unknown"),
        ({"category_id": [1]}, r"its category \[1\] is unknown"),
        ({"image_id": 10}, "its image 10 is not among the images"),
        ({"image_id": None}, "its image None is not"),
        ({"image_id": ...}, "it needs category_id, id, image_id, segmentation"),
        ({"iscrowd": 2}, "iscrowd is 2"),
        ({"segmentation": "polygon"}, "neither a list of polygons nor an RLE"),
        ({"segmentation": None}, "neither a list of polygons nor an RLE"),
        ({"segmentation": [1, 1, 3, 1, 3, 3]}, "neither a list of polygons nor an RLE"),
        ({"segmentation": [["1", "1", "3", "1", "3", "3"]]}, "neither a list of polygons nor an RLE"),
        ({"segmentation": [[1, 1, 3, None, 3, 3]]}, "neither a list of polygons nor an RLE"),
        ({"segmentation": [[1, [1], 3, 1, 3, 3]]}, "neither a list of polygons nor an RLE"),
        ({"segmentation": [square(1, 1, float("nan"), 3)]}, "leaves the image a by far, or is not finite"),
        ({"segmentation": [square(1, 1, float("inf"), 3)]}, "leaves the image a by far, or is not finite"),
        ({"segmentation": [square(-1e9, 1, 3, 3)]}, "leaves the image a by far, or is not finite"),
        ({"segmentation": {"size": [5, 4], "counts": [20]}}, r"height and width \(5, 4\), its image a \(4, 5\)"),
        ({"segmentation": {"size": [4, 5], "counts": [19]}}, "an RLE that fills it"),
        ({"segmentation": {"size": [4, 5], "counts": [21]}}, "an RLE that fills it"),
        ({"segmentation": {"size": [4, 5], "counts": [30, -10]}}, "an RLE that fills it"),
        ({"segmentation": {"size": [4, 5], "counts": [10.0, 10.0]}}, "an RLE that fills it"),
        ({"segmentation": {"size": [4, 5], "counts": []}}, "an RLE that fills it"),
        ({"segmentation": {"size": [4, 5], "counts": "06"}}, "an RLE that fills it"),  # 6 of 20 pixels
        ({"segmentation": {"size": [4, 5], "counts": "PPP"}}, "an RLE that fills it"),  # ends within a number
        ({"segmentation": {"size": [4, 5], "counts": "é"}}, "an RLE that fills it"),
        ({"segmentation": {"size": [4, 5]}}, "an RLE that fills it"),
        ({"segmentation": {"counts": [20]}}, "an RLE that fills it"),
    ],
)
def test_an_unusable_annotation_is_named_with_its_file(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = written(tmp_path, entry(), entry(77, **changes))
    with pytest.raises(DatasetError, match=rf"instances_val2014\.json: annotation 77 cannot be used: .*{message}"):
        read_annotations(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 0},
        {"height": "4"},
        {"width": 20_000, "height": 20_000},
        {"width": 70_000},
        {"height": 4.0},
        {"file_name": ""},
        {"file_name": None},
        {"file_name": "a\0b.jpg"},
        {"file_name": "folder/.jpg"},
    ],
)
def test_an_impossible_image_is_named_with_its_file(tmp_path: Path, changes: dict[str, Any]) -> None:
    image = {"id": 9, "file_name": "a.jpg", "height": 4, "width": 5, **changes}
    with pytest.raises(DatasetError, match=r"instances_val2014\.json: image 9 of height .* is impossible"):
        read_annotations(written(tmp_path, images=[image]))


@pytest.mark.parametrize("second", [{"id": 9, "file_name": "b.jpg"}, {"id": 10, "file_name": "a.jpg"}])
def test_an_image_that_is_there_twice_is_refused(tmp_path: Path, second: dict[str, Any]) -> None:
    images = [{"id": 9, "file_name": "a.jpg", "height": 4, "width": 5}, {**second, "height": 4, "width": 5}]
    with pytest.raises(DatasetError, match="is there twice"):
        read_annotations(written(tmp_path, images=images))


def test_an_image_without_a_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="needs file_name, height, id, width"):
        read_annotations(written(tmp_path, images=[{"id": 9, "file_name": "a.jpg"}]))


def without(key: str) -> str:
    content: dict[str, Any] = {"images": [], "annotations": []}
    return json.dumps({name: value for name, value in content.items() if name != key})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON .it is empty"),
        ('{"images": [', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1, 2]", "no lists images and annotations"),
        (without("images"), "no lists images and annotations"),
        (without("annotations"), "no lists images and annotations"),
        ('{"images": {}, "annotations": []}', "no lists images and annotations"),
        ('{"images": [], "annotations": [], "categories": 3}', "categories must be a list"),
        ('{"images": [], "annotations": [3]}', "annotation 3 cannot be used"),
        ('{"images": [3], "annotations": []}', "image 3 needs"),
    ],
)
def test_a_file_that_is_no_instances_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "instances_val2014.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=rf"instances_val2014\.json.*{message}") as caught:
        read_annotations(path)
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read the annotations .*none\.json: No such file"):
        read_annotations(tmp_path / "none.json")
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(DatasetError, match=r"binary\.json is no JSON"):
        read_annotations(binary)
