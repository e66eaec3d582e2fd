import math
from collections.abc import Sequence

import numpy as np
import pytest

from medwsss.config.cine import CineConfig
from medwsss.engine.cine_constants import (
    A_PRIORI,
    STAGES,
    Constant,
    changed,
    described,
    improvements,
    score,
    search,
)
from medwsss.engine.cine_trials import StudyTrials
from medwsss.priors.cardiac.axis import VentricleAxis
from medwsss.priors.cardiac.criteria import CRITERIA
from medwsss.priors.cardiac.labels import HeartSeeds

NAMES = list(CRITERIA)
BEND, REACH = Constant("axis.bend", (0.1, 0.2)), Constant("cavity.reach_mm", (5.0, 7.0))


class ToldTrials(StudyTrials):
    """A study whose muscle disagreement is a formula of the settings; all other criteria are the same for all."""

    def __init__(self, offset: float, reach_weight: float = 0.1) -> None:
        self._offset, self._reach_weight = offset, reach_weight
        self._configs: list[CineConfig] = []

    def seeds(self, configs: Sequence[CineConfig]) -> list[HeartSeeds]:
        self._configs = list(configs)
        axis = VentricleAxis(np.zeros((1, 2), int), np.ones((2, 1)), np.ones(1))
        told = [np.full((1, 1, 1), index, np.uint8) for index in range(len(configs))]
        return [HeartSeeds(labels, labels, axis, 0.1) for labels in told]

    def criteria(self, labels: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
        config = self._configs[int(labels[0].item())]
        disagreement = self._offset + abs(config.axis.bend - 0.1) + self._reach_weight * (config.cavity.reach_mm - 6.0)
        return dict.fromkeys(NAMES, 0.5) | {"muscle_disagreement": disagreement}


def found_by(*stages: tuple[Constant, ...], reach_weight: float = 0.1) -> CineConfig:
    trials = {str(offset): ToldTrials(offset, reach_weight) for offset in (0.0, 1.0, 2.0)}
    return search(trials, start=changed(CineConfig(), (("axis.bend", 0.4),)), stages=stages).chosen


def test_the_search_finds_the_optimum_of_each_constant_and_takes_both() -> None:
    chosen = found_by((BEND, REACH))
    assert (chosen.axis.bend, chosen.cavity.reach_mm) == (0.1, 5.0)


def test_a_constant_that_improves_nothing_stays() -> None:
    chosen = found_by((Constant("axis.bend", (0.8, 0.9)),))
    assert chosen.axis.bend == 0.4


def test_a_criterion_is_silent_on_a_constant_that_meets_it_by_construction() -> None:
    chosen = found_by((Constant("axis.bend", (0.1, 0.2), silent=("muscle_disagreement",)),))
    assert chosen.axis.bend == 0.4


def test_a_later_stage_starts_from_what_the_earlier_one_chose() -> None:
    trials = {str(offset): ToldTrials(offset) for offset in (0.0, 1.0)}
    result = search(trials, start=changed(CineConfig(), (("axis.bend", 0.4),)), stages=((BEND,), (REACH,)))
    assert [row.name for row in result.measured if row.patient == "0.0"] == [
        "start", "axis.bend=0.1", "axis.bend=0.2",
        "axis.bend=0.1", "axis.bend=0.1 cavity.reach_mm=5", "axis.bend=0.1 cavity.reach_mm=7",
    ]  # fmt: skip
    assert [step.adopted for step in result.steps] == [True, False, True, False]


def test_criteria_without_a_vote_choose_nothing() -> None:
    trials = {str(offset): ToldTrials(offset) for offset in (0.0, 1.0)}
    result = search(trials, start=A_PRIORI, stages=((REACH,),), voting=("slice_continuity",))
    assert result.chosen == A_PRIORI


def test_one_patient_cannot_choose() -> None:
    with pytest.raises(ValueError, match="two patients"):
        search({"only": ToldTrials(0.0)})


def test_improvements_count_in_standard_deviations_of_the_start_and_at_most_three() -> None:
    start, other = np.array([[1.0], [3.0]]), np.array([[2.0], [99.0]])  # standard deviation 1 over the two patients
    assert improvements(np.stack([start, other]))[1].ravel().tolist() == [1.0, 3.0]


def test_what_is_undefined_counts_as_the_worst_seen_and_what_does_not_vary_has_no_vote() -> None:
    start, other = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[math.nan, 6.0], [2.5, 6.0]])
    found = improvements(np.stack([start, other]))[1]
    assert found[:, 0].tolist() == [1.0 - 1.0, 2.5 - 3.0]
    assert np.isnan(found[:, 1]).all()


def test_the_score_is_the_mean_over_criteria_and_its_error_that_over_patients() -> None:
    votes = np.full((2, len(NAMES)), math.nan)
    votes[:, NAMES.index("slice_continuity")] = [1.0, 2.0]
    votes[:, NAMES.index("epicardial_overlap")] = [3.0, 2.0]
    assert score(votes) == (2.0, 0.0)  # both patients have a mean of 2
    mean, error = score(votes, silent=("epicardial_overlap",))
    assert mean == 1.5
    assert error == pytest.approx(math.sqrt(0.5) / math.sqrt(2))  # variance ((1/2)² + (1/2)²) / (2 − 1) = 1/2
    assert score(votes, silent=("slice_continuity", "epicardial_overlap")) == (0.0, 0.0)


def test_every_candidate_is_a_valid_configuration_that_differs_from_the_start() -> None:
    for constant in (one for stage in STAGES for one in stage):
        assert set(constant.silent) <= set(NAMES)
        for value in constant.candidates:
            assert changed(A_PRIORI, ((constant.key, value),)) != A_PRIORI


def test_settings_are_described_by_their_last_values() -> None:
    assert described(()) == "start"
    assert described((("axis.bend", 0.1), ("axis.bend", 0.25))) == "axis.bend=0.25"
