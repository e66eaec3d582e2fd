"""Counts and the scores defined on them."""

import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from medwsss.metrics.confusion import class_scores, confusion_matrix

Golden = Callable[[str], dict[str, np.ndarray]]


def test_counts_of_six_pixels() -> None:
    prediction = torch.tensor([0, 1, 1, 1, 255, 0])
    reference = torch.tensor([0, 0, 1, 1, 1, 255])  # the last two are out
    assert confusion_matrix(prediction, reference, classes=2).tolist() == [[1, 1], [0, 2]]


def test_scores_of_a_small_matrix() -> None:
    scores = class_scores(torch.tensor([[5, 3], [2, 4]]))  # class 1: TP 4, FP 3, FN 2
    assert scores.iou[1] == pytest.approx(4 / (4 + 3 + 2))
    assert scores.dice[1] == pytest.approx(2 * 4 / (2 * 4 + 3 + 2))
    assert scores.precision[1] == pytest.approx(4 / 7)
    assert scores.recall[1] == pytest.approx(4 / 6)
    assert scores.confusion_ratio[1] == pytest.approx(3 / 4)
    assert scores.false_positive_rate[1] == pytest.approx(3 / 9)
    assert scores.false_negative_rate[1] == pytest.approx(2 / 9)
    assert scores.mean_iou == pytest.approx((5 / 10 + 4 / 9) / 2)


def test_scores_without_a_denominator_are_nan_and_only_false_positives_give_an_infinite_confusion_ratio() -> None:
    # class 1: predicted once, never in the reference; class 2: nowhere; class 3: in the reference, never predicted
    scores = class_scores(torch.tensor([[8, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]]))
    assert scores.confusion_ratio.tolist() == pytest.approx([2 / 8, math.inf, math.nan, math.nan], nan_ok=True)
    assert scores.iou.tolist() == pytest.approx([8 / 11, 0, math.nan, 0], nan_ok=True)
    assert scores.dice.tolist() == pytest.approx([16 / 19, 0, math.nan, 0], nan_ok=True)
    assert scores.precision.tolist() == pytest.approx([8 / 10, 0, math.nan, math.nan], nan_ok=True)
    assert scores.recall.tolist() == pytest.approx([8 / 9, math.nan, math.nan, 0], nan_ok=True)
    assert scores.mean_iou == pytest.approx((8 / 11 + 0) / 2)  # classes 0 and 3 occur in the reference


def test_an_empty_matrix_has_no_mean() -> None:
    assert math.isnan(class_scores(torch.zeros(3, 3, dtype=torch.int64)).mean_iou)


def test_counts_match_a_loop_over_pixels_on_random_maps() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        prediction, reference = rng.choice([0, 1, 2, 3, 255], size=(2, 9, 7))
        expected = np.zeros((4, 4), dtype=np.int64)
        for p, r in zip(prediction.flat, reference.flat, strict=True):
            if p != 255 and r != 255:
                expected[r, p] += 1
        counts = confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(reference), classes=4)
        np.testing.assert_array_equal(counts.numpy(), expected)


def test_pooled_confusion_ratio_is_bounded_by_dice() -> None:
    matrix = torch.randint(1, 100, (4, 4), generator=torch.Generator().manual_seed(0))
    scores = class_scores(matrix)
    assert (scores.confusion_ratio <= 2 / scores.dice - 2 + 1e-12).all()


def test_uint8_maps_and_any_ignore_index_work() -> None:
    labels = torch.tensor([[0, 1], [2, 255]], dtype=torch.uint8)
    assert confusion_matrix(labels, labels, classes=3).diagonal().tolist() == [1, 1, 1]
    assert confusion_matrix(labels, labels, classes=256, ignore_index=-1).sum() == 4


def test_a_label_without_class_is_refused() -> None:
    good, bad = torch.tensor([0, 1]), torch.tensor([0, 2])
    with pytest.raises(ValueError, match="prediction holds labels outside"):
        confusion_matrix(bad, good, classes=2)
    with pytest.raises(ValueError, match="reference holds labels outside"):
        confusion_matrix(good, -good, classes=2)


def test_bad_arguments_are_refused() -> None:
    raw = inspect.unwrap(confusion_matrix)
    with pytest.raises(ValueError, match="shape"):
        raw(torch.tensor([0, 1]), torch.tensor([0]), classes=2)
    with pytest.raises(ValueError, match="prediction must hold integers"):
        raw(torch.tensor([0.0]), torch.tensor([0]), classes=2)
    with pytest.raises(ValueError, match="classes"):
        raw(torch.tensor([0]), torch.tensor([0]), classes=0)
    with pytest.raises(ValueError, match="square"):
        inspect.unwrap(class_scores)(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="counts"):
        class_scores(torch.tensor([[-1]]))


def recorded(cases: dict[str, np.ndarray]) -> torch.Tensor:
    """The confusion matrix summed over the recorded images."""
    pairs = [(cases[f"c0_in_pred{i}"], cases[f"c0_in_gt{i}"]) for i in range(3)]
    classes = int(cases["c0_p_num_classes"])
    return sum(
        (confusion_matrix(torch.from_numpy(p), torch.from_numpy(g), classes=classes) for p, g in pairs),
        start=torch.zeros(classes, classes, dtype=torch.int64),
    )


@pytest.mark.data
@pytest.mark.parametrize("name", ["toco_evaluate_scores", "seco_evaluate_scores"])
def test_iou_matches_published_code(name: str, golden: Golden) -> None:
    cases = golden(name)
    scores = class_scores(recorded(cases))
    np.testing.assert_allclose(scores.iou.numpy(), cases["c0_out_iou"], rtol=1e-6)
    assert scores.mean_iou == pytest.approx(float(cases["c0_out_miou"]))


@pytest.mark.data
def test_precision_recall_and_confusion_match_published_code(golden: Golden) -> None:
    cases = golden("seco_evaluate_scores")
    scores = class_scores(recorded(cases))
    np.testing.assert_allclose(scores.confusion_ratio.numpy(), cases["c0_out_confusion"], rtol=1e-6)
    np.testing.assert_allclose(scores.precision.numpy(), cases["c0_out_precision"], rtol=1e-6)
    np.testing.assert_allclose(scores.recall.numpy(), cases["c0_out_recall"], rtol=1e-6)
