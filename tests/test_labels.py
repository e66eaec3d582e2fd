import numpy as np
import pytest

from medwsss.labels import (
    COCO_CATEGORIES,
    COCO_LABELS,
    VOC_LABELS,
    LabelSet,
    cardiac_task,
    own_task,
    parsed_codes,
)


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


def test_codes_are_read_with_blanks_inside_names_and_around_them() -> None:
    assert parsed_codes(" 1 = pericardial effusion, 12=scar,") == {1: "pericardial effusion", 12: "scar"}


@pytest.mark.parametrize("text", ["", ",", "1", "x=scar", "1=a=b", "256=scar", "²=scar", "-1=scar"])
def test_codes_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write them like 1=LV"):
        parsed_codes(text)


def test_own_classes_are_labels_in_their_order() -> None:
    task = own_task(["scar", "Effusion"])
    assert (task.labels.names, task.labels.described) == (("scar", "Effusion"), "scar, Effusion")
    assert dict(task.codes) == {0: 0, 1: 1, 2: 2}


def test_codes_of_own_classes_are_named_in_any_case() -> None:
    task = own_task(["scar", "Effusion"], {7: "SCAR", 4: "effusion", 9: "Background"})
    np.testing.assert_array_equal(task.from_codes(np.array([0, 4, 7, 9])), [0, 2, 1, 0])


def test_structures_of_the_heart_are_known_by_name_and_the_rest_is_background_or_heart() -> None:
    def codes(*names: str) -> dict[int, int]:
        task = cardiac_task(own_task(names).labels)
        assert task is not None
        return dict(task.codes)

    assert codes("LV", "myo") == {0: 0, 1: 0, 2: 2, 3: 1}
    assert codes("heart") == {0: 0, 1: 1, 2: 1, 3: 1}
    assert codes("Heart", "RV") == {0: 0, 1: 2, 2: 1, 3: 1}
    assert cardiac_task(own_task(["scar", "effusion"]).labels) is None
    assert cardiac_task(own_task(["LV", "scar"]).labels) is None  # seeds would teach that a scar is background
