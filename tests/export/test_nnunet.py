from pathlib import Path

import numpy as np
import pytest

from medwsss.data.study import Frame
from medwsss.errors import DatasetError, MedwsssWarning, OutputError
from medwsss.export.nnunet import (
    NnunetCase,
    dataset_folder,
    dataset_json,
    nnunet_labels,
    patient_splits,
    write_nnunet,
)
from medwsss.labels import ACDC_TASKS, LabelSet
from medwsss.volumes.io import save_volume
from medwsss.volumes.volume import Volume

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
    described = dataset_json(ACDC_TASKS["multi"].labels, 7, channel="CT")
    assert described["labels"] == {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "ignore": 4}
    assert (described["numTraining"], described["file_ending"]) == (7, ".nii.gz")
    assert described["channel_names"] == {"0": "CT"}


def written(root: Path, label: int) -> float:
    """Two patients whose only labelled voxel has this label, as a data set of the classes LV and scar."""
    for name, array in (("image", np.ones((4, 4, 2), np.float32)), ("weights", np.ones((4, 4, 2), np.float32))):
        save_volume(Volume(array, (1.0, 1.0, 8.0), np.diag([1.0, 1.0, 8.0, 1.0])), root / f"{name}.nii.gz")
    labels = np.zeros((4, 4, 2), np.uint8)
    labels[1, 1, 1] = label
    save_volume(Volume(labels, (1.0, 1.0, 8.0), np.diag([1.0, 1.0, 8.0, 1.0])), root / "labels.nii.gz")
    image = Frame(root / "image.nii.gz", None)
    cases = [
        NnunetCase(name, name, "", image, root / "labels.nii.gz", root / "weights.nii.gz") for name in ("P1", "P2")
    ]
    return write_nnunet(
        cases, LabelSet("own", ("LV", "scar")), root / "set", channel="MRI", confidence=0.5, folds=2, seed=0
    )


def test_a_class_that_nothing_teaches_is_told(tmp_path: Path) -> None:
    with pytest.warns(MedwsssWarning, match="no voxel teaches scar"):
        assert written(tmp_path, 1) == 0.0
    assert (tmp_path / "set" / "dataset.json").is_file()


def test_labels_without_any_class_are_no_training_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no voxel of weight 0\.5 or more is LV, scar: .*--confidence"):
        written(tmp_path, 0)
    assert not (tmp_path / "set").exists()


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
