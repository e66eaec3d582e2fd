"""Dice and what it says about empty masks."""

import inspect
import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from medwsss.metrics.dice import EMPTY_POLICIES, dice, dice_with_policy, volume_ml
from medwsss.volumes.volume import Volume

EMPTY, FULL = np.zeros((2, 2), dtype=np.bool_), np.ones((2, 2), dtype=np.bool_)


def test_dice_of_one_shared_pixel_out_of_two_and_one_is_two_thirds() -> None:
    assert dice(np.array([True, True, False]), np.array([True, False, False])) == pytest.approx(2 * 1 / (2 + 1))


def test_dice_is_nan_for_two_empty_masks_and_zero_for_one() -> None:
    assert math.isnan(dice(EMPTY, EMPTY))
    assert dice(EMPTY, FULL) == dice(FULL, EMPTY) == 0.0


def test_dice_matches_monai_on_random_masks() -> None:
    rng = np.random.default_rng(0)
    for density in (0.0, 0.05, 0.5, 1.0):
        prediction, reference = rng.random((2, 7, 6, 5)) < density
        expected = compute_dice(
            torch.from_numpy(prediction)[None, None], torch.from_numpy(reference)[None, None], ignore_empty=False
        )
        assert dice_with_policy(prediction, reference, policy="perfect") == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("policy", "both", "prediction_only", "reference_only"),
    [
        ("undefined", math.nan, 0.0, 0.0),
        ("perfect", 1.0, 0.0, 0.0),
        ("zero", 0.0, 0.0, 0.0),
        ("reference_only", math.nan, 0.0, math.nan),
    ],
)
def test_a_policy_gives_the_value_of_empty_masks(
    policy: str, both: float, prediction_only: float, reference_only: float
) -> None:
    pairs = [(EMPTY, EMPTY), (EMPTY, FULL), (FULL, EMPTY)]
    values = [dice_with_policy(prediction, reference, policy=policy) for prediction, reference in pairs]
    assert values == pytest.approx([both, prediction_only, reference_only], nan_ok=True)
    assert dice_with_policy(FULL, FULL, policy=policy) == 1.0


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="perfect"):
        dice_with_policy(FULL, FULL, policy="best")
    assert set(EMPTY_POLICIES) == {"undefined", "perfect", "zero", "reference_only"}


def test_masks_must_be_boolean_and_of_one_shape() -> None:
    with pytest.raises(ValueError, match="prediction must be boolean"):
        inspect.unwrap(dice_with_policy)(FULL.astype(np.uint8), FULL, policy="zero")
    with pytest.raises(ValueError, match="shape"):
        inspect.unwrap(dice_with_policy)(FULL, FULL[:1], policy="zero")


def on_grid(affine: np.ndarray) -> Volume:
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    return Volume(np.zeros((10, 10, 10), np.uint8), (x, y, z), affine)


def test_a_thousand_voxels_of_two_cubic_millimetres_are_two_millilitres() -> None:
    like = on_grid(np.diag([-0.5, 0.5, 8.0, 1.0]))
    assert volume_ml(np.ones((10, 10, 10), dtype=np.bool_), like) == pytest.approx(1000 * 2 / 1000)


def test_a_voxel_whose_axes_lean_holds_less_than_the_product_of_its_sides() -> None:
    leaning = np.array([[2.0, 0, 0, 0], [0, 2.0, 3.0, 0], [0, 0, 4.0, 0], [0, 0, 0, 1]])  # sides of 2, 2 and 5 mm
    assert volume_ml(np.ones((10, 10, 10), dtype=np.bool_), on_grid(leaning)) == pytest.approx(2 * 2 * 4)
