import numpy as np
import pytest

from medwsss.labels import COCO_CATEGORIES, COCO_LABELS, VOC_LABELS, LabelSet


@pytest.mark.parametrize(
    ("numbers", "undefined"), [([0, 2, 255], []), ([3], [3]), ([254, 0, 7, 255], [7, 254]), ([], [])]
)
def test_numbers_beyond_the_classes_are_undefined_and_255_is_not(numbers: list[int], undefined: list[int]) -> None:
    assert LabelSet("two", ("a", "b")).undefined_in(np.array([numbers], dtype=np.uint8)) == undefined


def test_coco_has_80_classes_numbered_without_the_gaps_of_its_ids() -> None:
    assert (COCO_LABELS.num_classes, max(COCO_CATEGORIES)) == (81, 90)
    assert [COCO_LABELS.names.index(name) + 1 for name in ("person", "stop sign", "bench", "toothbrush")] == [
        1, 12, 14, 80
    ]  # fmt: skip


def test_voc_has_20_classes_in_alphabetical_order() -> None:
    assert len(VOC_LABELS.names) == 20
    assert list(VOC_LABELS.names) == sorted(VOC_LABELS.names)
