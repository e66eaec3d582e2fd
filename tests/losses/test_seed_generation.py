import inspect
import math

import pytest
import torch

from medwsss.losses.seed_generation import controlled_scores, with_background


def activations(*, dtype: torch.dtype = torch.float32, classes: int = 3) -> torch.Tensor:
    return torch.randn(2, classes, 3, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))


def test_two_positions_weigh_as_much_as_their_share_against_the_background() -> None:
    scores = torch.tensor([[[[0.0, math.log(3.0)]]]])  # α = 1/(1+1) and 3/(1+3) beside a background of exp(0)
    expected = (1 / 2 * 0.0 + 3 / 4 * math.log(3.0)) / (1 / 2 + 3 / 4)
    assert controlled_scores(scores, temperature=1.0, background=0.0).item() == pytest.approx(expected)


def test_temperature_one_half_squares_the_weights() -> None:
    scores = torch.tensor([[[[0.0, math.log(3.0)]]]])
    expected = (9 / 16 * math.log(3.0)) / (1 / 4 + 9 / 16)
    assert controlled_scores(scores, temperature=0.5, background=0.0).item() == pytest.approx(expected)


def test_classes_share_each_position() -> None:
    scores = torch.tensor([[[[0.0, math.log(2.0)]], [[math.log(2.0), 0.0]]]])  # α of class 1: 1/4, 2/4
    expected = (2 / 4 * math.log(2.0)) / (3 / 4)
    assert controlled_scores(scores, temperature=1.0, background=0.0)[0, 0].item() == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 50.0])
def test_gradient_is_the_derivative(temperature: float) -> None:
    scores = activations(dtype=torch.float64).requires_grad_()
    inside = torch.ones(2, 3, 4, dtype=torch.bool)
    inside[1, :, 2:] = False
    assert torch.autograd.gradcheck(
        lambda x: controlled_scores(x, temperature=temperature, background=1.0, inside=inside), (scores,)
    )


def test_the_order_of_positions_does_not_matter() -> None:
    scores = activations()
    torch.testing.assert_close(
        controlled_scores(scores.flip(-1).mT, temperature=0.7, background=1.0),
        controlled_scores(scores, temperature=0.7, background=1.0),
    )


def test_an_infinite_temperature_is_global_average_pooling() -> None:
    scores = activations()
    average = scores.mean(dim=(2, 3))
    assert torch.allclose(controlled_scores(scores, temperature=math.inf, background=1.0), average)
    assert torch.allclose(controlled_scores(scores, temperature=1e6, background=1.0), average, atol=1e-5)


def test_a_small_temperature_approaches_the_maximum() -> None:
    scores = activations(classes=1)
    pooled = controlled_scores(scores, temperature=1e-3, background=1.0)
    torch.testing.assert_close(pooled, scores.amax(dim=(2, 3)))


def test_positions_outside_the_image_do_not_count() -> None:
    scores = activations()
    inside = torch.zeros(2, 3, 4, dtype=torch.bool)
    inside[:, :2, :3] = True
    cropped = controlled_scores(scores[:, :, :2, :3], temperature=1.0, background=1.0)
    scores[:, :, 2:] = 1e6
    torch.testing.assert_close(controlled_scores(scores, temperature=1.0, background=1.0, inside=inside), cropped)


def test_weights_that_underflow_leave_scores_and_gradients_finite() -> None:
    scores = torch.tensor([[[[-400.0, -300.0]], [[300.0, 400.0]]]], requires_grad=True)  # α of class 1 is 0 in float32
    pooled = controlled_scores(scores, temperature=0.1, background=1.0)
    pooled.sum().backward()
    torch.testing.assert_close(pooled, torch.tensor([[-350.0, 350.0]]))  # log α is -700, -700 and 0, 0
    assert scores.grad.isfinite().all()


def test_half_precision_is_pooled_in_single() -> None:
    assert controlled_scores(activations().half(), temperature=1.0, background=1.0).dtype == torch.float32


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        controlled_scores(activations(), temperature=0.0, background=1.0)
    with pytest.raises(ValueError, match="inside"):
        inspect.unwrap(controlled_scores)(
            activations(), temperature=1.0, background=1.0, inside=torch.ones(2, 4, 4, dtype=torch.bool)
        )
    with pytest.raises(ValueError, match="activations"):
        inspect.unwrap(with_background)(torch.zeros(2, 3), 1.0)
