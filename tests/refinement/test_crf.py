import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from medwsss.refinement.crf import dense_crf

OTHER_SETTINGS = {
    "gaussian_xy": 3, "gaussian_weight": 3, "bilateral_xy": 80, "bilateral_rgb": 13, "bilateral_weight": 10
}  # fmt: skip


def scene(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A bright disc on a dark, noisy ground, and blurred, noisy probabilities of two classes."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    disc = (y.square() + x.square() < 0.4).float()
    image = 60 + 120 * disc + 8 * torch.randn(3, height, width, generator=generator)
    blurred = F.avg_pool2d(disc[None, None], 9, stride=1, padding=4)[0, 0]
    foreground = (4 * blurred - 2 + 0.8 * torch.randn(height, width, generator=generator)).sigmoid()
    return image.clamp(0, 255).byte().permute(1, 2, 0).contiguous(), torch.stack([1 - foreground, foreground])


def exact_mean_field(image: Tensor, probs: Tensor, iterations: int = 10) -> Tensor:
    """All pairs of pixels, default kernels, in the words of the paper."""
    height, width, _ = image.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    position = torch.stack([x.flatten(), y.flatten()], dim=1).double()
    colour = image.reshape(-1, 3).double()

    def kernel(features: Tensor) -> Tensor:
        pairs = torch.exp(-0.5 * torch.cdist(features, features).square())
        norm = pairs.sum(dim=1).rsqrt()
        return norm[:, None] * pairs * norm

    pairwise = 1 * kernel(position) + 4 * kernel(torch.cat([position / 121, colour / 5], dim=1))
    unary = -probs.flatten(1).T.double().clamp_min(1e-5).log()
    marginals = (-unary).softmax(dim=1)
    for _ in range(iterations):
        marginals = (-unary + pairwise @ marginals).softmax(dim=1)
    return marginals.T.view_as(probs)


def test_labels_agree_with_the_exact_mean_field_over_all_pairs() -> None:
    image, probs = scene(30, 37)
    agreement = dense_crf(image, probs).argmax(dim=0).eq(exact_mean_field(image, probs).argmax(dim=0))
    assert agreement.float().mean() >= 0.99


def test_it_recovers_the_disc_that_the_probabilities_blur() -> None:
    image, probs = scene(48, 40)
    disc = image[..., 0] > 120
    before, after = (maps.argmax(dim=0).eq(1).eq(disc).float().mean() for maps in (probs, dense_crf(image, probs)))
    assert before < 0.95
    assert after > 0.99


def test_probabilities_sum_to_one_and_no_iteration_returns_them() -> None:
    image, probs = scene(9, 14)
    torch.testing.assert_close(dense_crf(image, probs).sum(dim=0), torch.ones(9, 14))
    torch.testing.assert_close(dense_crf(image, probs, iterations=0), probs)


def test_without_weights_the_pairs_do_not_act() -> None:
    image, probs = scene(9, 14)
    torch.testing.assert_close(dense_crf(image, probs, gaussian_weight=0, bilateral_weight=0), probs)


def test_classes_may_be_renumbered() -> None:
    image, probs = scene(12, 10)
    torch.testing.assert_close(dense_crf(image, probs.flip(0)), dense_crf(image, probs).flip(0))


def test_a_single_pixel_keeps_its_label() -> None:
    result = dense_crf(torch.zeros(1, 1, 3, dtype=torch.uint8), torch.tensor([[[0.3]], [[0.7]]], dtype=torch.float64))
    assert result.dtype == torch.float64
    assert result.argmax() == 1


def test_arrays_of_an_image_reader_are_taken_and_answered_with_a_tensor() -> None:
    image, probs = scene(9, 14)
    array = image.flip(1).numpy()[:, ::-1]  # runs backwards
    array.flags.writeable = False
    result = dense_crf(array, probs.numpy())
    assert isinstance(result, Tensor)
    assert torch.equal(result, dense_crf(image, probs))


@pytest.mark.data
@pytest.mark.parametrize(("name", "settings"), [("DenseCRF", {}), ("crf_inference", OTHER_SETTINGS)])
def test_probabilities_equal_the_recorded_cases(golden, name: str, settings: dict[str, float]) -> None:
    cases = golden("afa_dcrf")
    for case in range(int(cases["n_cases"])):
        image, probs = (torch.from_numpy(cases[f"c{case}_in_{key}"]) for key in ("img", "probs"))
        expected = torch.from_numpy(cases[f"c{case}_out_{name}"])
        result = dense_crf(image, probs, **settings)
        assert result.argmax(dim=0).eq(expected.argmax(dim=0)).float().mean() >= 0.99
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["gaussian_xy", "bilateral_xy", "bilateral_rgb"])
def test_widths_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        dense_crf(*scene(4, 4), **{name: 0})


@pytest.mark.parametrize("name", ["gaussian_weight", "bilateral_weight", "iterations"])
def test_weights_and_iterations_must_not_be_negative(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        dense_crf(*scene(4, 4), **{name: -1})


def test_shapes_and_types_are_checked_by_name() -> None:
    image, probs = scene(4, 5)
    function = inspect.unwrap(dense_crf)
    with pytest.raises(ValueError, match="image"):
        function(image.float(), probs)
    with pytest.raises(ValueError, match="probs"):
        function(image, probs.mT)
    with pytest.raises(ValueError, match="probs"):
        function(image, probs + 1)
