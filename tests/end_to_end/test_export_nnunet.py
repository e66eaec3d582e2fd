"""Seeds become a training set for nnU-Net, through the real command line."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fakes.cine import write_beating_acdc
from fakes.command_line import medwsss


@pytest.fixture(scope="module")
def acdc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_beating_acdc(tmp_path_factory.mktemp("nnunet") / "acdc", patients=3)


@pytest.fixture(scope="module")
def seeds(acdc: Path) -> Path:
    answer = medwsss("seeds", acdc, "--out", acdc.parent / "seeds", "--task", "multi")
    assert answer.code == 0, answer.err
    return acdc.parent / "seeds"


def test_images_labels_and_splits_fit_each_other(acdc: Path, seeds: Path, tmp_path: Path) -> None:
    answer = medwsss("export", "nnunet", seeds, "--root", acdc, "--out", tmp_path, "--folds", 3)
    assert answer.code == 0, answer.err
    assert "6 volumes in" in answer.out
    folder = tmp_path / "Dataset501_Heart"
    described = json.loads((folder / "dataset.json").read_text())
    images = sorted(path.name.removesuffix("_0000.nii.gz") for path in (folder / "imagesTr").iterdir())
    labels = sorted(path.name.removesuffix(".nii.gz") for path in (folder / "labelsTr").iterdir())
    assert images == labels
    assert described["numTraining"] == len(images) == 6
    for name in labels:
        image, label = nib.load(folder / f"imagesTr/{name}_0000.nii.gz"), nib.load(folder / f"labelsTr/{name}.nii.gz")
        assert image.shape == label.shape
        np.testing.assert_array_equal(image.affine, label.affine)
        assert set(np.unique(np.asanyarray(label.dataobj))) <= set(described["labels"].values())
    splits = json.loads((folder / "splits_final.json").read_text())
    assert sorted(name for fold in splits for name in fold["val"]) == labels


def test_confident_voxels_keep_their_seed_and_the_others_are_ignored(acdc: Path, seeds: Path, tmp_path: Path) -> None:
    assert medwsss("export", "nnunet", seeds, "--root", acdc, "--out", tmp_path, "--folds", 2).code == 0
    name = "patient001_frame01"
    seed, weight, label = (
        np.asanyarray(nib.load(path).dataobj)
        for path in (
            seeds / f"labels/{name}.nii.gz",
            seeds / f"weights/{name}.nii.gz",
            tmp_path / f"Dataset501_Heart/labelsTr/{name}.nii.gz",
        )
    )
    np.testing.assert_array_equal(label, np.where(weight >= 0.5, seed, 4))
    assert 0 < (label == 4).mean() < 0.5


@pytest.mark.parametrize(("column", "cell"), [("", ""), ("file,", "training/patient001/patient001_frame01.nii.gz,")])
def test_slices_tagged_empty_are_background(acdc: Path, seeds: Path, tmp_path: Path, column: str, cell: str) -> None:
    table = tmp_path / "tags.csv"  # of slices, or of studies
    lines = (f"patient,{column}phase,slice,RV,MYO,LV", f"patient001,{cell}ED,0,0,0,0", f"patient001,{cell}ED,1,1,1,1")
    table.write_text("\n".join(lines))
    answer = medwsss("export", "nnunet", seeds, "--root", acdc, "--out", tmp_path, "--folds", 2, "--tags", table)
    assert answer.code == 0, answer.err
    label = np.asanyarray(nib.load(tmp_path / "Dataset501_Heart/labelsTr/patient001_frame01.nii.gz").dataobj)
    assert not label[..., 0].any()
    assert label[..., 1].any()


def test_what_cannot_be_exported_is_one_line(acdc: Path, seeds: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((tmp_path, "--root", acdc), "holds no complete pseudo-labels"),
        ((seeds, "--root", tmp_path), "no patientNNN folder"),
        ((seeds, "--root", acdc, "--number", 1000), "from 1 to 999"),
        ((seeds, "--root", acdc, "--folds", 9), "cannot be cut into 9 folds"),
    ):
        answer = medwsss("export", "nnunet", *arguments, "--out", tmp_path / "out")
        assert answer.code == 2
        assert message in answer.err
        assert answer.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_export_that_fails_in_the_middle_leaves_nothing(acdc: Path, seeds: Path, tmp_path: Path) -> None:
    shutil.copytree(seeds, tmp_path / "seeds")
    last = sorted((tmp_path / "seeds/weights").iterdir())[-1]
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4)), last)
    answer = medwsss("export", "nnunet", tmp_path / "seeds", "--root", acdc, "--out", tmp_path / "out", "--folds", 2)
    assert answer.code == 2
    assert "are on different grids" in answer.err
    assert not list((tmp_path / "out").iterdir())
