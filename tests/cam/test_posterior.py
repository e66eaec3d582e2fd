import inspect
import math

import pytest
import torch
import torch.nn.functional as F

from medwsss.cam.posterior import multinomial_log_odds, multinomial_posterior


def _random_scores(classes: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(2, classes, 3, 2, dtype=torch.float64, generator=generator)


def test_two_classes_share_a_position_with_the_background() -> None:
    scores = torch.tensor([math.log(2.0), math.log(5.0)]).reshape(1, 2, 1, 1)
    posterior, log_odds = multinomial_posterior(scores), multinomial_log_odds(scores)
    assert posterior.flatten().tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert log_odds.flatten().tolist() == pytest.approx([math.log(2 / 6), math.log(5 / 3)])


def test_posteriors_sum_to_one_and_are_the_sigmoid_of_their_log_odds() -> None:
    posterior = multinomial_posterior(_random_scores())
    torch.testing.assert_close(posterior.sum(dim=1), torch.ones(2, 3, 2, dtype=torch.float64))
    torch.testing.assert_close(multinomial_log_odds(_random_scores()).sigmoid(), posterior[:, 1:])


def test_with_one_class_the_multinomial_is_the_binomial() -> None:
    scores = torch.linspace(-300, 300, 61).reshape(1, 1, 1, 61)
    assert torch.equal(multinomial_log_odds(scores), scores)
    torch.testing.assert_close(multinomial_posterior(scores)[:, 1:], scores.sigmoid())


def test_the_order_of_the_classes_does_not_matter() -> None:
    scores = _random_scores()
    torch.testing.assert_close(multinomial_log_odds(scores.flip(1)), multinomial_log_odds(scores).flip(1))


def test_gradients_are_the_derivatives() -> None:
    scores = _random_scores().requires_grad_()
    assert torch.autograd.gradcheck(multinomial_posterior, (scores,))
    assert torch.autograd.gradcheck(multinomial_log_odds, (scores,))


def test_the_loss_on_log_odds_is_the_cross_entropy_of_the_posterior() -> None:
    scores, labels = _random_scores(), torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    target = labels[:, :, None, None].expand_as(scores)
    by_logits = F.binary_cross_entropy_with_logits(multinomial_log_odds(scores), target)
    torch.testing.assert_close(by_logits, F.binary_cross_entropy(multinomial_posterior(scores)[:, 1:], target))


def test_sure_scores_stay_finite_with_their_gradient_where_the_posterior_is_0_or_1() -> None:
    scores = torch.tensor([[[[1e4]], [[-1e4]], [[60.0]]]], requires_grad=True)
    log_odds = multinomial_log_odds(scores)
    assert log_odds.flatten().tolist() == [1e4 - 60, -2e4, 60 - 1e4]
    log_odds.sum().backward()
    # +1 for the own class; −1 to the likeliest of the others: the third of the first, the first of the other two
    assert scores.grad is not None
    assert scores.grad.flatten().tolist() == [-1.0, 1.0, 0.0]


def test_equal_scores_share_alike() -> None:
    log_odds = multinomial_log_odds(torch.zeros(1, 3, 1, 1))  # 1/4 each
    assert log_odds.flatten().tolist() == pytest.approx([math.log(1 / 3)] * 3)


def test_scores_must_have_four_axes() -> None:
    for function in (multinomial_posterior, multinomial_log_odds):
        with pytest.raises(ValueError, match=r"scores must be .B,M,h,w."):
            inspect.unwrap(function)(torch.zeros(3, 1, 1))
