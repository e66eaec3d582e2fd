"""Volumes in mL and ejection fractions, in every file that a report writes, against counts of voxels."""

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from fakes.acdc import FakePatient, volume, write_acdc

from medwsss.data.acdc import find_studies
from medwsss.engine.cases import pair_cases
from medwsss.engine.evaluate import evaluate_cases
from medwsss.engine.unscored import describe_predictions
from medwsss.metrics.clinical import MUSCLE_G_PER_ML
from medwsss.reports.html import write_report
from medwsss.reports.unscored import write_unscored
from medwsss.volumes.io import save_volume

CODES = {"RV": 1, "MYO": 2, "LV": 3}
SHAPE = (11, 9, 4)


def rotation(*degrees: float) -> np.ndarray:
    """Around x, then y, then z."""
    turned = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        step = np.eye(3)
        first, second = (other for other in range(3) if other != axis)
        step[[first, first, second, second], [first, second, first, second]] = [
            math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
        ]  # fmt: skip
        turned = step @ turned
    return turned


GRIDS = {
    "anisotropic": np.diag([-1.5625, -1.25, 10.0]),
    "no step is a binary fraction": np.diag([-0.1, 1.0 / 3.0, math.pi]),
    "oblique": rotation(20.0, -35.0, 50.0) @ np.diag([0.7, 1.1, 8.3]),
    "oblique, no step is a binary fraction": rotation(3.0, 44.0, -71.0) @ np.diag([1.0 / 3.0, math.sqrt(2.0), 9.9]),
    "axes in another order": np.diag([0.9, 7.7, 1.1])[[2, 0, 1]],
    "mirrored": np.diag([1.3, -1.7, -6.1]),
    "axes lean": rotation(10.0, 0.0, 30.0) @ np.array([[1.2, 0, 0], [0, 1.3, 2.0], [0, 0, 6.0]]),
}


def write_labels(path: Path, axes_mm: np.ndarray, *, seed: int, likely: float) -> dict[str, float]:
    """Random labels, the cavities with probability ``likely``; returns mL by class, from the file as another reads it.

    NIfTI stores its affine in single precision, so the determinant is taken of what was stored.
    """
    affine = np.eye(4)
    affine[:3, :3] = axes_mm
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, size=SHAPE, p=[0.8 - 2 * likely, likely, 0.2, likely]).astype(np.uint8)
    image = nib.Nifti1Image(labels, affine)
    nib.save(image, path)
    stored = nib.load(path)
    voxel_mm3 = abs(np.linalg.det(stored.affine[:3, :3]))
    counts = np.bincount(np.asarray(stored.dataobj).ravel(), minlength=4)
    return {name: int(counts[code]) * voxel_mm3 / 1000.0 for name, code in CODES.items()}


def write_both_phases(folder: Path, axes_mm: np.ndarray, *, seed: int) -> dict[str, dict[str, float]]:
    """Volumes p1_ED, p1_ES, ...; the cavities are larger at end-diastole. Returns mL by case and class."""
    folder.mkdir()
    return {
        f"{patient}_{phase}": write_labels(
            folder / f"{patient}_{phase}.nii.gz", axes_mm, seed=seed + 2 * number + place, likely=(0.3, 0.15)[place]
        )
        for number, patient in enumerate(("p1", "p2", "p3"))
        for place, phase in enumerate(("ED", "ES"))
    }


def check_patients(found: pd.DataFrame, volumes: dict[str, dict[str, float]], suffix: str = "") -> None:
    """The clinical numbers of a file, as they follow from volumes by case and class."""
    assert list(found.index) == ["p1", "p2", "p3"]
    for patient, row in found.iterrows():
        early, late = volumes[f"{patient}_ED"], volumes[f"{patient}_ES"]
        for cavity in ("LV", "RV"):
            ejected = early[cavity] - late[cavity]
            expected = (early[cavity], late[cavity], ejected, 100.0 * ejected / early[cavity])
            shown = [row[f"{cavity} {name}{suffix}"] for name in ("EDV", "ESV", "SV", "EF")]
            assert shown == pytest.approx(expected, rel=1e-6)
        assert row[f"LV mass{suffix}"] == pytest.approx(MUSCLE_G_PER_ML * early["MYO"], rel=1e-6)


@pytest.mark.parametrize("axes_mm", GRIDS.values(), ids=GRIDS)
def test_a_report_counts_voxels_times_the_determinant_of_the_affine(axes_mm: np.ndarray, tmp_path: Path) -> None:
    predicted = write_both_phases(tmp_path / "ours", axes_mm, seed=0)
    reference = write_both_phases(tmp_path / "theirs", axes_mm, seed=100)
    pairing = pair_cases(tmp_path / "ours", tmp_path / "theirs", task="multi")
    found = evaluate_cases(pairing.cases, "multi", device=torch.device("cpu"), resamples=10, baselines=False)
    write_report(found, tmp_path / "out", sources=pairing.sources, title="x")
    table = pd.read_csv(tmp_path / "out" / "per_case.csv")
    assert len(table) == 6 * 3
    for row in table.to_dict("records"):
        case, name = row["case"], row["class"]
        assert row["volume_ml"] == pytest.approx(predicted[case][name], rel=1e-6)
        assert row["reference_volume_ml"] == pytest.approx(reference[case][name], rel=1e-6)
    patients = pd.read_csv(tmp_path / "out" / "clinical.csv", index_col="patient")
    check_patients(patients, predicted)
    check_patients(patients, reference, " reference")


@pytest.mark.parametrize("axes_mm", GRIDS.values(), ids=GRIDS)
def test_a_report_without_masks_counts_the_same(axes_mm: np.ndarray, tmp_path: Path) -> None:
    predicted = write_both_phases(tmp_path / "ours", axes_mm, seed=0)
    write_unscored(describe_predictions(tmp_path / "ours", task="multi"), tmp_path / "out", title="x", notes={})
    table = pd.read_csv(tmp_path / "out" / "volumes.csv")
    assert len(table) == 6 * 3
    for row in table.to_dict("records"):
        assert row["volume_ml"] == pytest.approx(predicted[row["case"]][row["class"]], rel=1e-6)
    check_patients(pd.read_csv(tmp_path / "out" / "clinical.csv", index_col="patient"), predicted)


def write_beating(root: Path, *, ed: int, es: int, growing: bool = False) -> Path:
    """An ACDC patient whose left cavity has 36 voxels at end-diastole and 9 at end-systole, or the reverse."""
    patient = FakePatient(number=1, ed=ed, es=es)
    write_acdc(root, [patient])
    sides = (3, 6) if growing else (6, 3)
    study = find_studies(root)[0]
    for phase, side in zip(("ED", "ES"), sides, strict=True):
        labels = np.zeros(patient.grid, np.uint8)
        labels[5 : 5 + side, 5 : 5 + side, 1] = 3
        path = study.frames[phase].path
        save_volume(volume(patient, labels), path.with_name(path.name.replace(".nii", "_gt.nii")))
    return root


@pytest.mark.parametrize(("ed", "es"), [(1, 3), (3, 1)])
@pytest.mark.parametrize(("growing", "fraction"), [(False, 100 * (1 - 9 / 36)), (True, 100 * (1 - 36 / 9))])
def test_ejection_has_its_sign_whichever_frame_comes_first(
    ed: int, es: int, growing: bool, fraction: float, tmp_path: Path
) -> None:
    root = write_beating(tmp_path / "acdc", ed=ed, es=es, growing=growing)
    cases = pair_cases(root, root, task="lv").cases
    for order in (cases, cases[::-1]):
        found = evaluate_cases(order, "lv", device=torch.device("cpu"), resamples=10, baselines=False).clinical
        assert found.measured.loc["patient001", "LV EF"] == pytest.approx(fraction)
        assert found.reference.loc["patient001", "LV EF"] == pytest.approx(fraction)
    unscored = describe_predictions(root, images=root, task="lv", codes="3=LV")
    assert unscored.clinical.loc["patient001", "LV EF"] == pytest.approx(fraction)


@pytest.mark.parametrize(("ed", "es"), [(1, 3), (3, 1)])
def test_without_phases_the_larger_cavity_is_end_diastole_whichever_file_comes_first(
    ed: int, es: int, tmp_path: Path
) -> None:
    root = write_beating(tmp_path / "acdc", ed=ed, es=es)
    (tmp_path / "ours").mkdir()
    for mask in root.rglob("*_gt.nii.gz"):
        (tmp_path / "ours" / mask.name).write_bytes(mask.read_bytes())
    found = describe_predictions(tmp_path / "ours", task="lv", codes="3=LV").clinical
    assert found.loc["patient001", "LV EF"] == pytest.approx(75.0)
