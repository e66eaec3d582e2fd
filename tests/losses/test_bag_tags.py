"""Image-level labels of several slices at once."""

import math

import pytest
import torch

from medwsss.losses.bag_tags import bag_label_loss, pooled_logits, slice_tags
from medwsss.losses.classification import multi_label_loss

TOGETHER = torch.tensor([4, 4, 9])
"""Two slices that were tagged together, and one alone."""


def test_a_bag_is_between_the_mean_and_the_maximum_of_its_slices() -> None:
    logits = torch.tensor([[0.0], [2.0], [5.0]], dtype=torch.float64)
    pooled = pooled_logits(logits, TOGETHER)
    assert pooled[0].item() == pytest.approx(math.log((1.0 + math.exp(2.0)) / 2.0))  # log-mean-exp of 0 and 2
    assert 1.0 < pooled[0].item() < 2.0
    assert pooled[1].item() == pytest.approx(5.0)


def test_absent_classes_count_slice_by_slice_and_present_ones_by_bag() -> None:
    logits = torch.tensor([[0.0, 1.0], [2.0, -1.0], [5.0, 0.5]], dtype=torch.float64)
    tags = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    bag = math.log1p(math.exp(-math.log((1.0 + math.exp(2.0)) / 2.0)))  # -log sigmoid of the pooled logit, twice
    absent = math.log1p(math.exp(1.0)) + math.log1p(math.exp(-1.0))  # class 1 of slices 0 and 1
    alone = math.log1p(math.exp(5.0)) + math.log1p(math.exp(-0.5))
    assert bag_label_loss(logits, tags, TOGETHER).item() == pytest.approx((2 * bag + absent + alone) / 6)


def test_slices_that_were_tagged_alone_give_the_ordinary_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, generator=generator)
    tags = (torch.rand(5, 3, generator=generator) > 0.5).float()
    torch.testing.assert_close(bag_label_loss(logits, tags, torch.arange(5)), multi_label_loss(logits, tags))


def test_the_gradient_is_right() -> None:
    logits = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    tags = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    assert torch.autograd.gradcheck(lambda x: bag_label_loss(x, tags, torch.tensor([0, 0, 1, 1])), (logits,))


def test_the_order_of_slices_changes_nothing() -> None:
    logits, tags = torch.randn(3, 2, generator=torch.Generator().manual_seed(2)), torch.ones(3, 2)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        bag_label_loss(logits, tags, TOGETHER), bag_label_loss(logits[order], tags[order], TOGETHER[order])
    )


def test_slices_of_a_bag_with_different_tags_are_refused() -> None:
    with pytest.raises(ValueError, match="slices of a bag must have the same"):
        bag_label_loss(torch.zeros(3, 1), torch.tensor([[1.0], [0.0], [0.0]]), TOGETHER)
    with pytest.raises(ValueError, match="0 and 1"):
        bag_label_loss(torch.zeros(3, 1), torch.full((3, 1), 0.5), TOGETHER)


def test_the_classifier_says_which_slices_show_what_their_bag_does() -> None:
    logits = torch.tensor([[-3.0, 1.0], [-1.0, -1.0], [-2.0, -5.0]])
    tags = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    told = slice_tags(logits, tags, TOGETHER)
    # class 0: no slice of the bag is likely, so the likeliest is; the slice that stands alone keeps its tag
    assert told.tolist() == [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
