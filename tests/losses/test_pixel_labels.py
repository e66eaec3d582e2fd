import pytest
import torch

from medwsss.losses.pixel_labels import pixel_label_loss
from medwsss.losses.segmentation import balanced_cross_entropy, weighted_cross_entropy
from medwsss.losses.soft_dice import soft_dice_loss


@pytest.fixture
def pixels() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 6, 5), generator=generator)
    labels[0, 0] = 255
    return torch.randn(2, 3, 6, 5, generator=generator), labels, torch.rand(2, 6, 5, generator=generator)


def test_mean_is_the_cross_entropy_over_all_pixels(pixels: tuple[torch.Tensor, ...]) -> None:
    logits, labels, weights = pixels
    expected = weighted_cross_entropy(logits, labels, weights, threshold=None)
    assert torch.equal(pixel_label_loss(logits, labels, weights, kind="mean"), expected)


def test_balanced_is_that_of_unia(pixels: tuple[torch.Tensor, ...]) -> None:
    logits, labels, weights = pixels
    expected = balanced_cross_entropy(logits, labels, weights=weights)
    assert torch.equal(pixel_label_loss(logits, labels, weights, kind="balanced"), expected)


def test_dice_adds_soft_dice_to_the_mean(pixels: tuple[torch.Tensor, ...]) -> None:
    logits, labels, weights = pixels
    mean = pixel_label_loss(logits, labels, weights, kind="mean")
    expected = mean + soft_dice_loss(logits, labels, weights=weights)
    torch.testing.assert_close(pixel_label_loss(logits, labels, weights, kind="dice"), expected)
