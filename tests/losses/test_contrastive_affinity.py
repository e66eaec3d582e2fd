import inspect
import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from medwsss.losses.contrastive_affinity import contrastive_affinity_loss, token_pairs

LABELS = torch.tensor([[[1, 1, 2]]])
AFFINITY = torch.tensor([[[9.0, 0.5, 0.1], [0.3, 9.0, 0.2], [0.0, 0.4, 9.0]]])


@pytest.mark.parametrize("negatives", ["mean", "sum"])
@pytest.mark.parametrize("form", ["infonce", "literal"])
def test_three_tokens_give_the_value_worked_out_by_hand(
    negatives: Literal["mean", "sum"], form: Literal["infonce", "literal"]
) -> None:
    # positive pairs 01 and 10 (0.5, 0.3); negative pairs 02, 12, 20, 21; e^{a/τ} = e^{2a}
    repulsion = sum(math.exp(2 * k) for k in (0.1, 0.2, 0.0, 0.4)) / (4 if negatives == "mean" else 1)
    ratios = [math.exp(2 * q) / (math.exp(2 * q) + repulsion) for q in (0.5, 0.3)]
    expected = -sum(math.log(r) if form == "infonce" else r for r in ratios) / 2
    loss = contrastive_affinity_loss(AFFINITY, LABELS, temperature=0.5, negatives=negatives, form=form)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_equal_affinities_give_log_2() -> None:
    labels = torch.tensor([[[0, 0], [1, 2]], [[1, 1], [1, 2]]])
    loss = contrastive_affinity_loss(torch.full((2, 4, 4), 0.25), labels)
    assert loss.item() == pytest.approx(math.log(2.0))


@pytest.mark.parametrize("negatives", ["mean", "sum"])
@pytest.mark.parametrize("form", ["infonce", "literal"])
def test_gradient_is_the_derivative(negatives: Literal["mean", "sum"], form: Literal["infonce", "literal"]) -> None:
    generator = torch.Generator().manual_seed(0)
    affinity = torch.rand(2, 6, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.tensor([[[0, 0, 1], [1, 2, 255]], [[1, 1, 1], [1, 1, 1]]])

    def loss(affinity: Tensor) -> Tensor:
        return contrastive_affinity_loss(affinity, labels, negatives=negatives, form=form, radius=1)

    assert torch.autograd.gradcheck(loss, (affinity,))


def test_batch_is_the_mean_of_its_images_and_class_names_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    affinity = torch.rand(3, 9, 9, generator=generator)
    labels = torch.randint(0, 3, (3, 3, 3), generator=generator)
    single = [contrastive_affinity_loss(affinity[i : i + 1], labels[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(contrastive_affinity_loss(affinity, (labels + 1) % 3), torch.stack(single).mean())


def test_pairs_are_cut_at_the_chebyshev_radius_and_leave_out_diagonal_and_ignored() -> None:
    labels = torch.tensor([[[1, 1, 1], [2, 255, 1]]])
    positive, negative = token_pairs(labels, radius=1)
    found = [{(i, j) for _, i, j in pairs.nonzero().tolist() if i < j} for pairs in (positive, negative)]
    assert found == [{(0, 1), (1, 2), (1, 5), (2, 5)}, {(0, 3), (1, 3)}]
    assert not positive.diagonal(dim1=1, dim2=2).any()
    assert not (positive | negative)[0, 4].any()


@pytest.mark.parametrize("negatives", ["mean", "sum"])
@pytest.mark.parametrize("form", ["infonce", "literal"])
@pytest.mark.parametrize("row", [[1, 1, 1], [0, 1, 2], [255, 255, 255], [1, 255, 255]])
def test_no_positives_or_no_negatives_is_zero_with_a_zero_gradient(
    row: list[int], negatives: Literal["mean", "sum"], form: Literal["infonce", "literal"]
) -> None:
    affinity = AFFINITY.clone().requires_grad_()
    loss = contrastive_affinity_loss(affinity, torch.tensor([[row]]), negatives=negatives, form=form)
    loss.backward()
    assert loss.item() == 0.0
    assert affinity.grad is not None
    assert (affinity.grad == 0).all()


def test_16_bits_and_uint8_labels_give_the_same_loss_without_overflow() -> None:
    generator = torch.Generator().manual_seed(0)
    affinity = torch.rand(1, 400, 400, generator=generator).half()  # 160,000 pairs: their sum passes the largest half
    labels = torch.randint(0, 3, (1, 20, 20), generator=generator)
    expected = contrastive_affinity_loss(affinity.double(), labels).item()
    assert contrastive_affinity_loss(affinity, labels.byte()).item() == pytest.approx(expected, rel=1e-5)


def test_bad_arguments_are_refused_by_name() -> None:
    loss = inspect.unwrap(contrastive_affinity_loss)
    for argument, call in {
        "affinity": lambda: loss(AFFINITY[:, :2], LABELS),
        "affinity must hold floats": lambda: loss(AFFINITY.long(), LABELS),
        "labels": lambda: loss(AFFINITY, LABELS.float()),
        "temperature": lambda: loss(AFFINITY, LABELS, temperature=0.0),
        "radius": lambda: loss(AFFINITY, LABELS, radius=0),
        "negatives": lambda: loss(AFFINITY, LABELS, negatives="all"),
        "form": lambda: loss(AFFINITY, LABELS, form="nce"),
    }.items():
        with pytest.raises(ValueError, match=argument):
            call()
