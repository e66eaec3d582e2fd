import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medwsss.data.acdc import reference_masks
from medwsss.metrics.quality import expected_dice, gaps, unwrapped_share
from medwsss.metrics.trust import rank_correlation, risk_coverage
from medwsss.volumes.io import load_label_volume
from medwsss.volumes.slicing import slices_of


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[labels].transpose(0, 3, 1, 2)


def test_certain_probabilities_expect_a_dice_of_1() -> None:
    labels = np.array([[[0, 1], [2, 1]]], np.uint8)
    assert expected_dice(labels, one_hot(labels, 3)).tolist() == [1.0, 1.0]


def test_expected_dice_by_hand() -> None:
    labels = np.array([[[1, 0]]], np.uint8)
    probs = np.array([[[[0.2, 0.7]], [[0.8, 0.3]]]], np.float32)
    assert expected_dice(labels, probs)[0] == pytest.approx(2 * 0.8 / (0.8 + 0.3 + 1))


def test_a_class_that_nobody_sees_has_no_expected_dice() -> None:
    labels = np.zeros((1, 2, 2), np.uint8)
    assert math.isnan(expected_dice(labels, one_hot(labels, 2))[0])


def test_doubt_lowers_the_expected_dice() -> None:
    labels = np.array([[[1, 0]]], np.uint8)
    sure, unsure = (np.array([[[[1 - p, p]], [[p, 1 - p]]]], np.float32) for p in (0.9, 0.6))
    assert expected_dice(labels, unsure)[0] < expected_dice(labels, sure)[0]


def test_a_slice_missing_in_the_middle_is_a_gap_and_one_missing_at_the_end_is_not() -> None:
    labels = np.zeros((6, 1, 2), np.uint8)
    labels[[0, 3], 0, 0] = 1
    labels[:4, 0, 1] = 2
    assert gaps(labels, 3) == (2, 0, 0)


def test_coverage_keeps_the_best_estimates_first() -> None:
    coverage, kept = risk_coverage([0.2, 0.9, 0.5, math.nan], [0.4, 1.0, 0.7, 0.1])
    assert coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert kept.tolist() == pytest.approx([1.0, 0.85, 0.7])


def test_no_case_has_no_curve() -> None:
    coverage, kept = risk_coverage([], [])
    assert coverage.size == kept.size == 0


def test_rank_correlation_of_an_order_that_fits_and_of_one_that_is_turned() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("estimates", "scores"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, math.nan], [1, 2, 3])]
)
def test_too_few_or_constant_values_have_no_correlation(estimates: list[float], scores: list[float]) -> None:
    assert math.isnan(rank_correlation(estimates, scores))


def test_a_cavity_in_its_wall_is_bare_nowhere_and_one_pixel_of_a_square_beside_it_on_an_eighth() -> None:
    labels = np.zeros((1, 6, 6), np.uint8)
    labels[0, 1:5, 1:5] = 2
    labels[0, 2:4, 2:4] = 3  # a border of 2 · 4 edges
    assert unwrapped_share(labels, cavity=3, wall=2) == 0.0
    labels[0, 1, 2] = 0
    assert unwrapped_share(labels, cavity=3, wall=2) == pytest.approx(1 / 8)
    assert math.isnan(unwrapped_share(np.zeros_like(labels), cavity=3, wall=2))


@pytest.mark.slow
@pytest.mark.data
def test_left_ventricles_of_real_reference_masks_are_wrapped(shared_data: Callable[..., Path]) -> None:
    masks = [load_label_volume(path) for path in reference_masks(shared_data("acdc")).values()]
    shares = [unwrapped_share(slices_of(mask).array, cavity=3, wall=2) for mask in masks]
    assert len(shares) == 150
    assert max(shares) < 0.015
    assert np.mean(np.array(shares) == 0) >= 0.9
