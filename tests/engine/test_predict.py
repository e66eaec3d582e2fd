"""From file to file: the geometry of the input survives, whatever its axis order."""

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from fakes.networks import Threshold

from medwsss.config.data import GridConfig
from medwsss.config.training import InferenceConfig
from medwsss.data.image_labels import ImageLabels
from medwsss.data.sample import SliceKey
from medwsss.engine.predict import claim_outputs, file_items, predict_item
from medwsss.errors import ImageLabelsError, OutputError
from medwsss.labels import LabelSet

LABELS = LabelSet("heart", ("heart",))
GRID = GridConfig(spacing_mm=1.4, percentiles=(0.0, 100.0))
INFERENCE = InferenceConfig()
OBLIQUE = np.array([[-1.3, 0.25, 1.2], [0.3, -1.3, 0.9], [0.15, 0.3, 8.9]])


def anatomy() -> np.ndarray:
    """A bright block that no flip or permutation maps onto itself."""
    array = np.zeros((22, 18, 4), np.float32)
    array[3:11, 5:9, 1:] = 100.0
    array[11:14, 5:7, 2:] = 100.0
    return array


def predict(path: Path, out: Path, **options: object) -> Path:
    (item,) = file_items(path)
    device = torch.device("cpu")
    predict_item(Threshold(), item, out, grid=GRID, inference=INFERENCE, labels=LABELS, device=device, **options)  # type: ignore[arg-type]
    return out / f"{item.name}.nii.gz"


@pytest.mark.parametrize("matrix", [np.diag([-1.4, -1.4, 9.0]), OBLIQUE], ids=["straight", "oblique"])
def test_all_48_axis_orders_and_flips_give_the_same_labels_on_their_own_grid(
    tmp_path: Path, matrix: np.ndarray
) -> None:
    for axes, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        flipped = tuple(axis for axis, flip in enumerate(flips) if flip)
        stored = np.flip(anatomy().transpose(axes), flipped)
        affine = np.eye(4)
        affine[:3, :3] = matrix[:, axes] * np.where(flips, -1, 1)
        affine[:3, 3] = (10.0, -20.0, 30.0)
        image = nib.Nifti1Image(stored, affine)
        image.header.set_xyzt_units("mm", "sec")
        nib.save(image, tmp_path / "case.nii.gz")
        written = nib.load(predict(tmp_path / "case.nii.gz", tmp_path))
        labels = np.asarray(written.dataobj)
        np.testing.assert_allclose(written.affine, affine, atol=1e-5)
        assert written.header.get_xyzt_units() == ("mm", "sec")
        back = np.flip(labels, flipped).transpose(np.argsort(axes))
        if (axes, flips) == ((0, 1, 2), (False, False, False)):
            first = back
            overlap = 2 * (back & (anatomy() > 0)).sum() / (back.sum() + (anatomy() > 0).sum())
            assert overlap > 0.9
        np.testing.assert_array_equal(back, first)
        (tmp_path / "case.nii.gz").unlink()


def test_a_single_time_point_keeps_its_fourth_axis(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(anatomy()[..., None], np.diag([1.4, 1.4, 9.0, 1.0])), tmp_path / "case.nii")
    assert nib.load(predict(tmp_path / "case.nii", tmp_path / "out")).shape == (22, 18, 4, 1)


def test_tags_that_lack_a_slice_are_an_error_of_the_case_and_nothing_is_written(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(anatomy(), np.diag([1.4, 1.4, 9.0, 1.0])), tmp_path / "case.nii")
    tags = ImageLabels(("heart",), {SliceKey("case", "", index): (1,) for index in range(3)})
    with pytest.raises(ImageLabelsError, match="lack 1 slices of case"):
        predict(tmp_path / "case.nii", tmp_path / "out", image_labels=tags)
    assert not (tmp_path / "out").exists()


def test_results_are_not_replaced_unasked_and_never_an_input(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(anatomy(), np.diag([1.4, 1.4, 9.0, 1.0])), tmp_path / "case.nii.gz")
    items = file_items(tmp_path / "case.nii.gz")
    with pytest.raises(OutputError, match="replace the input"):
        claim_outputs(tmp_path, items, overwrite=True)
    predict(tmp_path / "case.nii.gz", tmp_path / "out")
    with pytest.raises(OutputError, match="--overwrite"):
        claim_outputs(tmp_path / "out", items, overwrite=False)
    claim_outputs(tmp_path / "out", items, overwrite=True)
    assert list((tmp_path / "out").iterdir()) == []
