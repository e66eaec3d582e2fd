import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from medwsss.metrics.paired import PairedDifference, paired_difference, rank_biserial


def compared(first: list[float], second: list[float], patients: list[str]) -> PairedDifference:
    return paired_difference(
        np.array(first), np.array(second), patients, generator=np.random.default_rng(0), resamples=200
    )


def test_means_and_difference_over_volumes() -> None:
    found = compared([0.5, 0.6, 0.7], [0.6, 0.8, 0.7], ["a", "b", "c"])
    assert (found.first, found.second) == (pytest.approx(0.6), pytest.approx(0.7))
    assert found.difference.estimate == pytest.approx(0.1)
    assert (found.patients, found.higher, found.lower) == (3, 2, 0)


def test_the_test_sees_one_value_a_patient() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(20), rng.random(20)
    patients = [f"p{index // 2}" for index in range(20)]
    found = compared(first.tolist(), second.tolist(), patients)
    per_patient = (second - first).reshape(10, 2).mean(axis=1)
    assert found.p_value == pytest.approx(wilcoxon(per_patient).pvalue)
    assert found.patients == 10


def test_ranks_of_plus_3_and_minus_1_and_plus_2_give_two_thirds() -> None:
    # ranks 3, 1, 2: (3 + 2 - 1) / 6
    assert rank_biserial(np.array([3.0, -1.0, 2.0, 0.0])) == pytest.approx(4 / 6)


def test_swapping_turns_signs_and_keeps_the_p_value() -> None:
    one, other, patients = [0.1, 0.5, 0.9, 0.4], [0.2, 0.4, 0.95, 0.6], list("abcd")
    forth, back = compared(one, other, patients), compared(other, one, patients)
    assert forth.difference.estimate == pytest.approx(-back.difference.estimate)
    assert forth.effect == pytest.approx(-back.effect)
    assert forth.p_value == pytest.approx(back.p_value)


def test_identical_predictions_have_no_p_value_and_no_effect() -> None:
    found = compared([0.5, 0.6], [0.5, 0.6], ["a", "b"])
    assert math.isnan(found.p_value)
    assert math.isnan(found.effect)
    assert found.difference.estimate == 0.0


def test_pairs_that_are_not_finite_are_left_out_of_everything_and_counted() -> None:
    found = compared([0.5, math.nan, 0.7, math.inf], [0.6, 0.8, math.nan, math.inf], list("abcd"))
    assert (found.first, found.second, found.patients) == (0.5, 0.6, 1)
    assert (found.difference.n, found.difference.undefined) == (1, 3)


def test_no_common_value_leaves_everything_undefined() -> None:
    found = compared([math.nan], [1.0], ["a"])
    assert math.isnan(found.first)
    assert math.isnan(found.difference.estimate)
    assert found.patients == 0
