from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes.networks import TINY_ENCODER_CONFIG, random_batch

from medwsss.config.pretraining import PretrainingConfig
from medwsss.data.sample import Batch
from medwsss.methods.masked_images import MaskedImages
from medwsss.models.encoder import VitEncoder


def learner(*, stem: str = "linear", **settings: Any) -> MaskedImages:
    torch.manual_seed(0)
    encoder = VitEncoder(TINY_ENCODER_CONFIG.model_copy(update={"stem": stem}), image_size=32)
    return MaskedImages(PretrainingConfig(**settings), encoder=encoder)


def loss(model: MaskedImages, batch: Batch, seed: int = 0) -> torch.Tensor:
    return model.training_step(batch, step=0, generator=torch.Generator().manual_seed(seed)).total


def predicting(model: MaskedImages, value: float) -> MaskedImages:
    """Its head says the same of every pixel."""
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.constant_(model.head.bias, value)
    return model


def test_a_constant_guess_is_off_by_its_distance_whatever_is_hidden() -> None:
    model = predicting(learner(target="intensities"), 0.25)
    batch = replace(random_batch(), images=torch.full((2, 3, 32, 32), 0.75))
    assert loss(model, batch).item() == pytest.approx(0.5)


def test_only_hidden_patches_count() -> None:
    model, batch = predicting(learner(target="intensities"), 0.0), random_batch()
    hidden = model.explain(batch, step=0).masked == 0.5
    wanted = batch.images[hidden].mean()  # |0 - x| over the hidden pixels; explain draws its masks with seed 0
    torch.testing.assert_close(loss(model, batch, seed=0), wanted)
    assert hidden.float().mean().item() == round(0.6 * 16) / 16


def test_padding_does_not_count() -> None:
    model = predicting(learner(target="intensities", mask_ratio=0.99), 0.0)  # round(0.99 * 16): all of them
    images = torch.zeros(1, 3, 32, 32)
    images[..., 8:24, :] = 0.5
    batch = replace(random_batch(size=1), images=images, boxes=torch.tensor([[8, 24, 0, 32]]))
    assert loss(model, batch).item() == 0.5


def test_normalised_targets_ignore_the_brightness_of_a_patch() -> None:
    model = predicting(learner(), 0.0)
    batch = random_batch()
    assert loss(model, batch).item() == pytest.approx(0.86, abs=0.02)  # mean |z| of a uniform variable: √3 / 2
    torch.testing.assert_close(loss(model, replace(batch, images=0.5 + 0.3 * batch.images)), loss(model, batch))


@pytest.mark.parametrize("stem", ["linear", "convolutional"])
def test_all_of_the_encoder_and_the_head_learns(stem: str) -> None:
    model = learner(stem=stem)
    loss(model, random_batch()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert name.endswith("qkv.bias") or parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("stem", ["linear", "convolutional"])
def test_it_learns_one_batch(stem: str) -> None:
    model, batch = learner(stem=stem, target="intensities"), random_batch()
    batch = replace(batch, images=batch.images * 0 + torch.linspace(0, 1, 32))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for step in range(60):
        optimiser.zero_grad()
        value = loss(model, batch, seed=step)
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert losses[-1] < 0.35 * losses[0]


def test_pictures_show_visible_patches_as_they_are() -> None:
    model, batch = learner(), random_batch()
    shown = model.explain(batch, step=0)
    visible = shown.masked != 0.5
    assert torch.equal(shown.filled[visible], batch.images[visible])
    assert not torch.equal(shown.filled, batch.images)
    assert torch.equal(shown.masked, model.explain(batch, step=9).masked)


def test_images_of_any_size_are_masked_on_their_own_grid() -> None:
    shown = learner().explain(random_batch(side=30), step=0)
    assert shown.masked.shape == (2, 3, 32, 32)
    assert loss(learner(), random_batch(side=30)).isfinite()
