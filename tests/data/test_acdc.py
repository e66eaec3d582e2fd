from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.acdc import FakePatient, fake_patients, image, mask, volume, write_acdc

from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.study import case_id, load_frame, load_reference
from medwsss.errors import DatasetError, MedwsssWarning, VolumeError
from medwsss.labels import ACDC_TASKS
from medwsss.volumes.io import save_volume

MULTI = ACDC_TASKS["multi"]
PATIENT = FakePatient()


def first_mask(root: Path) -> Path:
    return reference_masks(root)["patient001_frame01"]


@pytest.mark.parametrize("below", ["", "training", "testing"])
def test_the_root_one_part_of_it_and_a_flat_folder_are_all_found(tmp_path: Path, below: str) -> None:
    write_acdc(tmp_path, fake_patients(2), part=below)
    for root in {tmp_path, tmp_path / below}:
        assert [study.patient for study in find_studies(root)] == ["patient001", "patient002"]


def test_training_and_testing_below_one_root_are_joined(tmp_path: Path) -> None:
    write_acdc(tmp_path, [FakePatient(number=101)], part="testing")
    write_acdc(tmp_path, [FakePatient(number=7)])
    assert [study.patient for study in find_studies(tmp_path)] == ["patient007", "patient101"]


def test_a_patient_in_both_parts_is_refused(tmp_path: Path) -> None:
    write_acdc(tmp_path, [PATIENT])
    write_acdc(tmp_path, [PATIENT], part="testing")
    with pytest.raises(DatasetError, match="patient001 is there twice"):
        find_studies(tmp_path)


def test_phases_come_from_info_cfg_and_not_from_frame01(tmp_path: Path) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [replace(PATIENT, ed=4, es=11)]))
    assert {phase: frame.number for phase, frame in study.frames.items()} == {"ED": 4, "ES": 11}
    assert case_id(study, "ED") == "patient001_frame04"
    assert study.frames["ES"].path.name == "patient001_frame11.nii.gz"


def test_info_cfg_tells_group_height_weight_and_frame_count(tmp_path: Path) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [replace(PATIENT, group="HCM")]))
    assert (study.group, study.height_cm, study.weight_kg, study.frame_count) == ("HCM", 170.0, 70.0, 4)


def test_optional_keys_may_be_missing_from_info_cfg(tmp_path: Path) -> None:
    write_acdc(tmp_path, [PATIENT])
    (tmp_path / "training/patient001/Info.cfg").write_text("ED: 1\nES: 3\nWeight: heavy\n")
    (study,) = find_studies(tmp_path)
    assert (study.group, study.height_cm, study.weight_kg, study.frame_count) == ("unknown", None, None, None)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_frame_keeps_its_voxels_spacing_and_affine(tmp_path: Path, suffix: str) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [replace(PATIENT, suffix=suffix)]))
    frame = load_frame(study.frames["ED"])
    np.testing.assert_array_equal(frame.array, image(PATIENT, 1))
    assert frame.spacing_mm == (1.5, 1.5, 10.0)
    np.testing.assert_allclose(frame.affine, np.diag([-1.5, -1.5, 10.0, 1.0]))


def test_a_missing_frame_file_is_taken_from_the_cine(tmp_path: Path) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [replace(PATIENT, frame_files=("ED",), cine=True)]))
    assert study.frames["ED"].time_index is None
    assert study.frames["ES"].time_index == 3 - 1
    assert study.frames["ES"].path == study.cine
    np.testing.assert_array_equal(load_frame(study.frames["ES"]).array, image(PATIENT, 3))


def test_a_frame_beyond_the_end_of_the_cine_is_refused(tmp_path: Path) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [replace(PATIENT, es=9, frame_files=("ED",), cine=True)]))
    with pytest.raises(DatasetError, match=r"has 4 time points, Info\.cfg names frame 9"):
        load_frame(study.frames["ES"])


def test_a_frame_file_with_several_time_points_is_refused(tmp_path: Path) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [PATIENT]))
    frames = np.stack([image(PATIENT, 1), image(PATIENT, 2)], axis=-1)
    save_volume(volume(PATIENT, frames), study.frames["ED"].path)
    with pytest.raises(DatasetError, match="has 2 time points where one frame was expected"):
        load_frame(study.frames["ED"])


def test_a_missing_folder_and_a_folder_without_patients_say_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        find_studies(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"no patientNNN folder in .*--root"):
        find_studies(tmp_path)


def test_half_a_patient_is_left_out_with_a_warning_that_names_it(tmp_path: Path) -> None:
    write_acdc(tmp_path, [PATIENT, FakePatient(number=2, frame_files=("ED",))])
    with pytest.warns(MedwsssWarning, match=r"patient002 is left out: ES \(frame 03\)"):
        assert [study.patient for study in find_studies(tmp_path)] == ["patient001"]


def test_only_half_patients_is_an_error(tmp_path: Path) -> None:
    write_acdc(tmp_path, [replace(PATIENT, frame_files=())])
    with (
        pytest.warns(MedwsssWarning, match=r"patient001 is left out: ED .* and ES "),
        pytest.raises(DatasetError, match=r"no patient in .* has both"),
    ):
        find_studies(tmp_path)


@pytest.mark.parametrize("key", ["ed", "es"])
def test_a_patient_whose_info_cfg_names_one_phase_is_left_out_and_the_others_stay(tmp_path: Path, key: str) -> None:
    write_acdc(tmp_path, [PATIENT, FakePatient(number=2, **{key: None})])  # type: ignore[arg-type]
    with pytest.warns(
        MedwsssWarning, match=rf"patient002 is left out: .*patient002/Info\.cfg has no key {key.upper()}"
    ):
        assert [study.patient for study in find_studies(tmp_path)] == ["patient001"]


def test_info_cfg_without_any_phase_is_refused(tmp_path: Path) -> None:
    write_acdc(tmp_path, [replace(PATIENT, ed=None, es=None)])
    with pytest.raises(DatasetError, match=r"patient001/Info\.cfg has neither key ED nor ES: add"):
        find_studies(tmp_path)


def test_a_missing_info_cfg_is_named(tmp_path: Path) -> None:
    write_acdc(tmp_path, [PATIENT])
    (tmp_path / "training/patient001/Info.cfg").unlink()
    with pytest.raises(DatasetError, match=r"patient001/Info\.cfg is missing"):
        find_studies(tmp_path)


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "first"])
def test_a_phase_that_is_no_frame_number_is_refused(tmp_path: Path, value: str) -> None:
    write_acdc(tmp_path, [PATIENT])
    (tmp_path / "training/patient001/Info.cfg").write_text(f"ED: {value}\nES: 3\n")
    with pytest.raises(DatasetError, match=r"Info\.cfg: ED is .* not a frame number"):
        find_studies(tmp_path)


def test_a_truncated_file_is_a_volume_error(tmp_path: Path) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [PATIENT]))
    path = study.frames["ED"].path
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(VolumeError, match="patient001_frame01"):
        load_frame(study.frames["ED"])


def test_masks_are_found_by_case_and_a_study_knows_none(tmp_path: Path) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [replace(PATIENT, cine=True)]))
    assert set(reference_masks(tmp_path)) == {"patient001_frame01", "patient001_frame03"}
    assert "_gt" not in repr(study)


def test_a_reference_is_translated_to_the_labels_of_the_task(tmp_path: Path) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [PATIENT]))
    like = load_frame(study.frames["ED"])
    codes = mask(PATIENT, 1)
    np.testing.assert_array_equal(load_reference(first_mask(tmp_path), like, MULTI), codes)
    np.testing.assert_array_equal(load_reference(first_mask(tmp_path), like, ACDC_TASKS["lv"]), codes == 3)
    np.testing.assert_array_equal(load_reference(first_mask(tmp_path), like, ACDC_TASKS["heart"]), codes > 0)


def test_a_mask_of_another_shape_affine_or_with_unknown_codes_is_refused(tmp_path: Path) -> None:
    (study,) = find_studies(write_acdc(tmp_path, [PATIENT]))
    path, like, codes = first_mask(tmp_path), load_frame(study.frames["ED"]), mask(PATIENT, 1)

    save_volume(volume(PATIENT, codes[:, :, :3]), path)
    with pytest.raises(DatasetError, match=r"frame01_gt.* has shape \(40, 36, 3\), its frame has \(40, 36, 4\)"):
        load_reference(path, like, MULTI)

    shifted = volume(PATIENT, codes)
    save_volume(replace(shifted, affine=shifted.affine + np.eye(4, k=3) * 2), path)
    with pytest.raises(DatasetError, match=r"frame01_gt.* another affine .*by up to 2"):
        load_reference(path, like, MULTI)

    codes[0, 0, 0] = 7
    save_volume(volume(PATIENT, codes), path)
    with pytest.raises(DatasetError, match=r"frame01_gt.*codes \[7\]"):
        load_reference(path, like, MULTI)
