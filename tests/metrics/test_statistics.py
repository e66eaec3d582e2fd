"""Intervals come from patients, not from images."""

import inspect
import math

import numpy as np
import pytest
from scipy.stats import norm

from medwsss.metrics.statistics import bootstrap_interval


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_estimate_is_the_mean_and_what_is_not_finite_is_counted() -> None:
    values = np.array([0.5, math.nan, 0.7, 0.9, math.inf, math.nan])
    interval = bootstrap_interval(values, ["a", "a", "b", "b", "c", "c"], generator=rng())
    assert interval.estimate == pytest.approx((0.5 + 0.7 + 0.9) / 3)
    assert (interval.n, interval.undefined, interval.infinite) == (3, 2, 1)


def test_two_patients_give_three_possible_means() -> None:
    # Draws of two: aa 0.2, ab or ba 0.6 = (0.2 + 0.8 + 0.8) / 3, bb 0.8, with chances 1/4, 1/2, 1/4.
    interval = bootstrap_interval(np.array([0.2, 0.8, 0.8]), ["a", "b", "b"], generator=rng())
    assert (interval.low, interval.high) == pytest.approx((0.2, 0.8))
    narrow = bootstrap_interval(np.array([0.2, 0.8, 0.8]), ["a", "b", "b"], generator=rng(), confidence=0.4)
    assert (narrow.low, narrow.high) == pytest.approx((0.6, 0.6))


def test_repeating_each_image_of_a_patient_does_not_narrow_the_interval() -> None:
    values = rng(1).normal(size=30)
    patients = [f"p{i:02d}" for i in range(30)]
    once = bootstrap_interval(values, patients, generator=rng())
    ten_times = bootstrap_interval(np.tile(values, 10), patients * 10, generator=rng())
    assert (once.low, once.high) == pytest.approx((ten_times.low, ten_times.high))


def test_the_interval_of_many_patients_is_close_to_the_normal_one() -> None:
    values = rng(2).normal(size=400)
    interval = bootstrap_interval(values, [str(i) for i in range(400)], generator=rng(), resamples=4000)
    half = norm.ppf(0.975) * values.std() / math.sqrt(400)
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_the_same_generator_state_gives_the_same_interval() -> None:
    values, patients = rng(3).normal(size=10), [str(i) for i in range(10)]
    assert bootstrap_interval(values, patients, generator=rng(5)) == bootstrap_interval(
        values, patients, generator=rng(5)
    )


def test_one_patient_has_no_interval_and_no_finite_value_has_no_estimate() -> None:
    one = bootstrap_interval(np.array([0.4, 0.6]), ["a", "a"], generator=rng())
    assert one.estimate == pytest.approx(0.5)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    none = bootstrap_interval(np.array([math.nan]), ["a"], generator=rng())
    assert math.isnan(none.estimate)
    assert (none.n, none.undefined) == (0, 1)
    assert bootstrap_interval(np.array([]), [], generator=rng()).n == 0


def test_bad_arguments_are_refused() -> None:
    values = np.array([0.1, 0.2])
    with pytest.raises(ValueError, match="patients"):
        inspect.unwrap(bootstrap_interval)(values, ["a"], generator=rng())
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval(values, ["a", "b"], generator=rng(), confidence=1.0)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval(values, ["a", "b"], generator=rng(), resamples=0)
