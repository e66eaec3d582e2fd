import inspect

import pytest
import torch

from medwsss.refinement.sinkhorn import sinkhorn


def test_one_round_divides_columns_then_rows_by_their_sums() -> None:
    matrix = torch.tensor([[[1.0, 3.0], [3.0, 1.0]], [[1.0, 1.0], [3.0, 1.0]]])
    # First: columns sum to 4, then rows to 1. Second: columns give [[1/4, 1/2], [3/4, 1/2]], rows sum to 3/4 and 5/4.
    expected = torch.tensor([[[1 / 4, 3 / 4], [3 / 4, 1 / 4]], [[1 / 3, 2 / 3], [3 / 5, 2 / 5]]])
    torch.testing.assert_close(sinkhorn(matrix, rounds=1), expected)


def test_a_doubly_stochastic_matrix_stays_as_it_is() -> None:
    matrix = torch.tensor([[[0.2, 0.3, 0.5], [0.5, 0.2, 0.3], [0.3, 0.5, 0.2]]])
    torch.testing.assert_close(sinkhorn(matrix, rounds=7), matrix)


def test_rows_and_columns_without_mass_stay_zero() -> None:
    matrix = torch.tensor([[[0.0, 0.0], [0.0, 2.0]]])
    assert torch.equal(sinkhorn(matrix), torch.tensor([[[0.0, 0.0], [0.0, 1.0]]]))


def test_gradients_pass_a_numerical_check() -> None:
    matrix = torch.rand(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    assert torch.autograd.gradcheck(lambda m: sinkhorn(m, rounds=2), matrix.requires_grad_())


def test_negative_rectangular_or_unrounded_input_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        sinkhorn(-torch.eye(2)[None])
    with pytest.raises(ValueError, match="matrix"):
        inspect.unwrap(sinkhorn)(torch.rand(1, 2, 3))
    with pytest.raises(ValueError, match="rounds"):
        sinkhorn(torch.eye(2)[None], rounds=0)
