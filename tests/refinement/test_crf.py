import inspect
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from medwsss import permutohedral
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


def patches(height: int, width: int, classes: int) -> tuple[Tensor, Tensor]:
    """Squares of random colours in a grid, one class each in turn, and blurred, noisy probabilities."""
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.arange(height) // 10, torch.arange(width) // 10
    labels = (2 * rows[:, None] + columns) % classes
    colours = torch.randint(30, 226, (classes, 3), generator=generator)
    image = colours[labels] + 4 * torch.randn(height, width, 3, generator=generator)
    blurred = F.avg_pool2d(F.one_hot(labels, classes).permute(2, 0, 1)[None].float(), 7, stride=1, padding=3)[0]
    logits = 3 * blurred + 0.6 * torch.randn(classes, height, width, generator=generator)
    return image.clamp(0, 255).byte(), logits.softmax(dim=0)


def with_unseen_channels(probs: Tensor, *, smallest: float = 0.0) -> Tensor:
    """The same classes among three that no pixel shows; of these, a single pixel may hold a little."""
    unseen = torch.zeros_like(probs[:1])
    unseen[:, 0, 0] = smallest
    return torch.cat([probs[:1], unseen, unseen, probs[1:], unseen])


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


@pytest.mark.parametrize("classes", [4, 5])
def test_labels_and_probabilities_of_many_classes_agree_with_the_exact_mean_field(classes: int) -> None:
    image, probs = patches(30, 37, classes)
    result, exact = dense_crf(image, probs), exact_mean_field(image, probs)
    assert probs.argmax(dim=0).eq(exact.argmax(dim=0)).float().mean() < 0.9  # there is something to do
    assert result.argmax(dim=0).eq(exact.argmax(dim=0)).float().mean() >= 0.99
    assert (result - exact).abs().mean() < 0.01


def test_channels_that_no_pixel_shows_are_exact_too() -> None:
    image, probs = patches(30, 37, 4)
    padded = with_unseen_channels(probs)
    result, exact = dense_crf(image, padded), exact_mean_field(image, padded)
    assert result.shape == (7, 30, 37)
    assert result.argmax(dim=0).eq(exact.argmax(dim=0)).float().mean() >= 0.99
    torch.testing.assert_close(result.sum(dim=0), torch.ones(30, 37))
    assert torch.equal(result[1], result[2])
    assert torch.equal(result[1], result[6])


def test_channels_that_no_pixel_shows_get_what_they_would_get_one_by_one() -> None:
    image, probs = patches(30, 37, 4)
    together = dense_crf(image, with_unseen_channels(probs))
    apart = dense_crf(image, with_unseen_channels(probs, smallest=1.001e-5))  # above the smallest: not put together
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=1e-3)
    assert together[1].min() > 0


def test_an_image_of_one_channel_keeps_it() -> None:
    image, _ = scene(5, 6)
    for value in (0.0, 1.0):
        torch.testing.assert_close(dense_crf(image, torch.full((1, 5, 6), value)), torch.ones(1, 5, 6))


def test_many_classes_are_filtered_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    image, probs = patches(12, 14, 5)
    whole = dense_crf(image, probs)
    monkeypatch.setattr(permutohedral, "_CHANNELS_AT_ONCE", 2)
    torch.testing.assert_close(dense_crf(image, probs), whole)


MEMORY_SCRIPT = """
import resource, sys
import torch
from medwsss import permutohedral
from medwsss.refinement.crf import dense_crf

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)

generator = torch.Generator().manual_seed(0)
probs = torch.rand(21, 500, 500, generator=generator).mul_(8).softmax(dim=0)
image = torch.randint(0, 256, (500, 500, 3), generator=generator, dtype=torch.uint8)
dense_crf(image[:20, :20].contiguous(), probs[:, :20, :20], iterations=1)
before = peak_mb()
dense_crf(image, probs, iterations=1)
print(peak_mb() - before)
"""


def test_half_a_gigabyte_or_so_is_enough_for_500_by_500_pixels_of_noise_in_21_classes() -> None:
    """Noise is the worst case: hardly two pixels share a vertex. All iterations use the same memory."""
    pytest.importorskip("resource")
    # glibc keeps freed blocks for reuse; given back at once, the peak is what is in use.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    answer = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert float(answer.stdout) < 800


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
