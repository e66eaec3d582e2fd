from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.acdc import fake_patients, write_acdc

from medwsss.data.acdc import reference_masks
from medwsss.engine.cases import pair_cases
from medwsss.engine.evaluate import evaluate_cases
from medwsss.engine.predict import map_file
from medwsss.engine.unscored import describe_predictions
from medwsss.errors import MedwsssWarning
from medwsss.metrics.results import Evaluation
from medwsss.volumes.io import load_label_volume, save_volume
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    return write_acdc(tmp_path / "acdc", fake_patients(1))


@pytest.fixture
def predictions(acdc: Path, tmp_path: Path) -> Path:
    """The references as predictions, with an estimate each."""
    out = tmp_path / "pred"
    out.mkdir()
    names = sorted(reference_masks(acdc))
    for name, path in reference_masks(acdc).items():
        (out / f"{name}.nii.gz").write_bytes(path.read_bytes())
    (out / "quality.csv").write_text("case,frame,estimate,findings\n" + "".join(f"{name},,0.5,\n" for name in names))
    return out


def save_map(predictions: Path, folder: str, name: str, shown: str, *, share: float = 1.0) -> Volume:
    """A map that tells every voxel apart, up to ``share``."""
    like = load_label_volume(predictions / f"{name}.nii.gz")
    values = np.linspace(0.0, share, like.array.size, dtype=np.float32).reshape(like.array.shape)
    path = predictions / map_file(folder, name, shown)
    path.parent.mkdir(exist_ok=True)
    save_volume(like.with_array(values), path)
    return like.with_array(values)


def evaluated(predictions: Path, acdc: Path, task: str = "multi") -> Evaluation:
    cases = pair_cases(predictions, acdc, task=task).cases
    return evaluate_cases(cases, task, device=torch.device("cpu"), resamples=10, baselines=False)


def test_without_maps_there_are_none(predictions: Path, acdc: Path) -> None:
    pieces = [piece for overlay in evaluated(predictions, acdc).overlays for piece in overlay.slices]
    assert pieces
    assert all(piece.uncertainty is None and piece.cam is None for piece in pieces)


def test_maps_beside_the_predictions_are_shown_on_their_slices(predictions: Path, acdc: Path) -> None:
    maps = {
        name: slices_of(save_map(predictions, "uncertainty", name, "uncertainty")).array
        for name in reference_masks(acdc)
    }
    for found in (evaluated(predictions, acdc), describe_predictions(predictions, images=acdc, task="multi")):
        assert found.overlays
        for overlay in found.overlays:
            for piece in overlay.slices:
                np.testing.assert_array_equal(piece.uncertainty, maps[overlay.case][piece.index])
                assert piece.cam is None


@pytest.mark.parametrize("task", ["multi", "heart"])
def test_activation_is_the_largest_over_classes_also_of_the_parts_of_a_heart(
    predictions: Path, acdc: Path, task: str
) -> None:
    for name in reference_masks(acdc):
        save_map(predictions, "cams", name, "RV", share=0.3)
        largest = slices_of(save_map(predictions, "cams", name, "LV", share=0.9)).array
    for overlay in evaluated(predictions, acdc, task).overlays:
        for piece in overlay.slices:
            np.testing.assert_array_equal(piece.cam, largest[piece.index])


def test_the_activation_of_the_task_itself_comes_first(predictions: Path, acdc: Path) -> None:
    for name in reference_masks(acdc):
        save_map(predictions, "cams", name, "RV", share=0.9)
        own = slices_of(save_map(predictions, "cams", name, "LV", share=0.3)).array
    for overlay in evaluated(predictions, acdc, "lv").overlays:
        for piece in overlay.slices:
            np.testing.assert_array_equal(piece.cam, own[piece.index])


def test_a_map_that_does_not_fit_or_is_damaged_is_left_out_and_said(predictions: Path, acdc: Path) -> None:
    first, second = sorted(reference_masks(acdc))
    fitting = save_map(predictions, "uncertainty", first, "uncertainty")
    path = predictions / map_file("uncertainty", first, "uncertainty")
    save_volume(Volume(fitting.array[1:].copy(), fitting.spacing_mm, fitting.affine), path)
    (predictions / map_file("uncertainty", second, "uncertainty")).write_bytes(b"damaged")
    with pytest.warns(MedwsssWarning, match="not shown"):
        found = evaluated(predictions, acdc)
    assert all(piece.uncertainty is None for overlay in found.overlays for piece in overlay.slices)
    assert sum("not shown" in remark for remark in found.remarks) == len(found.overlays)
