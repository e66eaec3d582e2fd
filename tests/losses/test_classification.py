import inspect
import math

import pytest
import torch

from medwsss.losses.classification import multi_label_loss


def test_two_classes_give_the_mean_of_their_binary_cross_entropies() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])  # probabilities 1/2 and 3/4
    expected = (-math.log(1 / 2) - math.log(1 - 3 / 4)) / 2
    assert multi_label_loss(logits, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(expected)


def test_gradient_is_the_derivative() -> None:
    logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert torch.autograd.gradcheck(lambda x: multi_label_loss(x, labels), (logits,))


def test_swapping_presence_and_the_sign_of_the_score_changes_nothing() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[True, False, True, False]]).expand(3, 4)
    torch.testing.assert_close(multi_label_loss(logits, labels), multi_label_loss(-logits, ~labels))


def test_huge_scores_stay_finite() -> None:
    assert multi_label_loss(torch.tensor([[1e4, -1e4]]), torch.tensor([[0.0, 1.0]])).item() == pytest.approx(1e4)


def test_labels_of_another_shape_or_not_binary_are_refused() -> None:
    with pytest.raises(ValueError, match="image_labels"):
        inspect.unwrap(multi_label_loss)(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="image_labels"):
        multi_label_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.3]]))
