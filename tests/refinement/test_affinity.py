import inspect

import pytest
import torch
from torch import Tensor

from medwsss.refinement.affinity import random_walk, symmetric_affinity


def attention(batch: int, tokens: int, *, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (spread * torch.randn(batch, tokens, tokens, generator=generator)).softmax(dim=-1)


@pytest.mark.parametrize(("rounds", "tolerance"), [(3, 1e-2), (50, 1e-5)])
def test_affinity_is_doubly_stochastic_and_exactly_symmetric(rounds: int, tolerance: float) -> None:
    for tokens in (1, 5, 49, 196):
        affinity = symmetric_affinity(attention(2, tokens), rounds=rounds)
        assert torch.equal(affinity, affinity.mT)
        assert (affinity >= 0).all()
        torch.testing.assert_close(affinity.sum(dim=-1), torch.ones(2, tokens), atol=tolerance, rtol=0)


def test_affinity_of_two_tokens_is_the_mean_with_the_transpose() -> None:
    matrix = torch.tensor([[[1.0, 1.0], [3.0, 1.0]]])
    # One round gives [[1/3, 2/3], [3/5, 2/5]] (see test_sinkhorn); off the diagonal (2/3 + 3/5) / 2 = 19/30.
    expected = torch.tensor([[[1 / 3, 19 / 30], [19 / 30, 2 / 5]]])
    torch.testing.assert_close(symmetric_affinity(matrix, rounds=1), expected)


def test_gradients_reach_the_attention() -> None:
    matrix = attention(1, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(symmetric_affinity, matrix)


def test_one_step_is_the_mean_of_tokens_weighted_by_the_sharpened_row() -> None:
    cams = torch.tensor([[[[1.0, 0.0]]]])
    affinity = torch.tensor([[[3.0, 1.0], [2.0, 2.0]]])
    # Squared rows: [9, 1] / 10 and [4, 4] / 8.
    assert random_walk(cams, affinity, steps=1, power=2).flatten().tolist() == pytest.approx([0.9, 0.5])
    # Second step: 0.9·0.9 + 0.1·0.5 and (0.9 + 0.5) / 2.
    assert random_walk(cams, affinity, steps=2, power=2).flatten().tolist() == pytest.approx([0.86, 0.7])


def test_the_identity_returns_the_cams_and_so_do_zero_steps() -> None:
    cams = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    identity = torch.eye(20).expand(2, 20, 20)
    torch.testing.assert_close(random_walk(cams, identity, steps=5, power=3), cams)
    torch.testing.assert_close(random_walk(cams, attention(2, 20), steps=0), cams)


def test_constant_cams_stay_constant_even_with_isolated_tokens_and_high_powers_of_small_numbers() -> None:
    affinity = attention(2, 12) * 1e-6
    affinity[0, 3] = 0.0
    cams = torch.full((2, 2, 3, 4), 0.7)
    torch.testing.assert_close(random_walk(cams, affinity, steps=4, power=8), cams)


def test_tokens_are_numbered_row_by_row() -> None:
    cams = torch.arange(6.0).view(1, 1, 2, 3)
    to_next = torch.roll(torch.eye(6), 1, dims=1)[None]  # token i takes the value of token i + 1
    assert random_walk(cams, to_next, steps=1).flatten().tolist() == [1, 2, 3, 4, 5, 0]


def test_the_affinity_may_have_another_float_dtype_than_the_cams() -> None:
    cams, affinity = torch.rand(1, 2, 2, 2, dtype=torch.float64), attention(1, 4)
    walked = random_walk(cams, affinity)
    assert walked.dtype == torch.float64
    torch.testing.assert_close(walked, random_walk(cams, affinity.double()), atol=1e-6, rtol=0)


def test_shapes_and_ranges_are_checked_by_name() -> None:
    with pytest.raises(ValueError, match="attention"):
        inspect.unwrap(symmetric_affinity)(torch.rand(1, 2, 3))
    with pytest.raises(ValueError, match="attention"):
        symmetric_affinity(-torch.eye(2)[None])
    cams = torch.rand(1, 2, 2, 2)
    with pytest.raises(ValueError, match="affinity"):
        random_walk(cams, torch.rand(1, 3, 3))
    with pytest.raises(ValueError, match="affinity"):
        random_walk(cams, -torch.rand(1, 4, 4))
    with pytest.raises(ValueError, match="affinity"):
        inspect.unwrap(random_walk)(cams, torch.ones(1, 4, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="steps"):
        random_walk(cams, torch.eye(4)[None], steps=-1)
    with pytest.raises(ValueError, match="power"):
        random_walk(cams, torch.eye(4)[None], power=0)
