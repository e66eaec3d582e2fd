from pathlib import Path

import pytest
import torch
from fakes.acdc import FakePatient, fake_patients, write_acdc
from fakes.voc import write_voc

from medwsss.config.data import AcdcDataConfig, PhotographDataConfig
from medwsss.config.pretraining import PretrainingConfig
from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.loading import load_acdc
from medwsss.data.sample import Draw
from medwsss.data.unlabelled import UnlabelledData, UnlabelledSlices, frames_of, unlabelled_data

NO_SETTINGS = PretrainingConfig()


def config(folder: Path) -> AcdcDataConfig:
    return AcdcDataConfig.model_validate({"cache_dir": folder / "cache", "grid": {"crop": 32}})


def patients_of(data: UnlabelledData) -> set[str]:
    assert isinstance(data.samples, UnlabelledSlices)
    return {key.patient for key in data.samples.keys}


def test_the_patients_are_those_that_train_and_no_mask_is_needed(tmp_path: Path) -> None:
    root = write_acdc(tmp_path / "data", fake_patients(6))
    labelled = load_acdc(config(tmp_path), root, tmp_path / "tags.csv")
    for path in reference_masks(root).values():
        path.unlink()
    data = unlabelled_data(config(tmp_path), root, NO_SETTINGS)
    assert data.split == labelled.split
    assert patients_of(data) == set(labelled.split.train)
    assert f"the {len(labelled.split.held_out)} held out are not seen" in data.seen


def test_images_of_held_out_patients_are_not_even_opened(tmp_path: Path) -> None:
    root = write_acdc(tmp_path / "data", fake_patients(6))
    held_out = unlabelled_data(config(tmp_path), root, NO_SETTINGS).split.held_out
    for patient in held_out:
        for path in (root / "training" / patient).glob("*_frame??.nii.gz"):
            path.write_bytes(b"not an image")
    data = unlabelled_data(config(tmp_path), root, NO_SETTINGS)
    assert not patients_of(data) & set(held_out)


def test_all_patients_are_seen_on_request_and_that_is_told(tmp_path: Path) -> None:
    root = write_acdc(tmp_path / "data", fake_patients(6))
    data = unlabelled_data(config(tmp_path), root, PretrainingConfig(all_patients=True))
    assert patients_of(data) == {f"patient{number:03d}" for number in range(1, 7)}
    assert data.seen == "48 slices of 12 frames, of all 6 patients: also of those held out"  # 6 · 2 phases · 4 slices


def test_slices_are_those_that_training_sees_under_the_same_draw(tmp_path: Path) -> None:
    root = write_acdc(tmp_path / "data", fake_patients(6))
    labelled = load_acdc(config(tmp_path), root, tmp_path / "tags.csv").training_set()
    bare = unlabelled_data(config(tmp_path), root, NO_SETTINGS).samples
    assert isinstance(bare, UnlabelledSlices)
    assert bare.keys == labelled.keys
    assert len(bare) == len(labelled)
    first, second = bare[Draw(5, 7)], labelled[Draw(5, 7)]
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.box, second.box)
    assert first.image_labels.shape == (0,)


def test_all_frames_of_a_cine_are_there_once_and_patients_without_have_two(tmp_path: Path) -> None:
    write_acdc(tmp_path / "data", [FakePatient(number=1, cine=True), FakePatient(number=2)])
    frames = frames_of(find_studies(tmp_path / "data"), "all")
    assert list(frames) == [
        ("patient001", "ED"), ("patient001", "ES"), ("patient001", "frame02"), ("patient001", "frame04"),
        ("patient002", "ED"), ("patient002", "ES"),
    ]  # fmt: skip
    assert frames["patient001", "frame04"].time_index == 3
    assert list(frames_of(find_studies(tmp_path / "data"), "ed-es")) == [
        (patient, phase) for patient in ("patient001", "patient002") for phase in ("ED", "ES")
    ]


@pytest.mark.parametrize(("all_patients", "count"), [(False, "train"), (True, "both")])
def test_photographs_need_no_annotation(tmp_path: Path, all_patients: bool, count: str) -> None:
    root = write_voc(tmp_path / "voc")
    for folder in ("Annotations", "SegmentationClass", "SegmentationClassAug"):
        for path in (root / folder).glob("*") if (root / folder).is_dir() else ():
            path.unlink()
    settings = PretrainingConfig(all_patients=all_patients)
    data = unlabelled_data(PhotographDataConfig(name="voc", crop=32), root, settings)
    expected = len(data.split.train) + (len(data.split.held_out) if count == "both" else 0)
    assert len(data.samples) == expected
    assert data.samples[Draw(0, 1)].image.shape == (3, 32, 32)
