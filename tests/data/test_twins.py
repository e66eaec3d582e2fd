"""One patient under two names, and other ways to test on what was trained on."""

import json
import shutil
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fakes.acdc import fake_patients, write_acdc

from medwsss.config.data import AcdcDataConfig, GridConfig, SplitConfig
from medwsss.data.loading import load_acdc
from medwsss.errors import MedwsssWarning, SplitError
from medwsss.volumes.io import load_volume, save_volume


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_acdc(tmp_path / "acdc", fake_patients(4))


def split_file(tmp_path: Path, train: list[str], held_out: list[str]) -> SplitConfig:
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": train, "held_out": held_out}))
    return SplitConfig(file=path)


def config(tmp_path: Path, train: str, held_out: str) -> AcdcDataConfig:
    """Numbers of the patients in both parts."""
    parts = [[f"patient{int(number):03d}" for number in numbers] for numbers in (train, held_out)]
    return AcdcDataConfig(
        task="lv", split=split_file(tmp_path, *parts), grid=GridConfig(crop=32), cache_dir=tmp_path / "cache"
    )


def copy_frame(root: Path, source: str, target: str, *, shift: float = 0.0) -> None:
    """The ED frame of one patient becomes that of another, with another header, and perhaps other grey values."""
    volume = load_volume(root / "training" / source / f"{source}_frame01.nii.gz")
    path = root / "training" / target / f"{target}_frame01.nii.gz"
    save_volume(volume.with_array(volume.array + shift), path)
    image = nib.load(path)
    image.header["pixdim"][4] = 0.07
    nib.save(image, path)


def test_one_patient_under_two_names_is_not_both_trained_on_and_held_out(root: Path, tmp_path: Path) -> None:
    copy_frame(root, "patient001", "patient004")
    with pytest.raises(SplitError, match="patient001 trains and patient004 is held out, but both hold the same voxels"):
        load_acdc(config(tmp_path, "123", "4"), root, tmp_path / "tags.csv")


def test_the_second_run_finds_it_in_the_cache(root: Path, tmp_path: Path) -> None:
    copy_frame(root, "patient001", "patient004")
    for _ in range(2):
        with pytest.raises(SplitError, match="same voxels"):
            load_acdc(config(tmp_path, "123", "4"), root, tmp_path / "tags.csv")


def test_twins_in_one_part_are_told_and_patients_left_out_do_not_count(root: Path, tmp_path: Path) -> None:
    copy_frame(root, "patient001", "patient004")
    with pytest.warns(MedwsssWarning, match="first patient001 and patient004"):
        load_acdc(config(tmp_path, "14", "23"), root, tmp_path / "tags.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error", MedwsssWarning)
        warnings.filterwarnings("ignore", ".*left unused", MedwsssWarning)
        load_acdc(config(tmp_path, "12", "3"), root, tmp_path / "tags.csv")


def test_images_that_differ_are_no_twins_and_constant_ones_prove_nothing(root: Path, tmp_path: Path) -> None:
    copy_frame(root, "patient001", "patient004", shift=1.0)
    for patient in ("patient002", "patient003"):
        path = root / "training" / patient / f"{patient}_frame03.nii.gz"
        volume = load_volume(path)
        save_volume(volume.with_array(np.zeros_like(volume.array)), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MedwsssWarning)
        warnings.filterwarnings("ignore", ".*constant|.*same value|.*one value", MedwsssWarning)
        load_acdc(config(tmp_path, "12", "34"), root, tmp_path / "tags.csv")


def test_frames_of_one_patient_cannot_be_put_on_two_sides(root: Path, tmp_path: Path) -> None:
    split = split_file(tmp_path, ["patient001_ED", "patient002", "patient003"], ["patient001_ES", "patient004"])
    with pytest.raises(SplitError, match="patient001_ED, patient001_ES are in the split but not in the data set"):
        load_acdc(AcdcDataConfig(task="lv", split=split), root, tmp_path / "tags.csv")


def test_a_copied_folder_of_a_patient_is_a_twin(root: Path, tmp_path: Path) -> None:
    folder = root / "training"
    shutil.copytree(folder / "patient001", folder / "patient009")
    for path in (folder / "patient009").iterdir():
        path.rename(path.with_name(path.name.replace("patient001", "patient009")))
    with pytest.raises(SplitError, match="patient009"):
        load_acdc(config(tmp_path, "123", "49"), root, tmp_path / "tags.csv")
