import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.acdc import FakePatient, fake_patients, mask, volume, write_acdc

from medwsss.data.acdc import reference_masks
from medwsss.engine.cases import Case, pair_cases
from medwsss.engine.evaluate import LabelPair, evaluate_cases, slice_matrices
from medwsss.errors import EvaluationError, VolumeError
from medwsss.labels import ACDC_TASKS, OWN_TASK
from medwsss.metrics.confusion import confusion_matrix
from medwsss.metrics.results import MEAN_OF_CLASSES, METRICS, PER_CASE, PER_CASE_COLUMNS, PER_SLICE, POOLED, Evaluation
from medwsss.volumes.io import load_label_volume, save_volume
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

CPU = torch.device("cpu")
PATIENTS = fake_patients(3)


def evaluated(predictions: Path, truth: Path, task: str = "multi", *, baselines: bool = False) -> Evaluation:
    pairing = pair_cases(predictions, truth, task=task)
    return evaluate_cases(pairing.cases, pairing.task, device=CPU, resamples=50, baselines=baselines)


def on_grid(array: np.ndarray) -> Volume:
    return Volume(array, (1.0, 1.0, 8.0), np.diag([1.0, 1.0, 8.0, 1.0]))


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    return write_acdc(tmp_path / "acdc", PATIENTS)


@pytest.fixture
def shifted(acdc: Path, tmp_path: Path) -> Path:
    """References moved by one voxel, so that nothing is perfect and nothing is empty."""
    folder = tmp_path / "shifted"
    folder.mkdir()
    for name, path in reference_masks(acdc).items():
        reference = load_label_volume(path)
        save_volume(reference.with_array(np.roll(reference.array, 1, axis=0)), folder / f"{name}.nii.gz")
    return folder


def test_the_references_themselves_are_perfect_predictions(acdc: Path) -> None:
    frame = evaluated(acdc, acdc).per_case
    assert tuple(frame.columns) == PER_CASE_COLUMNS
    assert (frame[["dice", "precision", "recall", "iou"]] == 1.0).all(axis=None)
    assert (frame[["confusion_ratio", "hd95_mm", "assd_mm"]] == 0.0).all(axis=None)
    assert (frame["volume_ml"] == frame["reference_volume_ml"]).all()


def test_rows_of_a_case_match_counts_made_by_hand(acdc: Path, shifted: Path) -> None:
    frame = evaluated(shifted, acdc).per_case
    row = frame[(frame["case"] == "patient001_frame01") & (frame["class"] == "LV")].iloc[0]
    # LV: 4 x 4 voxels on 2 slices, moved by one row: 4 of 16 are lost and 4 gained, on either slice
    assert row["dice"] == pytest.approx(2 * 24 / (32 + 32))
    assert row["confusion_ratio"] == pytest.approx(8 / 24)
    assert row["volume_ml"] == pytest.approx(32 * 1.5 * 1.5 * 10 / 1000)
    assert row["hd95_mm"] == pytest.approx(1.5)
    assert (row["patient"], row["phase"], row["group"]) == ("patient001", "ED", "DCM")


def test_every_overlap_agrees_with_plain_numpy(acdc: Path, shifted: Path) -> None:
    frame = evaluated(shifted, acdc).per_case.set_index(["case", "class"])
    for name, path in reference_masks(acdc).items():
        true, predicted = load_label_volume(path).array, load_label_volume(shifted / f"{name}.nii.gz").array
        for label, structure in enumerate(("RV", "MYO", "LV"), start=1):
            hits = np.sum((true == label) & (predicted == label))
            sizes = np.sum(true == label) + np.sum(predicted == label)
            assert frame.loc[(name, structure), "dice"] == pytest.approx(2 * hits / sizes)
            assert frame.loc[(name, structure), "iou"] == pytest.approx(hits / (sizes - hits))


def test_the_three_aggregations_differ_and_carry_their_names(tmp_path: Path) -> None:
    """Volume a: 1 of 1 voxel right. Volume b: 10 voxels on slice 0, none found; 10 on slice 1, all found."""
    like = volume(FakePatient(grid=(10, 2, 2)), np.zeros((10, 2, 2), np.uint8))
    truth = {name: like.array.copy() for name in "ab"}
    truth["a"][0, 0, 0] = 1
    truth["b"][:, 0, :] = 1
    predicted = {"a": truth["a"].copy(), "b": truth["b"].copy()}
    predicted["b"][:, 0, 0] = 0
    for folder, arrays in (("truth", truth), ("ours", predicted)):
        (tmp_path / folder).mkdir()
        for name, array in arrays.items():
            save_volume(like.with_array(array), tmp_path / folder / f"{name}.nii.gz")
    scores = evaluated(tmp_path / "ours", tmp_path / "truth", "heart").scores
    assert scores[PER_CASE]["heart"]["dice"].estimate == pytest.approx((1 + 20 / 30) / 2)
    assert scores[POOLED]["heart"]["dice"].estimate == pytest.approx(2 * 11 / (11 + 21))
    per_slice = scores[PER_SLICE]["heart"]["dice"]
    assert per_slice.estimate == pytest.approx((1 + 0 + 1) / 3)
    assert (per_slice.n, per_slice.undefined) == (3, 1)  # slice 1 of volume a is empty in both


def test_missed_and_absent_structures_are_counted_never_zero_or_one(acdc: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name, path in reference_masks(acdc).items():
        reference = load_label_volume(path)
        save_volume(reference.with_array(np.zeros_like(reference.array)), folder / f"{name}.nii.gz")
    scores = evaluated(folder, acdc, "heart").scores[PER_CASE]["heart"]
    assert scores["dice"].estimate == 0.0
    assert (scores["precision"].n, scores["precision"].undefined) == (0, 6)
    assert (scores["hd95_mm"].n, scores["hd95_mm"].infinite) == (0, 6)
    assert math.isnan(scores["confusion_ratio"].estimate)


def test_phases_and_groups_hold_their_own_volumes(acdc: Path, shifted: Path) -> None:
    evaluation = evaluated(shifted, acdc, "lv")
    assert {phase: scores["LV"]["dice"].n for phase, scores in evaluation.by_phase.items()} == {"ED": 3, "ES": 3}
    assert {group: scores["LV"]["dice"].n for group, scores in evaluation.by_group.items()} == {
        "DCM": 2,
        "HCM": 2,
        "MINF": 2,
    }
    assert (evaluation.cases, evaluation.patients, evaluation.slices) == (6, 3, 24)


def test_several_classes_get_a_mean_and_one_class_does_not(acdc: Path, shifted: Path) -> None:
    assert list(evaluated(shifted, acdc, "multi").scores[PER_CASE]) == ["RV", "MYO", "LV", MEAN_OF_CLASSES]
    assert set(evaluated(shifted, acdc, "lv").scores[PER_CASE]["LV"]) == set(METRICS)


def test_the_union_of_classes_is_a_heart_only_where_they_are_its_parts(acdc: Path, shifted: Path) -> None:
    assert list(evaluated(shifted, acdc, baselines=True).targets) == ["heart", "RV", "MYO", "LV"]
    record = {"task": OWN_TASK, "classes": ["liver", "spleen", "aorta"]}
    (shifted / "prediction.json").write_text(json.dumps(record), encoding="utf-8")
    assert list(evaluated(shifted, acdc, OWN_TASK, baselines=True).targets) == [
        "all classes",
        "liver",
        "spleen",
        "aorta",
    ]


def test_overlays_show_best_median_and_worst(acdc: Path, shifted: Path) -> None:
    name = "patient002_frame01"
    (shifted / f"{name}.nii.gz").write_bytes(reference_masks(acdc)[name].read_bytes())
    overlays = evaluated(shifted, acdc).overlays
    assert [overlay.rank for overlay in overlays] == ["best", "median", "worst"]
    assert (overlays[0].case, overlays[0].dice) == (name, 1.0)
    assert all(piece.image is not None for overlay in overlays for piece in overlay.slices)


def test_a_single_case_is_shown_once(acdc: Path, shifted: Path) -> None:
    assert [overlay.rank for overlay in evaluated(shifted / "patient001_frame01.nii.gz", acdc).overlays] == ["best"]


def test_pictures_need_no_images(acdc: Path, shifted: Path) -> None:
    cases = [replace(case, image=None, study=None) for case in pair_cases(shifted, acdc).cases]
    evaluation = evaluate_cases(cases, "multi", device=CPU, resamples=10, baselines=False)
    assert all(piece.image is None for overlay in evaluation.overlays for piece in overlay.slices)


def test_another_shape_is_an_error_that_names_both_files(acdc: Path, shifted: Path) -> None:
    patient = FakePatient(grid=(40, 36, 5))
    save_volume(volume(patient, mask(patient, 1)), shifted / "patient001_frame01.nii.gz")
    with pytest.raises(EvaluationError, match=r"patient001_frame01\.nii\.gz and .*_gt\.nii\.gz differ in shape"):
        evaluated(shifted, acdc)


def test_another_affine_is_an_error_that_names_both_files(acdc: Path, shifted: Path) -> None:
    patient = FakePatient(affine=((1.5, 0, 0, 0), (0, -1.5, 0, 0), (0, 0, 10, 0), (0, 0, 0, 1)))
    save_volume(volume(patient, mask(patient, 1)), shifted / "patient001_frame01.nii.gz")
    with pytest.raises(EvaluationError, match=r"patient001_frame01\.nii\.gz and .*_gt\.nii\.gz differ in affine"):
        evaluated(shifted, acdc)


def test_unknown_codes_are_an_error_that_names_both_files(acdc: Path, shifted: Path) -> None:
    save_volume(volume(PATIENTS[0], mask(PATIENTS[0], 1) * 2), shifted / "patient001_frame01.nii.gz")
    with pytest.raises(EvaluationError, match=r"patient001_frame01\.nii\.gz: codes \[4, 6\].*_gt\.nii\.gz"):
        evaluated(shifted, acdc)


def test_a_truncated_file_is_an_error_that_names_it(acdc: Path, shifted: Path) -> None:
    path = shifted / "patient001_frame01.nii.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(VolumeError, match=r"patient001_frame01\.nii\.gz"):
        evaluated(shifted, acdc)


def test_no_case_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no case"):
        evaluate_cases([], "heart", device=CPU)


@pytest.mark.gpu
def test_counts_on_the_gpu_are_those_of_the_cpu(acdc: Path, shifted: Path) -> None:
    cases = pair_cases(shifted, acdc).cases
    on_gpu, on_cpu = (
        evaluate_cases(cases, "multi", device=torch.device(name), resamples=50, baselines=False)
        for name in ("cuda", "cpu")
    )
    assert on_gpu.scores == on_cpu.scores


@pytest.mark.parametrize("labelled", [(), (0,), (0, 1)], ids=["nothing", "a corner", "two corners"])
def test_counts_around_the_labels_are_those_of_the_whole_volume(labelled: tuple[int, ...]) -> None:
    rng, arrays = np.random.default_rng(0), np.zeros((2, 12, 9, 4), np.uint8)
    for index in labelled:
        arrays[index, 2 * index : 5, 3:7, 1:] = rng.integers(0, 4, (5 - 2 * index, 4, 3))
    case = Case("", "", Path(), Path(), ACDC_TASKS["multi"], ACDC_TASKS["multi"])
    pair = LabelPair(case, *(on_grid(array) for array in arrays))
    predicted, true = (torch.from_numpy(slices_of(on_grid(array)).array) for array in arrays)
    plain = torch.stack([confusion_matrix(p, t, classes=4) for p, t in zip(predicted, true, strict=True)])
    assert torch.equal(slice_matrices(pair, 4, CPU), plain)
    assert plain.sum() == arrays[0].size
