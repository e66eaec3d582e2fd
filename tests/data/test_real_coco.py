"""Facts of the real COCO lists, and of three annotated images, beside the checkout."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medwsss.data.coco import Coco
from medwsss.data.coco_annotations import rasterised, read_annotations
from medwsss.data.image_files import photograph_size, read_label_image
from medwsss.errors import DatasetError
from medwsss.labels import IGNORE

pytestmark = pytest.mark.data

Locate = Callable[..., Path]


def test_the_lists_of_2014_name_82081_40137_and_5000_images(shared_data: Locate) -> None:
    data = Coco(shared_data("coco"))
    train, val, val_part = (data.names(part) for part in ("train", "val", "val_part"))
    assert [len(names) for names in (train, val, val_part)] == [82081, 40137, 5000]
    assert all(name.startswith("COCO_train2014_") for name in train)
    assert all(name.startswith("COCO_val2014_") for name in val)
    # Its last line has no line end, so that counting line ends gives 4999.
    assert val_part == val[:5000]


def test_lists_alone_have_neither_images_nor_masks_nor_tags(shared_data: Locate) -> None:
    data = Coco(shared_data("coco"))
    name = data.names("val_part")[0]
    assert not data.has_mask(name)
    for look in (data.image_path, data.mask, lambda name: data.annotated_tags([name])):
        with pytest.raises(DatasetError):
            look(name)


def test_a_file_with_the_categories_of_voc_is_refused(shared_data: Locate) -> None:
    with pytest.raises(DatasetError, match="category 1 is 'aeroplane', expected 'person'"):
        read_annotations(shared_data("coco", "sample", "annotations.json"))


def test_three_annotated_images_rasterise_to_nearly_the_masks_they_were_traced_from(shared_data: Locate) -> None:
    path, masks = shared_data("coco", "sample", "annotations.json"), shared_data("voc", "sample", "SegmentationClass")
    categories = {entry["id"]: entry["name"] for entry in json.loads(path.read_text())["categories"] if entry["id"]}
    images = read_annotations(path, categories)
    assert list(images) == ["2011_000003", "2011_000025", "2011_000006"]
    for name, image in images.items():
        labels, reference = rasterised(image.objects, image.size), read_label_image(masks / f"{name}.png")
        assert image.size == photograph_size(shared_data("coco", "sample", "JPEGImages", f"{name}.jpg"))
        inside = reference != IGNORE
        assert set(np.unique(labels)) == set(np.unique(reference[inside]))
        # The polygons were traced from these masks with few corners, so borders differ by a pixel or two: measured
        # 0.9919 to 0.9937. Shifted by 2 pixels to the right they reach 0.9769 to 0.9843, by 5 pixels at most 0.971.
        assert float((labels == reference)[inside].mean()) > 0.985
