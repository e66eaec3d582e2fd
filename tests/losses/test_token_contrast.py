import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from medwsss.losses.token_contrast import token_contrast_loss

Golden = Callable[[str], dict[str, np.ndarray]]


def test_three_tokens_give_the_value_worked_out_by_hand() -> None:
    features = torch.tensor([[[[1.0, -2.0, 1.0]], [[0.0, 0.0, 1.0]]]])  # |cos| 01: 1, 02 and 12: 1/sqrt 2
    positive = 2 * 1 / (2 + 1)  # ordered pairs 01 and 10
    negative = 4 * math.sqrt(0.5) / (4 + 1)
    loss = token_contrast_loss(features, torch.tensor([[[1, 1, 0]]]))
    assert loss.item() == pytest.approx(0.5 * (1 - positive) + 0.5 * negative, rel=1e-5)


def test_gradient_is_the_derivative() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.tensor([[[0, 0, 1], [1, 255, 2]], [[1, 1, 1], [1, 1, 0]]])
    assert torch.autograd.gradcheck(lambda x: token_contrast_loss(x, labels), (features,))


def test_length_and_sign_of_a_token_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 4, 3, 3, generator=generator)
    factors = torch.randn(1, 1, 3, 3, generator=generator)
    labels = torch.randint(0, 3, (1, 3, 3), generator=generator)
    torch.testing.assert_close(token_contrast_loss(features * factors, labels), token_contrast_loss(features, labels))


@pytest.mark.parametrize("row", [[255, 255], [1, 255], [1, 1], [0, 1]])
def test_missing_pairs_and_zero_tokens_are_finite_with_a_gradient(row: list[int]) -> None:
    features = torch.zeros(1, 3, 1, 2, requires_grad=True)
    loss = token_contrast_loss(features, torch.tensor([[row]]))
    loss.backward()
    assert loss.item() == 0.5
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_zero_tokens_of_16_bits_get_a_finite_gradient_and_uint8_labels_are_taken() -> None:
    features = torch.zeros(1, 3, 1, 2, dtype=torch.float16, requires_grad=True)
    (gradient,) = torch.autograd.grad(token_contrast_loss(features, torch.tensor([[[0, 1]]]).byte()), features)
    assert gradient.isfinite().all()


def test_labels_of_another_shape_or_dtype_are_refused() -> None:
    loss, features = inspect.unwrap(token_contrast_loss), torch.zeros(1, 3, 2, 2)
    with pytest.raises(ValueError, match="labels"):
        loss(features, torch.zeros(1, 2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels"):
        loss(features, torch.zeros(1, 2, 2))


@pytest.mark.data
def test_loss_and_gradient_match_the_recorded_case(golden: Golden) -> None:
    case = golden("toco_label_to_aff_mask_and_ptc_loss")
    features = torch.from_numpy(case["c0_in_fmap"]).requires_grad_()
    loss = token_contrast_loss(features, torch.from_numpy(case["c0_in_label"]).long())
    (gradient,) = torch.autograd.grad(loss, features)
    assert loss.item() == pytest.approx(float(case["c0_out_loss"]), rel=1e-5)
    torch.testing.assert_close(gradient, torch.from_numpy(case["c0_out_grad_fmap"]), rtol=1e-4, atol=1e-8)
