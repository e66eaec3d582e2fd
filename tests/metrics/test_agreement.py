import math

import numpy as np
import pytest
from scipy.stats import pearsonr

from medwsss.metrics.agreement import Agreement, agreement


def found(measured: list[float], reference: list[float], *, resamples: int = 200) -> Agreement:
    return agreement(np.array(measured), np.array(reference), generator=np.random.default_rng(0), resamples=resamples)


def test_bias_and_limits_of_three_differences() -> None:
    result = found([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    # differences 1, 2, 3: mean 2, sample standard deviation 1
    assert result.bias.estimate == pytest.approx(2.0)
    assert result.lower.estimate == pytest.approx(2.0 - 1.96)
    assert result.upper.estimate == pytest.approx(2.0 + 1.96)
    assert result.correlation.estimate == pytest.approx(1.0)


def test_correlation_agrees_with_scipy() -> None:
    drawn = np.random.default_rng(1).normal(size=(2, 40))
    drawn[1] += drawn[0]
    result = found(drawn[0].tolist(), drawn[1].tolist())
    assert result.correlation.estimate == pytest.approx(pearsonr(drawn[0], drawn[1]).statistic)
    assert result.correlation.low < result.correlation.estimate < result.correlation.high


def test_swapping_both_turns_the_sign_of_the_bias_and_keeps_the_correlation() -> None:
    first, second = found([1.0, 5.0, 2.0, 8.0], [2.0, 4.0, 4.0, 7.0]), found([2.0, 4.0, 4.0, 7.0], [1.0, 5.0, 2.0, 8.0])
    assert first.bias.estimate == pytest.approx(-second.bias.estimate)
    assert first.upper.estimate == pytest.approx(-second.lower.estimate)
    assert first.correlation.estimate == pytest.approx(second.correlation.estimate)


def test_pairs_without_both_values_are_left_out_and_counted() -> None:
    result = found([1.0, math.nan, 3.0, 4.0], [0.0, 1.0, 2.0, math.inf])
    assert result.bias.estimate == pytest.approx(1.0)
    assert (result.bias.n, result.bias.undefined) == (2, 2)


def test_one_patient_has_a_bias_and_no_limits() -> None:
    result = found([3.0], [1.0])
    assert result.bias.estimate == 2.0
    assert math.isnan(result.upper.estimate)
    assert math.isnan(result.bias.low)


def test_nobody_has_no_agreement() -> None:
    result = found([], [])
    assert math.isnan(result.bias.estimate)
    assert math.isnan(result.correlation.estimate)


def test_a_reference_that_does_not_vary_has_no_correlation() -> None:
    assert math.isnan(found([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]).correlation.estimate)


def test_an_interval_of_equal_differences_is_a_point() -> None:
    result = found([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    assert (result.bias.low, result.bias.high) == (1.0, 1.0)
