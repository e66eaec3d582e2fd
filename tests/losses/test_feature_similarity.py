import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from medwsss.losses import feature_similarity
from medwsss.losses.feature_similarity import feature_similarity_loss

Golden = Callable[[str], dict[str, np.ndarray]]


def _random_case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=generator)
    return images, torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=generator, requires_grad=True)


def test_two_pixels_give_the_value_worked_out_by_hand() -> None:
    images = torch.tensor([[[[0.0, 0.3]], [[0.5, 0.5]], [[0.9, 0.6]]]])  # δ = (0.3 + 0 + 0.3)/3 = 0.2
    maps = torch.tensor([[[[1.0, 0.4]], [[0.0, 0.2]]]])
    spatial = math.exp(-1 / (2 * 2.0**2)) / (2 * math.pi * 2.0**2)
    gate = 0.5 * (0.6**2 + 0.2**2)
    edge = math.tanh(1.5 + math.log((0.2 + 1e-5) / (0.8 + 1e-5)))
    expected = -2 * spatial * gate * edge / 2  # two ordered pairs, two pixels
    assert feature_similarity_loss(images, maps, mu=1.5, sigma=2.0).item() == pytest.approx(expected, rel=1e-5)


def test_sum_over_all_pairs_is_the_same_without_matrix_products_and_in_any_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, maps = _random_case()
    pixels = [(y, x) for y in range(4) for x in range(5)]
    total = 0.0
    for b in range(2):
        for p in pixels:
            for q in pixels:
                distance = (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2
                delta = (images[b, :, *p] - images[b, :, *q]).abs().mean().item()
                edge = math.tanh(2.5 + math.log((delta + 1e-5) / (1 - delta + 1e-5)))
                gate = 0.5 * (maps[b, :, *p] - maps[b, :, *q]).square().sum().item()
                total -= math.exp(-distance / 50) / (50 * math.pi) * gate * edge / 20
    monkeypatch.setattr(feature_similarity, "ENTRIES", 3 * 40)
    assert feature_similarity_loss(images, maps).item() == pytest.approx(total / 2, rel=1e-9)


def _all_pairs(images: torch.Tensor, maps: torch.Tensor, *, sigma: float) -> torch.Tensor:
    """Eq. 9-13 as printed, for every pair of pixels."""
    height, width = maps.shape[2:]
    place = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).flatten(1).double()
    squares = (place[:, :, None] - place[:, None]).square().sum(dim=0)
    spatial = torch.exp(-squares / (2 * sigma**2)) / (2 * math.pi * sigma**2)
    colours, flat = images.flatten(2), maps.flatten(2)
    delta = (colours[:, :, :, None] - colours[:, :, None]).abs().mean(dim=1)
    edge = torch.tanh(2.5 + torch.log((delta + 1e-5) / (1 - delta + 1e-5)))
    gate = 0.5 * (flat[:, :, :, None] - flat[:, :, None]).square().sum(dim=1)
    return -(spatial * gate * edge).sum(dim=(1, 2)).mean() / (height * width)


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_beyond_the_reach_of_the_gaussian_change_neither_value_nor_gradient(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, channels, 30, 6, dtype=torch.float64, generator=generator).expand(2, 3, 30, 6)
    ramp = torch.linspace(0, 1, 30, dtype=torch.float64)[:, None].expand(2, 2, 30, 6)  # far pairs differ the most
    maps = (0.9 * ramp + 0.1 * torch.rand(2, 2, 30, 6, dtype=torch.float64, generator=generator)).requires_grad_()
    ours, printed = feature_similarity_loss(images, maps, sigma=2.0), _all_pairs(images, maps, sigma=2.0)
    assert ours.item() == pytest.approx(printed.item(), rel=1e-6)
    gradients = [torch.autograd.grad(loss, maps)[0] for loss in (ours, printed)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-9)


def test_pixels_outside_take_no_part_and_the_mean_runs_over_those_inside() -> None:
    images, maps = _random_case()
    inside = torch.zeros(2, 6, 9, dtype=torch.bool)
    inside[:, 1:5, 3:8] = True
    framed_images, framed_maps = torch.rand(2, 3, 6, 9, dtype=torch.float64), torch.randn(2, 3, 6, 9).double()
    framed_images[:, :, 1:5, 3:8], framed_maps[:, :, 1:5, 3:8] = images, maps.detach()
    framed_maps.requires_grad_()
    loss = feature_similarity_loss(framed_images, framed_maps, inside=inside)
    torch.testing.assert_close(loss, feature_similarity_loss(images, maps))
    (gradient,) = torch.autograd.grad(loss, framed_maps)
    assert torch.equal(gradient.abs().sum(dim=1) > 0, inside)


def test_an_image_without_pixels_inside_adds_nothing() -> None:
    images, maps = _random_case()
    inside = torch.tensor([True, False])[:, None, None].expand(2, 4, 5)
    half = feature_similarity_loss(images[:1], maps[:1]) / 2
    torch.testing.assert_close(feature_similarity_loss(images, maps, inside=inside), half)


def test_gradient_is_the_derivative() -> None:
    images, maps = _random_case()
    assert torch.autograd.gradcheck(lambda x: feature_similarity_loss(images, x), (maps,))


def test_adding_a_constant_to_a_map_changes_nothing_and_flat_maps_cost_nothing() -> None:
    images, maps = _random_case()
    torch.testing.assert_close(feature_similarity_loss(images, maps + 3), feature_similarity_loss(images, maps))
    flat = torch.full((2, 3, 4, 5), 0.7, requires_grad=True)
    loss = feature_similarity_loss(images, flat)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert flat.grad is not None
    assert flat.grad.abs().max() < 1e-7


def test_an_image_of_one_colour_pulls_and_opposite_colours_push() -> None:
    maps = torch.tensor([[[[1.0, 0.0]]]])
    assert feature_similarity_loss(torch.ones(1, 3, 1, 2), maps).item() > 0
    assert feature_similarity_loss(torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2), maps).item() < 0


def test_16_bits_give_the_same_loss() -> None:
    images, maps = (values.detach().half() for values in _random_case())
    expected = feature_similarity_loss(images.double(), maps.double()).item()
    assert feature_similarity_loss(images, maps).item() == pytest.approx(expected, rel=1e-4)


def test_bad_arguments_are_refused_by_name() -> None:
    loss, (images, maps) = inspect.unwrap(feature_similarity_loss), _random_case()
    for argument, call in {
        "images must be in": lambda: loss(images * 255, maps),
        "images must be floats .B": lambda: loss(images[:, :1], maps),
        "maps": lambda: loss(images, maps[..., :2]),
        "sigma": lambda: loss(images, maps, sigma=0.0),
        "inside": lambda: loss(images, maps, inside=torch.ones(2, 5, 4, dtype=torch.bool)),
    }.items():
        with pytest.raises(ValueError, match=argument):
            call()


@pytest.mark.data
def test_loss_and_gradient_match_the_recorded_case(golden: Golden) -> None:
    case = golden("hfpl_fsl")
    maps = torch.from_numpy(case["c0_in_y"]).requires_grad_()
    loss = feature_similarity_loss(torch.from_numpy(case["c0_in_x"]), maps)
    (gradient,) = torch.autograd.grad(loss, maps)
    assert loss.item() == pytest.approx(float(case["c0_out_loss"]), rel=1e-5)
    torch.testing.assert_close(gradient, torch.from_numpy(case["c0_out_grad_y"]), rtol=1e-4, atol=1e-8)
