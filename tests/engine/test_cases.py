import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.acdc import FakePatient, fake_patients, image, mask, volume, write_acdc

from medwsss.cli.evaluate_volumes import refuse_photographs
from medwsss.data.acdc import reference_masks
from medwsss.data.pseudo_folder import PseudoFolder, PseudoRecord, write_pseudo_record
from medwsss.engine import cases as cases_module
from medwsss.engine.cases import Pairing, label_files, pair_cases
from medwsss.errors import EvaluationError
from medwsss.volumes.io import save_volume

PATIENT = FakePatient()


def save(path: Path, codes: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_volume(volume(PATIENT, codes.astype(np.uint8)), path)


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    return write_acdc(tmp_path / "acdc", fake_patients(2))


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """Both frames of patient 1, whole heart as 1."""
    for number in (1, 3):
        save(tmp_path / "predictions" / f"patient001_frame{number:02d}.nii.gz", mask(PATIENT, number) > 0)
    return tmp_path / "predictions"


def labels_of(pairing: Pairing, code: int) -> int:
    return pairing.cases[0].prediction_codes.codes[code]


def test_an_acdc_root_tells_patient_phase_group_and_images(acdc: Path, predictions: Path) -> None:
    cases = pair_cases(predictions, acdc).cases
    assert [(case.name, case.patient, case.phase, case.group) for case in cases] == [
        ("patient001_frame01", "patient001", "ED", "DCM"),
        ("patient001_frame03", "patient001", "ES", "DCM"),
    ]
    assert all(case.image is not None and case.study is not None for case in cases)


def test_files_without_partner_are_named_on_both_sides(acdc: Path, predictions: Path) -> None:
    save(predictions / "stranger.nii", mask(PATIENT, 1) > 0)
    sources = pair_cases(predictions, acdc).sources
    assert sources.unmatched_predictions == ("stranger",)
    assert sources.unmatched_references == ("patient002_frame01", "patient002_frame03")


@pytest.mark.parametrize("name", ["a_frame1_pred.nii", "a_frame1_SEG.nii.gz", "a_frame1_label.nii", "a_frame1.nii.gz"])
def test_suffixes_of_label_files_do_not_matter(tmp_path: Path, name: str) -> None:
    save(tmp_path / "ours" / name, mask(PATIENT, 1) > 0)
    save(tmp_path / "theirs" / "a_frame1_gt.nii.gz", mask(PATIENT, 1))
    (case,) = pair_cases(tmp_path / "ours", tmp_path / "theirs").cases
    assert (case.name, case.patient, case.phase, case.group) == ("a_frame1", "a", "", "")


def test_phases_as_in_acdc_submissions_find_their_frames(acdc: Path, tmp_path: Path) -> None:
    save(tmp_path / "ours" / "patient002_ES.nii.gz", mask(PATIENT, 3) > 0)
    assert [case.name for case in pair_cases(tmp_path / "ours", acdc).cases] == ["patient002_frame03"]


def test_one_file_can_be_evaluated_alone(acdc: Path, predictions: Path) -> None:
    pairing = pair_cases(predictions / "patient001_frame01.nii.gz", acdc)
    assert [case.name for case in pairing.cases] == ["patient001_frame01"]


def test_a_folder_of_images_and_masks_gives_the_masks(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", mask(PATIENT, 1))
    save(tmp_path / "a_gt.nii.gz", mask(PATIENT, 1))
    assert label_files(tmp_path) == {"a": tmp_path / "a_gt.nii.gz"}


def test_two_label_files_of_one_name_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a_gt.nii.gz", mask(PATIENT, 1))
    save(tmp_path / "a_seg.nii.gz", mask(PATIENT, 1))
    with pytest.raises(EvaluationError, match="both named a"):
        label_files(tmp_path)


def test_images_are_found_by_name_in_a_folder_of_their_own(tmp_path: Path) -> None:
    save(tmp_path / "ours" / "a.nii.gz", mask(PATIENT, 1) > 0)
    save(tmp_path / "theirs" / "a_gt.nii.gz", mask(PATIENT, 1))
    (tmp_path / "images").mkdir()
    save_volume(volume(PATIENT, image(PATIENT, 1)), tmp_path / "images" / "a_0000.nii.gz")
    (case,) = pair_cases(tmp_path / "ours", tmp_path / "theirs", images=tmp_path / "images").cases
    assert case.image is not None
    assert case.image.path.name == "a_0000.nii.gz"


def test_an_acdc_root_of_images_gives_phases_to_plain_folders(acdc: Path, predictions: Path, tmp_path: Path) -> None:
    for name, path in reference_masks(acdc).items():
        (tmp_path / "theirs").mkdir(exist_ok=True)
        (tmp_path / "theirs" / f"{name}_gt.nii.gz").write_bytes(path.read_bytes())
    cases = pair_cases(predictions, tmp_path / "theirs", images=acdc).cases
    assert [case.phase for case in cases] == ["ED", "ES"]


def test_nothing_in_common_is_an_error_that_shows_both_names(acdc: Path, tmp_path: Path) -> None:
    save(tmp_path / "ours" / "case7.nii.gz", mask(PATIENT, 1))
    with pytest.raises(EvaluationError, match=r"case7.*patient001_frame01.*rename"):
        pair_cases(tmp_path / "ours", acdc)


def test_missing_and_empty_folders_are_errors(acdc: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="neither a file nor a folder"):
        pair_cases(tmp_path / "nowhere", acdc)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match="holds no label files"):
        pair_cases(tmp_path / "empty", acdc)


def test_the_task_follows_the_numbers_in_the_predictions(acdc: Path, predictions: Path) -> None:
    assert pair_cases(predictions, acdc).task == "heart"
    save(predictions / "patient001_frame01.nii.gz", mask(PATIENT, 1))
    assert pair_cases(predictions, acdc).task == "multi"


def test_numbers_beyond_the_task_are_read_as_acdc_codes_and_the_report_says_so(acdc: Path, predictions: Path) -> None:
    save(predictions / "patient001_frame01.nii.gz", mask(PATIENT, 1))
    pairing = pair_cases(predictions, acdc, task="lv")
    assert [labels_of(pairing, code) for code in range(4)] == [0, 0, 0, 1]
    assert "ACDC codes" in pairing.sources.prediction_codes


def test_the_record_of_predict_decides_task_codes_and_tags(acdc: Path, predictions: Path) -> None:
    record = {"task": "lv", "classes": ["LV"], "tags": "tags.csv"}
    (predictions / "prediction.json").write_text(json.dumps(record))
    pairing = pair_cases(predictions, acdc)
    assert (pairing.task, labels_of(pairing, 1), pairing.sources.tags) == ("lv", 1, "tags.csv")


def test_predictions_of_one_structure_cannot_be_evaluated_as_another(acdc: Path, predictions: Path) -> None:
    (predictions / "prediction.json").write_text(json.dumps({"task": "lv", "tags": "none"}))
    with pytest.raises(EvaluationError, match="hold task lv"):
        pair_cases(predictions, acdc, task="heart")


def test_predictions_of_three_classes_can_be_evaluated_as_the_whole_heart(acdc: Path, predictions: Path) -> None:
    (predictions / "prediction.json").write_text(json.dumps({"task": "multi", "tags": "none"}))
    pairing = pair_cases(predictions, acdc, task="heart")
    assert [labels_of(pairing, code) for code in range(4)] == [0, 1, 1, 1]


@pytest.mark.parametrize(("name", "words"), [("last", "chosen by nothing"), ("best", "flatter"), (None, "not known")])
def test_a_checkpoint_chosen_on_held_out_patients_is_named(
    acdc: Path, predictions: Path, name: str | None, words: str
) -> None:
    record = {"task": "multi"} | ({"checkpoint": name} if name else {})
    (predictions / "prediction.json").write_text(json.dumps(record))
    assert words in pair_cases(predictions, acdc).sources.checkpoint


def test_names_alone_tell_patient_and_phase(tmp_path: Path, acdc: Path) -> None:
    reference = next(iter(reference_masks(acdc).values()))
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
        for name in ("anna_ED", "anna_ES", "bob_frame07", "carl"):
            shutil.copy(reference, tmp_path / folder / f"{name}.nii.gz")
    cases = pair_cases(tmp_path / "ours", tmp_path / "theirs").cases
    assert [(case.patient, case.phase) for case in cases] == [("anna", "ED"), ("anna", "ES"), ("bob", ""), ("carl", "")]


@pytest.mark.parametrize("content", ["{", "[]", '{"task": "liver"}', "{}"])
def test_a_damaged_record_is_an_error(acdc: Path, predictions: Path, content: str) -> None:
    (predictions / "prediction.json").write_text(content)
    with pytest.raises(EvaluationError, match=r"prediction\.json"):
        pair_cases(predictions, acdc)


def test_codes_can_be_given_in_words_and_choose_the_task(acdc: Path, predictions: Path) -> None:
    pairing = pair_cases(predictions, acdc, prediction_codes="1=LV, 2=myo,3=RV")
    assert pairing.task == "multi"
    assert [labels_of(pairing, code) for code in range(4)] == [0, 3, 2, 1]
    assert pair_cases(predictions, acdc, prediction_codes="5=LV").task == "lv"


def test_codes_of_the_reference_can_be_given_too(acdc: Path, predictions: Path) -> None:
    (case, _) = pair_cases(predictions, acdc, task="heart", truth_codes="3=heart,2=background").cases
    assert dict(case.reference_codes.codes) == {0: 0, 2: 0, 3: 1}


@pytest.mark.parametrize("codes", ["1", "x=LV", "1=liver", "", "999=LV"])
def test_codes_that_make_no_sense_are_an_error(acdc: Path, predictions: Path, codes: str) -> None:
    with pytest.raises(EvaluationError):
        pair_cases(predictions, acdc, task="heart", prediction_codes=codes)


def test_an_unknown_task_is_an_error(acdc: Path, predictions: Path) -> None:
    with pytest.raises(EvaluationError, match="unknown task 'liver'"):
        pair_cases(predictions, acdc, task="liver")


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A folder of pseudo-labels of two volumes, whole heart as 1, with weights; the second has no labels."""
    names = ("patient001_frame01", "patient001_frame03")
    record = PseudoRecord(
        "acdc", "heart", ("heart",), None, ".nii.gz", names, {"tags": "table tags.csv"}, {names[1]: ("nothing moves",)}
    )
    folder = PseudoFolder(tmp_path / "seeds", record)
    for name in names:
        save(folder.labels_file(name), mask(PATIENT, 1) > 0)
        save(folder.weights_file(name), mask(PATIENT, 1) > 0)
    (folder.root / "sheet.png").write_bytes(b"")
    write_pseudo_record(folder.root, record)
    return folder.root


def test_of_a_folder_of_pseudo_labels_those_that_have_labels_are_evaluated(acdc: Path, seeds: Path) -> None:
    (case,) = pair_cases(seeds, acdc).cases
    assert case.prediction == seeds / "labels" / "patient001_frame01.nii.gz"


def test_the_record_of_pseudo_labels_tells_task_codes_and_tags(acdc: Path, seeds: Path) -> None:
    pairing = pair_cases(seeds, acdc)
    assert (pairing.task, pairing.sources.tags) == ("heart", "table tags.csv")
    assert "as pseudo.json says" in pairing.sources.prediction_codes


def test_a_picture_beside_volumes_in_a_subfolder_does_not_make_photographs_of_them(seeds: Path) -> None:
    refuse_photographs(seeds)  # raises where it takes sheet.png for a label map


def test_a_data_set_is_looked_up_once(acdc: Path, predictions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder of cines without named phases every look reads all files."""
    looked: list[Path] = []
    find = cases_module.study_set
    monkeypatch.setattr(cases_module, "study_set", lambda root: looked.append(root) or find(root))
    pair_cases(predictions, predictions, images=acdc)
    assert looked.count(acdc) == 1
    looked.clear()
    pair_cases(predictions, acdc)
    assert looked.count(acdc) == 1
