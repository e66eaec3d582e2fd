from pathlib import Path

import numpy as np
import pytest

from medwsss.data.study import Frame
from medwsss.errors import OutputError
from medwsss.export.nnunet import NnunetCase, dataset_folder, dataset_json, nnunet_labels, patient_splits
from medwsss.labels import ACDC_TASKS

LABELS = np.array([[[0, 1], [2, 255]], [[0, 0], [3, 0]]], np.uint8)
WEIGHTS = np.array([[[1.0, 0.5], [0.4, 1.0]], [[0.1, 0.9], [0.9, 0.0]]], np.float32)


def test_unsure_and_undecided_pixels_get_the_highest_label() -> None:
    found = nnunet_labels(LABELS, WEIGHTS, num_foreground=3, confidence=0.5)
    assert found.tolist() == [[[0, 1], [4, 4]], [[4, 0], [3, 4]]]


def test_confidence_0_leaves_only_undecided_pixels_out() -> None:
    found = nnunet_labels(LABELS, WEIGHTS, num_foreground=3, confidence=0.0)
    assert found.tolist() == [[[0, 1], [2, 4]], [[0, 0], [3, 0]]]


def test_a_slice_tagged_empty_is_background_whatever_its_labels() -> None:
    found = nnunet_labels(LABELS, WEIGHTS, num_foreground=3, confidence=0.5, empty_slices=(1,))
    assert found[1].tolist() == [[0, 0], [0, 0]]
    assert found[0].tolist() == [[0, 1], [4, 4]]


def test_ignore_follows_the_classes() -> None:
    described = dataset_json(ACDC_TASKS["multi"].labels, 7)
    assert described["labels"] == {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "ignore": 4}
    assert (described["numTraining"], described["file_ending"]) == (7, ".nii.gz")


def test_no_patient_is_on_two_sides_and_every_case_validates_once() -> None:
    cases = [
        NnunetCase(f"p{patient}_{phase}", f"p{patient}", "", Frame(Path("x"), 1), Path("x"), Path("x"))
        for patient in range(7)
        for phase in ("ED", "ES")
    ]
    splits = patient_splits(cases, folds=3, seed=0)
    assert sorted(name for fold in splits for name in fold["val"]) == sorted(case.name for case in cases)
    for fold in splits:
        assert not {name[:2] for name in fold["train"]} & {name[:2] for name in fold["val"]}
        assert len(fold["train"]) + len(fold["val"]) == len(cases)


def test_the_folder_is_named_as_nnunet_wants_it(tmp_path: Path) -> None:
    assert dataset_folder(tmp_path, number=7, name="Heart") == tmp_path / "Dataset007_Heart"


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [
        (0, "Heart", "from 1 to 999"),
        (1000, "Heart", "from 1 to 999"),
        (1, "a heart", "letters, digits"),
        (1, "", "letters"),
    ],
)
def test_numbers_and_names_that_nnunet_cannot_read_are_refused(
    tmp_path: Path, number: int, name: str, message: str
) -> None:
    with pytest.raises(OutputError, match=message):
        dataset_folder(tmp_path, number=number, name=name)


def test_a_data_set_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "Dataset001_Heart").mkdir()
    with pytest.raises(OutputError, match="is there already"):
        dataset_folder(tmp_path, number=1, name="Heart")
