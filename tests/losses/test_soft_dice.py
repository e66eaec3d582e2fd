import math

import pytest
import torch

from medwsss.losses.soft_dice import soft_dice_loss

LABELS = torch.tensor([[[0, 1, 1, 255]]])


def test_even_odds_on_two_of_three_pixels() -> None:
    """Two classes at 1/2 each: overlap 2·1/2, predicted 3·1/2, labelled 2, the ignored pixel nowhere."""
    loss = soft_dice_loss(torch.zeros(1, 2, 1, 4), LABELS, smooth=1.0)
    assert loss.item() == pytest.approx(1 - (2 * 1.0 + 1) / (1.5 + 2 + 1))


def test_a_sure_and_right_prediction_costs_nothing() -> None:
    sure = torch.tensor([[[[50.0, -50.0, -50.0, 0.0]], [[-50.0, 50.0, 50.0, 0.0]]]])
    assert soft_dice_loss(sure, LABELS).item() == pytest.approx(0.0, abs=1e-6)


def test_a_class_that_is_neither_there_nor_predicted_costs_nothing() -> None:
    sure = torch.tensor([50.0, -50.0, -50.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert soft_dice_loss(sure, torch.zeros(1, 2, 2, dtype=torch.long)).item() == pytest.approx(0.0, abs=1e-6)


def test_pixels_of_weight_zero_count_like_ignored_ones() -> None:
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(32).reshape(2, 4, 4) % 3
    weights = torch.ones(2, 4, 4)
    weights[:, 0] = 0
    ignored = labels.clone()
    ignored[:, 0] = 255
    torch.testing.assert_close(soft_dice_loss(logits, labels, weights=weights), soft_dice_loss(logits, ignored))


def test_it_is_the_same_for_any_order_of_the_images() -> None:
    logits = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(48).reshape(3, 4, 4) % 2
    torch.testing.assert_close(soft_dice_loss(logits, labels), soft_dice_loss(logits.flip(0), labels.flip(0)))


def test_gradient() -> None:
    logits = torch.randn(1, 3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([[[0, 1, 2], [2, 255, 1]]])
    assert torch.autograd.gradcheck(lambda z: soft_dice_loss(z, labels), logits.requires_grad_())


def test_unknown_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.1 or 255"):
        soft_dice_loss(torch.zeros(1, 2, 1, 4), torch.full((1, 1, 4), 2))


def test_all_pixels_ignored_is_zero_with_a_gradient_path() -> None:
    logits = torch.zeros(1, 2, 2, 2, requires_grad=True)
    loss = soft_dice_loss(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert math.isclose(loss.item(), 0.0, abs_tol=1e-6)
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
