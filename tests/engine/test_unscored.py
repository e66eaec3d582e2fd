import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fakes.cine import write_beating_acdc

from medwsss.engine.quality import QUALITY
from medwsss.engine.unscored import describe_predictions
from medwsss.errors import EvaluationError


@pytest.fixture(scope="module")
def acdc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_beating_acdc(tmp_path_factory.mktemp("unscored") / "acdc", patients=2)


@pytest.fixture
def predictions(acdc: Path, tmp_path: Path) -> Path:
    """The drawn masks as predictions of both patients, with estimates of three of the four."""
    out = tmp_path / "pred"
    out.mkdir()
    names = []
    for mask in sorted(acdc.rglob("*_gt.nii.gz")):
        names.append(mask.name.removesuffix("_gt.nii.gz"))
        (out / f"{names[-1]}.nii.gz").write_bytes(mask.read_bytes())
    (out / "prediction.json").write_text(json.dumps({"task": "multi", "tags": "none", "checkpoint": "last"}))
    rows = [f"{name},,0.{9 - index},\n" for index, name in enumerate(names[:3])]
    (out / QUALITY).write_text("case,frame,estimate,findings\n" + "".join(rows[::-1]))
    return out


def test_volumes_are_voxels_times_their_size(acdc: Path, predictions: Path) -> None:
    found = describe_predictions(predictions, images=acdc)
    assert (found.cases, found.patients) == (4, 2)
    file = sorted(predictions.glob("*.nii.gz"))[0]
    image = nib.load(file)
    expected = (np.asanyarray(image.dataobj) == 3).sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000.0
    rows = found.volumes[
        (found.volumes["case"] == file.name.removesuffix(".nii.gz")) & (found.volumes["class"] == "LV")
    ]
    assert rows["volume_ml"].iloc[0] == pytest.approx(expected, rel=1e-6)


def test_phases_come_from_the_data_set_and_give_ejection_fractions(acdc: Path, predictions: Path) -> None:
    values = describe_predictions(predictions, images=acdc).clinical
    assert (values["LV EF"] > 10).all()
    assert (values["LV SV"] == values["LV EDV"] - values["LV ESV"]).all()


def test_without_the_data_set_the_larger_cavity_is_end_diastole(acdc: Path, predictions: Path) -> None:
    known, guessed = (describe_predictions(predictions, images=images).clinical for images in (acdc, None))
    assert guessed["LV EF"].tolist() == pytest.approx(known["LV EF"].tolist())


def test_lowest_median_and_highest_estimate_are_shown(acdc: Path, predictions: Path) -> None:
    found = describe_predictions(predictions, images=acdc)
    assert [overlay.rank for overlay in found.overlays] == ["lowest", "median", "highest"]
    assert [overlay.dice for overlay in found.overlays] == [0.7, 0.8, 0.9]
    assert not any(piece.reference.any() for overlay in found.overlays for piece in overlay.slices)
    assert all(piece.image is not None for overlay in found.overlays for piece in overlay.slices)


def test_estimates_are_ranked_whatever_their_order_in_the_file(acdc: Path, predictions: Path) -> None:
    lines = (predictions / QUALITY).read_text().splitlines(keepends=True)
    (predictions / QUALITY).write_text("".join([lines[0], lines[2], lines[3], lines[1]]))
    found = describe_predictions(predictions, images=acdc)
    assert found.estimates["estimate"].tolist() == [0.7, 0.8, 0.9]
    assert [overlay.dice for overlay in found.overlays] == [0.7, 0.8, 0.9]


def test_without_estimates_nothing_is_ranked(predictions: Path) -> None:
    (predictions / QUALITY).unlink()
    found = describe_predictions(predictions)
    assert found.overlays == ()
    assert found.estimates.empty


def test_a_folder_without_predictions_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="holds no label files"):
        describe_predictions(tmp_path)


def test_a_cine_gives_the_ejection_fraction_of_its_fullest_and_emptiest_time_point(tmp_path: Path) -> None:
    labels = np.zeros((6, 6, 2, 4), np.uint8)
    for frame, voxels in enumerate((4, 8, 2, 6)):
        labels[:, :, 0, frame].flat[:voxels] = 3
    nib.save(nib.Nifti1Image(labels, np.diag([2.0, 2.0, 10.0, 1.0])), tmp_path / "P1_4d.nii.gz")
    (tmp_path / "prediction.json").write_text(json.dumps({"task": "multi", "tags": "none", "checkpoint": "last"}))
    found = describe_predictions(tmp_path)
    assert found.volumes["case"].unique().tolist() == [f"P1_4d_frame0{number}" for number in (1, 2, 3, 4)]
    values = found.clinical.loc["P1"]
    assert values["LV EDV"] == pytest.approx(8 * 0.04)  # a voxel has 2 · 2 · 10 mm³ = 0.04 mL
    assert values["LV ESV"] == pytest.approx(2 * 0.04)
    assert values["LV EF"] == pytest.approx(100 * (8 - 2) / 8)
