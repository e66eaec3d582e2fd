import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medwsss.losses import dense_energy
from medwsss.losses.dense_energy import dense_energy_loss, gaussian_filter

Golden = Callable[[str], dict[str, np.ndarray]]

# two pixels side by side with p = (1/2, 1/2) and (1/4, 3/4)
LOGITS = torch.tensor([[[[0.0, 0.0]], [[0.0, math.log(3.0)]]]])


def _random_case(side: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = 255 * torch.rand(2, 3, side, side, dtype=torch.float64, generator=generator)
    logits = torch.randn(2, 3, side, side, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.randint(0, 4, (2, side, side), generator=generator)
    return images, logits, labels.masked_fill(labels == 3, 255)


def test_two_pixels_give_the_energy_and_the_published_gradient_worked_out_by_hand() -> None:
    images = torch.tensor([[[[0.0, 3.0]], [[0.0, 4.0]], [[0.0, 0.0]]]])
    logits = LOGITS.clone().requires_grad_()
    loss = dense_energy_loss(
        images, logits, torch.tensor([[[0, 255]]]), weight=1.0, sigma_rgb=5.0, sigma_xy=2.0, scale=1.0
    )
    pair = math.exp(-0.5 * ((3**2 + 4**2) / 5**2 + 1 / 2**2))
    filtered = [[1 / 2 + pair / 4, 1 / 2 + pair * 3 / 4], [1 / 4 + pair / 2, 3 / 4 + pair / 2]]  # [pixel][class]
    gate = [1 - 1 / 2, 1.0]  # the second pixel is unlabelled
    energy = gate[0] * (filtered[0][0] + filtered[0][1]) / 2 + gate[1] * (filtered[1][0] / 4 + filtered[1][1] * 3 / 4)
    assert loss.item() == pytest.approx(-energy, rel=1e-5)

    (gradient,) = torch.autograd.grad(loss, logits)
    # through the softmax: dp1/dlogit1 = p1 (1 − p1), and the class probabilities trade off
    expected = [-2 * gate[i] * (filtered[i][1] - filtered[i][0]) * p * (1 - p) for i, p in enumerate((1 / 2, 3 / 4))]
    torch.testing.assert_close(gradient[0, 1, 0], torch.tensor(expected))


def test_gradient_is_the_derivative_where_nothing_is_labelled() -> None:
    images, logits, labels = _random_case()
    images.mul_(0.1)  # alike colours, so that many pairs count
    unlabelled, boxes = torch.full_like(labels, 255), torch.tensor([[0, 6, 0, 6], [1, 4, 0, 5]])
    assert torch.autograd.gradcheck(
        lambda x: dense_energy_loss(images, x, unlabelled, boxes=boxes, weight=0.1, sigma_xy=5.0), (logits,)
    )


def test_flipping_everything_changes_nothing() -> None:
    images, logits, labels = _random_case()
    flipped = dense_energy_loss(images.flip(3), logits.flip(3), labels.flip(2), scale=1.0)
    torch.testing.assert_close(flipped, dense_energy_loss(images, logits, labels, scale=1.0))


def test_chunks_do_not_matter_and_far_colours_do_not_underflow(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    features = 10 * torch.randn(50, 5, dtype=torch.float64, generator=generator)
    values = torch.rand(50, 3, dtype=torch.float64, generator=generator)
    monkeypatch.setattr(dense_energy, "KERNEL_ENTRIES", 7 * 50)
    expected = torch.exp(-0.5 * torch.cdist(features, features).square()) @ values
    torch.testing.assert_close(gaussian_filter(features, values), expected)


def test_padding_outside_the_box_neither_counts_nor_gets_a_gradient() -> None:
    images, logits, labels = _random_case(8)
    boxes = torch.tensor([[0, 8, 0, 4], [0, 8, 0, 4]])
    loss = dense_energy_loss(images, logits, labels, boxes=boxes, weight=1.0, scale=1.0)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[..., 4:] == 0).all()
    inside = dense_energy_loss(images[..., :4], logits[..., :4], labels[..., :4], weight=1.0, scale=1.0)
    torch.testing.assert_close(loss, inside)


def test_an_empty_box_is_zero_with_a_zero_gradient_and_odd_sizes_work() -> None:
    images, logits, labels = _random_case(7)
    loss = dense_energy_loss(images, logits, labels, boxes=torch.zeros(2, 4, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0.0
    assert (gradient == 0).all()
    assert dense_energy_loss(images, logits, labels).item() < 0


def test_uint8_images_and_labels_and_16_bit_scores_give_the_same_energy_without_overflow() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(100, 120, (1, 3, 64, 64), generator=generator)
    logits = torch.randn(1, 3, 64, 64, generator=generator).half()
    labels = torch.full((1, 64, 64), 255)
    expected = dense_energy_loss(images.double(), logits.double(), labels, weight=1.0)
    assert -expected.item() > torch.finfo(torch.float16).max
    assert dense_energy_loss(images.byte(), logits, labels.byte(), weight=1.0).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_bad_arguments_are_refused_by_name() -> None:
    loss, (images, logits, labels) = inspect.unwrap(dense_energy_loss), _random_case()
    for argument, call in {
        "images": lambda: loss(images * 2, logits, labels),
        "images must be": lambda: loss(images[:, :1], logits, labels),
        "logits": lambda: loss(images, logits[..., :3], labels),
        "labels": lambda: loss(images, logits, labels + 3),
        "boxes": lambda: loss(images, logits, labels, boxes=torch.tensor([[0, 7, 0, 6]] * 2)),
        "boxes must be integers": lambda: loss(images, logits, labels, boxes=torch.zeros(2, 4)),
        "sigma_xy": lambda: loss(images, logits, labels, sigma_xy=0.0),
        "scale": lambda: loss(images, logits, labels, scale=2.0),
    }.items():
        with pytest.raises(ValueError, match=argument):
            call()


@pytest.mark.data
def test_the_exact_sum_is_the_recorded_value_times_the_lattice_constant(golden: Golden) -> None:
    case = golden("toco_get_energy_loss")
    mean, std = (torch.from_numpy(case[f"c0_p_{name}"])[:, None, None] for name in ("mean", "std"))
    images = torch.from_numpy(case["c0_in_img"]) * std + mean
    logits = torch.from_numpy(case["c0_in_logit"]).requires_grad_()
    labels, boxes = (torch.from_numpy(case[f"c0_in_{name}"]).long() for name in ("label", "img_box"))
    loss = dense_energy_loss(images, logits, labels, boxes=boxes)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(1.77 * case["c0_out_loss"].item(), rel=0.03)
    recorded = torch.from_numpy(case["c0_out_grad_logit"])
    assert F.cosine_similarity(gradient.flatten(), recorded.flatten(), dim=0).item() > 0.98


def _photograph(side: int) -> torch.Tensor:
    """Patches of smooth colour with a little noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, side // 8, side // 8, generator=generator)
    smooth = F.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return (255 * smooth + 4 * torch.randn(1, 3, side, side, generator=generator)).clamp(0, 255)


def test_the_lattice_is_near_the_exact_sum() -> None:
    images = _photograph(64)
    generator = torch.Generator().manual_seed(1)
    coarse = 2 * torch.randn(1, 5, 8, 8, generator=generator)
    logits = F.interpolate(coarse, size=(64, 64), mode="bilinear").requires_grad_()
    labels = torch.randint(0, 5, (1, 64, 64), generator=generator).masked_fill(images[:, 0] > 128, 255)
    losses = [dense_energy_loss(images, logits, labels, filtering=kind) for kind in ("exact", "lattice")]
    exact, lattice = (torch.autograd.grad(loss, logits)[0].flatten() for loss in losses)
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.04)
    assert F.cosine_similarity(exact, lattice, dim=0).item() > 0.985
    assert lattice.norm().item() == pytest.approx(exact.norm().item(), rel=0.05)


def test_the_lattice_of_a_flat_image_or_of_nothing_is_finite() -> None:
    flat, logits = torch.full((1, 3, 6, 8), 40.0), torch.zeros(1, 2, 6, 8)
    nowhere = torch.tensor([[0, 0, 0, 0]])
    labels = torch.zeros(1, 6, 8, dtype=torch.long)
    exact, lattice = (
        dense_energy_loss(flat, logits, labels, weight=1.0, filtering=kind).item() for kind in ("exact", "lattice")
    )
    assert lattice == pytest.approx(exact, rel=0.05)
    assert dense_energy_loss(flat, logits, labels, boxes=nowhere, filtering="lattice").item() == 0
