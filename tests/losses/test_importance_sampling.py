import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from medwsss.losses.importance_sampling import importance_sampling_loss, sample_positions

Golden = Callable[[str], dict[str, np.ndarray]]

LOGITS = torch.tensor([[[[0.0, math.log(3.0)]]]])  # probabilities 1/2 and 3/4


@pytest.mark.parametrize("present", [0, 1])
def test_given_positions_give_the_mean_of_their_binary_cross_entropies(present: int) -> None:
    half, three_quarters = math.log(2), (math.log(4 / 3) if present else math.log(4))
    loss = importance_sampling_loss(LOGITS, torch.tensor([[present]]), indices=torch.tensor([[[1, 1, 0]]]))
    assert loss.item() == pytest.approx((2 * three_quarters + half) / 3, rel=1e-5)


def test_gradient_is_the_derivative_and_reaches_sampled_positions_only() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    indices = torch.randint(0, 3, (2, 3, 4), generator=generator)  # never the last position
    assert torch.autograd.gradcheck(lambda x: importance_sampling_loss(x, labels, indices=indices), (logits,))
    (gradient,) = torch.autograd.grad(importance_sampling_loss(logits, labels, indices=indices), logits)
    assert (gradient[:, :, 1, 1] == 0).all()


def test_order_of_the_samples_does_not_matter() -> None:
    logits = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    labels, indices = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0, 4, 8], [1, 2, 2]]])
    one, other = (importance_sampling_loss(logits, labels, indices=i) for i in (indices, indices.flip(2)))
    torch.testing.assert_close(one, other)


def test_positions_are_drawn_in_proportion_to_the_probability() -> None:
    drawn = sample_positions(LOGITS, samples=20000, generator=torch.Generator().manual_seed(0))
    assert drawn.float().mean().item() == pytest.approx((3 / 4) / (1 / 2 + 3 / 4), abs=0.01)


def test_the_same_generator_state_draws_the_same_loss() -> None:
    logits = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    losses = [
        importance_sampling_loss(logits, torch.ones(2, 3), generator=torch.Generator().manual_seed(seed)).item()
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_very_low_scores_can_still_be_drawn() -> None:
    logits = torch.full((1, 2, 3, 3), -1e4, requires_grad=True)
    loss = importance_sampling_loss(logits, torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(1e4 / 2)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_positions_outside_are_never_drawn_however_likely() -> None:
    logits = torch.zeros(1, 1, 2, 3)
    logits[..., 2] = 100.0
    inside = torch.tensor([[[True, True, False], [False, True, False]]])
    drawn = sample_positions(logits, samples=200, generator=torch.Generator().manual_seed(0), inside=inside)
    assert set(drawn.flatten().tolist()) == {0, 1, 4}
    loss = importance_sampling_loss(logits, torch.zeros(1, 1), inside=inside)
    assert loss.item() == pytest.approx(math.log(2))  # all that can be drawn are probabilities of 1/2


def test_positions_may_be_int32() -> None:
    indices = torch.tensor([[[0, 1, 1]]])
    given = [importance_sampling_loss(LOGITS, torch.ones(1, 1), indices=i) for i in (indices, indices.int())]
    assert given[0] == given[1]


def test_bad_arguments_are_refused_by_name() -> None:
    loss, present = inspect.unwrap(importance_sampling_loss), torch.ones(1, 1)
    for argument, call in {
        "logits": lambda: loss(LOGITS[0], present),
        "image_labels": lambda: loss(LOGITS, torch.ones(1, 2)),
        "image_labels must hold": lambda: loss(LOGITS, present * 2),
        "samples": lambda: loss(LOGITS, present, samples=0),
        "indices must be in": lambda: loss(LOGITS, present, indices=torch.tensor([[[2]]])),
        "indices must hold integers": lambda: loss(LOGITS, present, indices=torch.tensor([[[1.0]]])),
        "inside": lambda: loss(LOGITS, present, inside=torch.zeros(1, 1, 2, dtype=torch.bool)),
        "inside must be .B,h,w.": lambda: inspect.unwrap(sample_positions)(
            LOGITS, samples=1, inside=torch.ones(1, 2, 1, dtype=torch.bool)
        ),
        "indices must be .* with S": lambda: loss(LOGITS, present, indices=torch.tensor([[1]])),
    }.items():
        with pytest.raises(ValueError, match=argument):
            call()


@pytest.mark.data
def test_loss_gradient_and_expectation_match_the_recorded_case(golden: Golden) -> None:
    case = golden("hfpl_isl")
    logits = torch.from_numpy(case["c0_in_logits"])[:, 1:].requires_grad_()
    labels = torch.from_numpy(case["c0_in_label"])
    indices = torch.from_numpy(case["c0_in_indices"]).long().reshape(*labels.shape, -1)
    loss = importance_sampling_loss(logits, labels, indices=indices)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(float(case["c0_out_loss"]), rel=1e-5)
    expected_gradient = torch.from_numpy(case["c0_out_grad_logits"])[:, 1:]
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-8)
    many = importance_sampling_loss(logits, labels, samples=20000, generator=torch.Generator().manual_seed(0))
    assert many.item() == pytest.approx(float(case["c0_out_exact_expectation"]), rel=0.01)
