from pathlib import Path

import numpy as np
import pytest
from fakes.acdc import FakePatient, write_acdc

from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.image_labels import (
    ImageLabels,
    columns_of_table,
    image_labels_from_masks,
    labels_of_stack,
    read_image_labels,
    read_tag_table,
    write_image_labels,
)
from medwsss.data.sample import SliceKey
from medwsss.errors import DatasetError, ImageLabelsError, OutputError
from medwsss.labels import ACDC_TASKS

MULTI = ACDC_TASKS["multi"]
HEART_TASK = ACDC_TASKS["heart"]
HEART = HEART_TASK.labels
KEYS = tuple(SliceKey(patient, phase, index) for patient in "ab" for phase in ("ED", "ES") for index in range(2))
HEADER = "patient,phase,slice,heart\n"
COMPLETE = HEADER + "".join(f"{key.patient},{key.phase},{key.index},{key.index}\n" for key in KEYS)


def read(tmp_path: Path, text: str, encoding: str = "utf-8") -> ImageLabels:
    path = tmp_path / "tags.csv"
    path.write_text(text, encoding=encoding)
    return read_image_labels(path, HEART, KEYS, required_keys=KEYS[:4])


def test_a_slice_shows_a_class_when_one_pixel_does() -> None:
    masks = np.zeros((3, 4, 4), dtype=np.uint8)
    masks[1, 0, 0] = 2
    masks[2, 1:3] = [[1, 1, 3, 3], [0, 3, 255, 0]]
    np.testing.assert_array_equal(labels_of_stack(masks, 3), [[0, 0, 0], [0, 1, 0], [1, 0, 1]])


def test_labels_from_masks_follow_the_slices_of_each_phase(tmp_path: Path) -> None:
    studies = find_studies(write_acdc(tmp_path, [FakePatient()]))
    labels = image_labels_from_masks(studies, reference_masks(tmp_path), MULTI)
    assert labels.names == ("RV", "MYO", "LV")
    for phase in ("ED", "ES"):  # the fake heart: none in slice 0, no LV in slice 1
        rows = labels.array([SliceKey("patient001", phase, index) for index in range(4)])
        np.testing.assert_array_equal(rows, [[0, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]])


def test_slices_are_counted_feet_to_head_whatever_the_file_order(tmp_path: Path) -> None:
    head_first = ((-1.5, 0.0, 0.0, 0.0), (0.0, -1.5, 0.0, 0.0), (0.0, 0.0, -10.0, 30.0), (0.0, 0.0, 0.0, 1.0))
    studies = find_studies(write_acdc(tmp_path, [FakePatient(affine=head_first)]))
    labels = image_labels_from_masks(studies, reference_masks(tmp_path), HEART_TASK)
    assert [labels.of(SliceKey("patient001", "ED", index)) for index in range(4)] == [(1,), (1,), (1,), (0,)]


def test_a_case_without_mask_is_named(tmp_path: Path) -> None:
    studies = find_studies(write_acdc(tmp_path, [FakePatient(masks=False)]))
    with pytest.raises(DatasetError, match=r"patient001_frame01 has no mask .*data\.tags"):
        image_labels_from_masks(studies, reference_masks(tmp_path), MULTI)


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    labels = ImageLabels(("RV", "MYO", "LV"), {key: (key.index, 1, 0) for key in KEYS})
    path = tmp_path / "run" / "tags.csv"
    write_image_labels(labels, path)
    assert path.read_text().splitlines()[:2] == ["patient,phase,slice,RV,MYO,LV", "a,ED,0,0,1,0"]
    assert read_image_labels(path, MULTI.labels, KEYS, required_keys=KEYS) == labels
    assert [file.name for file in path.parent.iterdir()] == ["tags.csv"]


def test_one_table_serves_a_task_that_needs_fewer_columns(tmp_path: Path) -> None:
    write_image_labels(
        ImageLabels(("RV", "MYO", "LV"), {key: (1, 1, key.index) for key in KEYS}), tmp_path / "tags.csv"
    )
    labels = read_image_labels(tmp_path / "tags.csv", ACDC_TASKS["lv"].labels, KEYS)
    assert [labels.of(key) for key in KEYS[:2]] == [(0,), (1,)]


def test_values_other_than_0_and_1_cannot_be_held() -> None:
    with pytest.raises(ValueError, match="tags of a ED slice 0"):
        ImageLabels(("heart",), {KEYS[0]: (2,)})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "; "])
def test_byte_order_mark_semicolons_and_blanks_are_accepted(tmp_path: Path, encoding: str, separator: str) -> None:
    labels = read(tmp_path, COMPLETE.replace(",", separator) + "\n\n", encoding)
    assert labels.array(KEYS).ravel().tolist() == [key.index for key in KEYS]


def test_held_out_slices_need_no_rows(tmp_path: Path) -> None:
    labels = read(tmp_path, "".join(COMPLETE.splitlines(keepends=True)[:5]))
    assert set(labels.tags) == set(KEYS[:4])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c,ED,0,1", "patient 'c' is not in the data set"),
        ("a,diastole,0,1", "phase 'diastole' is none of ED, ES"),
        ("a,ED,2,1", "a ED has slices 0 to 1, not 2"),
        ("a,ED,-1,1", "slice '-1' is not a whole number"),
        ("a,ED,1,yes", "heart is 'yes', it must be 0 or 1"),
        ("a,ED,1,2", "heart is '2', it must be 0 or 1"),
        ("a,ED,1,", "heart is '', it must be 0 or 1"),
        ("a,ED,0,1", "a ED slice 0 was already in the table"),
        ("a,ED,1", "3 cells, the header has 4"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ImageLabelsError, match=rf"tags\.csv line 3: {message}"):
        read(tmp_path, f"{HEADER}a,ED,0,1\n{row}\n")


def test_training_slices_without_a_row_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ImageLabelsError, match="no row for 3 slices of training patients, first: a ED slice 1"):
        read(tmp_path, f"{HEADER}a,ED,0,1\nb,ED,0,1\n")


@pytest.mark.parametrize(
    ("text", "missing"), [("", "patient, phase, slice, heart"), ("patient,phase,slice\n", "heart")]
)
def test_missing_columns_are_named(tmp_path: Path, text: str, missing: str) -> None:
    with pytest.raises(ImageLabelsError, match=f"has no column {missing}:"):
        read(tmp_path, text)


def test_a_missing_file_and_another_encoding_are_one_line_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageLabelsError, match="cannot read the image-level labels"):
        read_image_labels(tmp_path / "none.csv", HEART, KEYS)
    with pytest.raises(ImageLabelsError, match="is not UTF-8"):
        read(tmp_path, COMPLETE, "utf-16")


def test_an_unwritable_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write the image-level labels"):
        write_image_labels(ImageLabels((), {}), tmp_path / "file" / "tags.csv")


# --- Slices that were tagged together --------------------------------------------------------------------------------

BAGGED = ImageLabels(("heart",), {key: (int(key.patient == "a"),) for key in KEYS}, (KEYS[:2], KEYS[2:4]))


def test_a_table_keeps_which_slices_were_tagged_together(tmp_path: Path) -> None:
    write_image_labels(BAGGED, tmp_path / "tags.csv")
    lines = (tmp_path / "tags.csv").read_text().splitlines()
    assert lines[:4] == ["patient,phase,slice,bag,heart", "a,ED,0,1,1", "a,ED,1,1,1", "a,ES,0,2,1"]
    assert lines[5] == "b,ED,0,,0"
    assert read_image_labels(tmp_path / "tags.csv", HEART, KEYS, required_keys=KEYS) == BAGGED
    assert read_tag_table(tmp_path / "tags.csv", HEART) == BAGGED
    assert columns_of_table(tmp_path / "tags.csv") == ("heart",)


def test_slices_of_a_bag_with_other_tags_are_named_by_line(tmp_path: Path) -> None:
    text = "patient,phase,slice,bag,heart\na,ED,0,x,1\na,ED,1,y,0\na,ES,0,x,0\n"
    with pytest.raises(ImageLabelsError, match=r"tags\.csv line 4: bag x has other tags above"):
        read(tmp_path, text)


def test_a_slice_is_in_one_bag_and_a_bag_has_one_tag() -> None:
    with pytest.raises(ValueError, match="in one bag only"):
        ImageLabels(("heart",), BAGGED.tags, (KEYS[:2], KEYS[1:3]))
    with pytest.raises(ValueError, match="must have the same tags"):
        ImageLabels(("heart",), BAGGED.tags, ((KEYS[0], KEYS[-1]),))


def test_what_can_be_compared_is_the_largest_of_a_bag_and_every_slice_alone() -> None:
    keys = [KEYS[1], KEYS[4], KEYS[0], KEYS[5]]
    probs, tags = BAGGED.told(keys, np.array([[0.2], [0.4], [0.9], [0.1]]))
    assert probs.ravel().tolist() == [0.9, 0.4, 0.1]  # the bag a ED, then b ED slice 0 and 1
    assert tags.ravel().tolist() == [1, 0, 0]
