import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medwsss.losses.segmentation import (
    balanced_cross_entropy,
    label_probabilities,
    noise_mitigation,
    weighted_cross_entropy,
)

Golden = Callable[[str], dict[str, np.ndarray]]

# two classes; p(class 1) = 1/2, 3/4, 1/4, 1/2
LOGITS = torch.tensor([[[[0.0, 0.0, 0.0, 0.0]], [[0.0, math.log(3.0), -math.log(3.0), 0.0]]]])
LABELS = torch.tensor([[[0, 1, 1, 255]]])


def _random_case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.randint(0, 4, (2, 4, 4), generator=generator)
    return logits, labels.masked_fill(labels == 3, 255)


def test_balanced_loss_is_half_the_background_mean_plus_half_the_foreground_mean() -> None:
    expected = 0.5 * math.log(2) + 0.5 * (math.log(4 / 3) + math.log(4)) / 2
    assert balanced_cross_entropy(LOGITS, LABELS).item() == pytest.approx(expected, rel=1e-5)


def test_weighted_loss_counts_uncertain_pixels_at_the_threshold_and_divides_by_all_pixels() -> None:
    weights = torch.tensor([[[0.05, 0.0, 0.06, 1.0]]])  # at the threshold is uncertain
    expected = (0.05 * math.log(2) + 0.05 * math.log(4 / 3) + math.log(4) + 0) / 4
    assert weighted_cross_entropy(LOGITS, LABELS, weights).item() == pytest.approx(expected, rel=1e-5)


def test_weighted_balanced_loss_weighs_the_sums_and_keeps_the_counts() -> None:
    weights = torch.tensor([[[0.2, 1.0, 0.5, 1.0]]])
    expected = 0.5 * 0.2 * math.log(2) + 0.5 * (math.log(4 / 3) + 0.5 * math.log(4)) / 2
    assert balanced_cross_entropy(LOGITS, LABELS, weights=weights).item() == pytest.approx(expected, rel=1e-5)


def test_a_pixel_counts_the_threshold_where_its_weight_does_not_exceed_it() -> None:
    factors = noise_mitigation(torch.tensor([0.0, 0.25, 0.26, 1.0]), threshold=0.25)
    assert factors.tolist() == [0.25, 0.25, 1.0, 1.0]


def test_a_pixel_without_threshold_counts_its_weight() -> None:
    weights = torch.tensor([[[0.05, 0.0, 0.06, 1.0]]])
    expected = (0.05 * math.log(2) + 0 + 0.06 * math.log(4) + 0) / 4
    assert weighted_cross_entropy(LOGITS, LABELS, weights, threshold=None).item() == pytest.approx(expected, rel=1e-5)


def test_the_probability_of_a_pixel_is_that_of_its_own_label_and_one_where_it_has_none() -> None:
    expected = torch.tensor([[[1 / 2, 3 / 4, 1 / 4, 1.0]]])
    torch.testing.assert_close(label_probabilities(LOGITS, LABELS), expected)
    torch.testing.assert_close(label_probabilities(LOGITS + 7, LABELS), expected)  # as softmax does


def test_no_gradient_runs_through_the_probability() -> None:
    logits, labels = _random_case()
    probs = label_probabilities(logits, labels)
    assert not probs.requires_grad
    (gradient,) = torch.autograd.grad(weighted_cross_entropy(logits, labels, probs, threshold=None), logits)
    (bare,) = torch.autograd.grad(F.cross_entropy(logits, labels, ignore_index=255, reduction="sum"), logits)
    torch.testing.assert_close(gradient, probs[:, None] * bare / 32)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_probabilities_are_weights_however_sure_the_logits_are(scale: float) -> None:
    logits, labels = _random_case()
    probs = label_probabilities(scale * logits.float(), labels)
    assert 0 <= probs.min() < probs.max() <= 1


def test_balanced_loss_with_threshold_one_is_the_unweighted_loss_and_with_zero_drops_the_uncertain_pixels() -> None:
    logits, labels = _random_case()
    certainty = torch.rand(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).round()
    whole = balanced_cross_entropy(logits, labels, weights=noise_mitigation(certainty, threshold=1))
    assert torch.equal(whole, balanced_cross_entropy(logits, labels))
    dropped = balanced_cross_entropy(logits, labels, weights=noise_mitigation(certainty, threshold=0))
    (gradient,) = torch.autograd.grad(dropped, logits)
    assert torch.equal(gradient.abs().sum(dim=1) > 0, (certainty > 0) & (labels != 255))


def test_gradients_are_the_derivatives() -> None:
    logits, labels = _random_case()
    weights = torch.linspace(0, 1, 32, dtype=torch.float64).reshape(2, 4, 4)
    assert torch.autograd.gradcheck(lambda x: balanced_cross_entropy(x, labels), (logits,))
    assert torch.autograd.gradcheck(lambda x: balanced_cross_entropy(x, labels, weights=weights), (logits,))
    for threshold in (0.5, None):
        assert torch.autograd.gradcheck(
            lambda x, t=threshold: weighted_cross_entropy(x, labels, weights, threshold=t), (logits,)
        )


def test_balanced_loss_does_not_change_when_all_pixels_are_repeated() -> None:
    logits, labels = _random_case()
    twice = balanced_cross_entropy(logits.repeat(1, 1, 1, 2), labels.repeat(1, 1, 2))
    torch.testing.assert_close(twice, balanced_cross_entropy(logits, labels), rtol=1e-6, atol=0)


def test_threshold_one_is_the_unweighted_loss_and_zero_drops_the_pixels_without_weight() -> None:
    logits, labels = _random_case()
    weights = torch.rand(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights[0] = 0
    plain = F.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    torch.testing.assert_close(weighted_cross_entropy(logits, labels, weights, threshold=1), plain.mean())
    torch.testing.assert_close(weighted_cross_entropy(logits, labels, weights, threshold=0), plain[1].sum() / 32)


@pytest.mark.parametrize("label", [0, 2, 255])
def test_one_label_everywhere_is_finite_with_a_gradient(label: int) -> None:
    logits, _ = _random_case()
    labels = torch.full((2, 4, 4), label)
    loss = balanced_cross_entropy(logits, labels) + weighted_cross_entropy(logits, labels, torch.ones(2, 4, 4))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()
    assert loss.isfinite()
    assert (loss.item() == 0) == (label == 255)


def test_labels_of_uint8_and_scores_of_16_bits_give_the_same_loss_without_overflow() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 200, 200, generator=generator).half()  # the sum over pixels passes the largest half
    labels = torch.randint(0, 3, (2, 200, 200), generator=generator)
    weights = torch.rand(2, 200, 200, generator=generator)
    for loss in (balanced_cross_entropy, lambda x, y: weighted_cross_entropy(x, y, weights)):
        assert loss(logits, labels.byte()).item() == pytest.approx(loss(logits.double(), labels).item(), rel=1e-5)


def test_scores_of_16_bits_get_a_finite_gradient_without_foreground() -> None:
    logits = torch.zeros(1, 2, 1, 1, dtype=torch.float16, requires_grad=True)
    (gradient,) = torch.autograd.grad(balanced_cross_entropy(logits, torch.zeros(1, 1, 1, dtype=torch.int64)), logits)
    assert gradient.isfinite().all()


def test_bad_arguments_are_refused_by_name() -> None:
    weights = torch.ones(1, 1, 4)
    for argument, call in {
        "labels": lambda: balanced_cross_entropy(LOGITS, LABELS + 1),
        "labels must hold integers": lambda: inspect.unwrap(balanced_cross_entropy)(LOGITS, LABELS.float()),
        "labels must be .B,H,W.": lambda: inspect.unwrap(balanced_cross_entropy)(LOGITS, LABELS[:, :, :3]),
        "weights": lambda: weighted_cross_entropy(LOGITS, LABELS, weights * 255),
        "weights must be": lambda: inspect.unwrap(weighted_cross_entropy)(LOGITS, LABELS, weights[:, :, :2]),
        "weights must be in": lambda: balanced_cross_entropy(LOGITS, LABELS, weights=-weights),
        "threshold": lambda: weighted_cross_entropy(LOGITS, LABELS, weights, threshold=2.0),
        "threshold must be": lambda: noise_mitigation(weights, threshold=-0.1),
    }.items():
        with pytest.raises(ValueError, match=argument):
            call()


@pytest.mark.data
def test_balanced_loss_matches_the_recorded_case(golden: Golden) -> None:
    case = golden("seco_get_seg_loss")
    logits = torch.from_numpy(case["c0_in_pred"]).requires_grad_()
    loss = balanced_cross_entropy(logits, torch.from_numpy(case["c0_in_label"]).long())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(float(case["c0_out_loss"]), rel=1e-5)
    torch.testing.assert_close(gradient, torch.from_numpy(case["c0_out_grad_pred"]), rtol=1e-4, atol=1e-8)


@pytest.mark.data
def test_weighted_loss_matches_the_recorded_case(golden: Golden) -> None:
    case = golden("urn_weighted_cross_entropy")
    logits = torch.from_numpy(case["c0_in_pred"]).requires_grad_()
    weights = torch.from_numpy(case["c0_in_weight_map_uint8"]).float() / 255
    labels = torch.from_numpy(case["c0_in_label"]).long()
    loss = weighted_cross_entropy(logits, labels, weights, threshold=float(case["c0_p_weight_thresh"]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(float(case["c0_out_loss"]), rel=1e-5)
    torch.testing.assert_close(gradient, torch.from_numpy(case["c0_out_grad_pred"]), rtol=1e-4, atol=1e-8)
