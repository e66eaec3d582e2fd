import pytest
import torch

from medwsss.losses.reconstruction import patch_statistics, reconstruction_loss


def test_only_pixels_that_count_enter_the_mean() -> None:
    predicted = torch.tensor([[[[1.0, 5.0], [9.0, 0.0]]]])
    target = torch.tensor([[[[0.0, 2.0], [100.0, 0.5]]]])
    counted = torch.tensor([[[True, True], [False, False]]])
    assert reconstruction_loss(predicted, target, counted).item() == (1 + 3) / 2


def test_channels_are_averaged() -> None:
    predicted, target = torch.tensor([1.0, 2.0, 6.0]).reshape(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    assert reconstruction_loss(predicted, target, torch.ones(1, 1, 1, dtype=torch.bool)).item() == 3.0


def test_no_gradient_reaches_pixels_that_do_not_count() -> None:
    predicted = torch.rand(1, 1, 2, 2, requires_grad=True)
    counted = torch.tensor([[[True, False], [False, True]]])
    reconstruction_loss(predicted, torch.full((1, 1, 2, 2), 2.0), counted).backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 0].tolist() == [[-0.5, 0.0], [0.0, -0.5]]


def test_where_nothing_counts_the_loss_is_0() -> None:
    nothing = torch.zeros(1, 2, 2, dtype=torch.bool)
    assert reconstruction_loss(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), nothing).item() == 0.0


def test_the_loss_has_the_right_derivative() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    target = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=generator)
    counted = torch.rand(2, 4, 4, generator=generator) > 0.4
    assert torch.autograd.gradcheck(lambda p: reconstruction_loss(p, target, counted), predicted)


def test_statistics_are_those_of_each_patch() -> None:
    left, right = [[0.0, 0.4], [0.4, 0.0]], [[0.5, 0.5], [0.5, 0.5]]
    image = torch.tensor([[*left_row, *right_row] for left_row, right_row in zip(left, right, strict=True)])
    found = patch_statistics(image[None, None], 2, least_deviation=0.05)
    torch.testing.assert_close(found.mean[0, 0], torch.tensor([[0.2, 0.2, 0.5, 0.5]] * 2))
    torch.testing.assert_close(found.deviation[0, 0], torch.tensor([[0.2, 0.2, 0.05, 0.05]] * 2))  # flat: the least


def test_normalised_patches_do_not_depend_on_brightness_and_contrast() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = [patch_statistics(version, 4) for version in (image, 3 * image + 1)]
    torch.testing.assert_close(
        (image - found[0].mean) / found[0].deviation, (3 * image + 1 - found[1].mean) / found[1].deviation,
        atol=1e-4, rtol=1e-4,
    )  # fmt: skip


def test_a_size_that_is_no_multiple_of_the_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of the patch of 4"):
        patch_statistics(torch.rand(1, 3, 8, 6), 4)
