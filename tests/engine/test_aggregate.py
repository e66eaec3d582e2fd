import inspect
import math

import numpy as np
import pandas as pd
import pytest
import torch

from medwsss.engine.aggregate import Bootstrap, mean_scores, overlap_scores, pooled_scores
from medwsss.metrics.results import MEAN_OF_CLASSES

BOOTSTRAP = Bootstrap(resamples=200)


def test_overlap_of_a_matrix_worked_out_by_hand() -> None:
    """Rows reference: TP 6, FN 2, FP 3."""
    scores = overlap_scores(torch.tensor([[89, 3], [2, 6]]))
    assert scores["dice"][0] == pytest.approx(12 / 17)
    assert scores["confusion_ratio"][0] == pytest.approx(3 / 6)
    assert scores["precision"][0] == pytest.approx(6 / 9)
    assert scores["recall"][0] == pytest.approx(6 / 8)
    assert scores["iou"][0] == pytest.approx(6 / 11)


def test_confusion_ratio_stays_within_what_dice_allows_on_random_counts() -> None:
    """FP/TP <= 2/Dice - 2 is checked inside, with equality where nothing is missed."""
    rng = np.random.default_rng(0)
    for matrix in rng.integers(0, 50, size=(200, 3, 3)):
        overlap_scores(torch.from_numpy(matrix))
    exact = overlap_scores(torch.tensor([[5, 4], [0, 1]]))
    assert exact["confusion_ratio"][0] == pytest.approx(2 / exact["dice"][0] - 2)


def test_means_count_undefined_and_infinite_values_and_leave_them_out() -> None:
    frame = pd.DataFrame(
        {"case": list("abcd"), "patient": list("abcd"), "class": "heart", "hd95_mm": [1.0, 3.0, math.nan, math.inf]}
    )
    score = mean_scores(frame, ("heart",), ("hd95_mm",), bootstrap=BOOTSTRAP)["heart"]["hd95_mm"]
    assert (score.estimate, score.n, score.undefined, score.infinite) == (2.0, 2, 1, 1)


def test_mean_of_classes_is_taken_within_a_volume_first() -> None:
    """Volume a: mean of 0.2 and 0.4; volume b: LV alone, 0.8; so (0.3 + 0.8) / 2."""
    frame = pd.DataFrame(
        {"case": list("aabb"), "patient": list("aabb"), "class": ["RV", "LV"] * 2, "dice": [0.2, 0.4, math.nan, 0.8]}
    )
    scores = mean_scores(frame, ("RV", "LV"), ("dice",), bootstrap=BOOTSTRAP)
    assert scores[MEAN_OF_CLASSES]["dice"].estimate == pytest.approx(0.55)


def test_pooled_scores_come_from_summed_counts() -> None:
    """TP 1 + 9, FP 1 + 0, FN 0 + 1: Dice 20 / 22, where the mean of both volumes would be (2/3 + 18/19) / 2."""
    matrices = torch.tensor([[[8, 1], [0, 1]], [[0, 0], [1, 9]]])
    scores = pooled_scores(matrices, ["a", "b"], ("heart",), bootstrap=BOOTSTRAP)
    assert scores["heart"]["dice"].estimate == pytest.approx(20 / 22)
    assert scores["heart"]["dice"].n == 2
    assert list(scores) == ["heart"]


def test_the_pooled_interval_spans_what_single_patients_show() -> None:
    """With two patients a resample is a, b, or both: Dice 2/3, 18/19 or 20/22."""
    matrices = torch.tensor([[[8, 1], [0, 1]], [[0, 0], [1, 9]]])
    score = pooled_scores(matrices, ["a", "b"], ("heart",), bootstrap=BOOTSTRAP)["heart"]["dice"]
    assert (score.low, score.high) == (pytest.approx(2 / 3), pytest.approx(18 / 19))


def test_volumes_of_one_patient_give_no_interval() -> None:
    matrices = torch.tensor([[[8, 1], [0, 1]], [[0, 0], [1, 9]]])
    score = pooled_scores(matrices, ["a", "a"], ("heart",), bootstrap=BOOTSTRAP)["heart"]["dice"]
    assert math.isnan(score.low)
    assert math.isnan(score.high)


def test_the_pooled_mean_is_over_classes_that_occur_in_the_reference() -> None:
    """Class 1 is perfect, class 2 does not occur but is predicted once: the mean is that of class 1."""
    matrix = torch.tensor([[[5, 0, 1], [0, 4, 0], [0, 0, 0]]])
    scores = pooled_scores(matrix, ["a"], ("RV", "LV"), bootstrap=BOOTSTRAP)
    assert scores[MEAN_OF_CLASSES]["iou"].estimate == 1.0
    assert scores["LV"]["confusion_ratio"].infinite == 1
    assert scores["LV"]["confusion_ratio"].n == 0


def test_equal_seeds_give_equal_intervals_whatever_came_before() -> None:
    values, patients = np.arange(6.0), list("aabbcc")
    first = BOOTSTRAP.interval(values, patients)
    BOOTSTRAP.interval(values * 2, patients)
    assert BOOTSTRAP.interval(values, patients) == first


def test_counts_that_contradict_each_other_stop_the_evaluation() -> None:
    from medwsss.engine import aggregate

    class Wrong:
        dice = torch.tensor([1.0])
        confusion_ratio = torch.tensor([0.5])

    with pytest.raises(RuntimeError, match="same counts"):
        inspect.unwrap(aggregate._check_consistency)(Wrong())
