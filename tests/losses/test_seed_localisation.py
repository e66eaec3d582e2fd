import inspect
import math

import pytest
import torch

from medwsss.losses.seed_localisation import seed_localisation_loss

SEEDS = torch.tensor([[[1, 1, 255, 255], [1, 0, 255, 255]]])
"""Two positions of 2×2 pixels: three quarters of the first are class 1, the second has no seed."""


def test_a_score_learns_the_share_of_its_class_among_the_seeds() -> None:
    scores = torch.tensor([[[[math.log(3.0), 50.0]]]])  # probability 3/4
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert seed_localisation_loss(scores, SEEDS, torch.ones(1, 2, 4)).item() == pytest.approx(entropy, rel=1e-5)


def test_pixels_without_a_seed_lower_the_weight_of_a_position_and_not_the_share() -> None:
    # First position: half of it is seeded, all class 1, weight 1/2. Second: all background, weight 1. Scores are 0.
    seeds = torch.tensor([[[1, 255, 0, 0], [1, 255, 0, 0]]])
    scores = torch.tensor([[[[math.log(3.0), 0.0]]]])
    expected = (0.5 * math.log(4 / 3) + 1 * math.log(2)) / 1.5
    assert seed_localisation_loss(scores, seeds, torch.ones(1, 2, 4)).item() == pytest.approx(expected, rel=1e-5)


def test_a_position_counts_the_mean_confidence_of_its_seeds() -> None:
    seeds = torch.tensor([[[1, 1, 0, 0], [1, 1, 0, 0]]])
    confidence = torch.tensor([[[1.0, 0.2, 0.3, 0.3], [0.0, 0.0, 0.3, 0.3]]])  # means 0.3 and 0.3
    scores = torch.tensor([[[[math.log(3.0), 0.0]]]])
    expected = (math.log(4 / 3) + math.log(2)) / 2
    assert seed_localisation_loss(scores, seeds, confidence).item() == pytest.approx(expected, rel=1e-5)


def test_classes_are_independent_of_each_other() -> None:
    seeds = torch.full((1, 2, 2), 2)
    scores = torch.tensor([0.0, math.log(3.0)]).reshape(1, 2, 1, 1)
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert seed_localisation_loss(scores, seeds, torch.ones(1, 2, 2)).item() == pytest.approx(expected, rel=1e-5)


def test_without_a_confident_seed_the_loss_and_its_gradient_are_zero() -> None:
    scores = torch.randn(1, 2, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for seeds, confidence in ((torch.full((1, 4, 4), 255), 1.0), (torch.ones(1, 4, 4, dtype=torch.int64), 0.0)):
        (gradient,) = torch.autograd.grad(
            seed_localisation_loss(scores, seeds, torch.full((1, 4, 4), confidence)), scores
        )
        assert not gradient.any()


def test_gradient_is_the_derivative() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 2, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    seeds = torch.randint(0, 4, (2, 5, 7), generator=generator)
    seeds = seeds.masked_fill(seeds == 3, 255)
    confidence = torch.rand(2, 5, 7, generator=generator)
    assert torch.autograd.gradcheck(lambda s: seed_localisation_loss(s, seeds, confidence), scores)


def test_maps_of_other_images_are_refused() -> None:
    function = inspect.unwrap(seed_localisation_loss)
    with pytest.raises(ValueError, match="must be"):
        function(torch.zeros(2, 1, 2, 2), torch.zeros(1, 4, 4, dtype=torch.int64), torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match="seeds must hold integers"):
        function(torch.zeros(1, 1, 2, 2), torch.zeros(1, 4, 4), torch.zeros(1, 4, 4))
