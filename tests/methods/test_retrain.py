import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fakes.networks import TINY_ENCODER_CONFIG, random_batch, tiny_run_config
from torch import Tensor

from medwsss.config.maps import DecoderConfig
from medwsss.config.segmenters import RetrainConfig, UNetConfig
from medwsss.data.sample import Batch
from medwsss.engine.checkpoint import RunState, load_checkpoint, save_checkpoint
from medwsss.engine.optim import build_optimiser, set_learning_rate
from medwsss.methods.retrain import Retrain
from medwsss.models.encoder import Encoder
from medwsss.models.segmenter import UNetSegmenter, build_segmenter

LABELS = torch.tensor([[0, 0, 0, 255], [0, 1, 1, 2]])
WEIGHTS = torch.tensor([[1.0, 0.44, 0.05, 1.0], [0.0, 1.0, 0.01, 1.0]])
"""At or below t = 0.1: two of the four background pixels and one of the three of classes."""


def retrain(seed: int = 0, **changes: object) -> Retrain:
    torch.manual_seed(seed)
    decoder = DecoderConfig(channels=8, dilation=1)
    small = RetrainConfig(unet=UNetConfig(channels=(4, 6, 8), residual_units=1), decoder=decoder)
    config = small.model_copy(update=changes)
    return Retrain(config, network=build_segmenter(config, TINY_ENCODER_CONFIG, image_size=32, num_classes=3))


def undecided(**changes: object) -> Retrain:
    """Every class is as likely as the others: the cross-entropy of each pixel is log 3."""
    method = retrain(**changes)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.zero_()
    return method


def labelled(batch: Batch, labels: Tensor, weights: Tensor) -> Batch:
    """The batch with the same small map in every corner of every image: tiled, so that shares stay."""
    size = batch.images.shape[-2] // labels.shape[0], batch.images.shape[-1] // labels.shape[1]
    return replace(
        batch,
        labels=labels.tile(size).expand(len(batch.images), -1, -1),
        label_weights=weights.tile(size).expand(len(batch.images), -1, -1),
    )


def batch() -> Batch:
    return labelled(random_batch(), LABELS, WEIGHTS)


def loss(method: Retrain, of: Batch) -> Tensor:
    terms = method.training_step(of, step=0, generator=torch.Generator())
    assert list(terms.values) == ["segmentation"]
    torch.testing.assert_close(terms.total, terms.values["segmentation"])
    return terms.total


# --- the loss


def test_the_mean_loss_counts_uncertain_pixels_t_and_undecided_ones_nothing() -> None:
    # of 8 pixels 4 are certain, 3 are not, 1 has no label: it adds 0 and is counted
    expected = math.log(3) * (4 + 3 * 0.1) / 8
    assert loss(undecided(threshold=0.1), batch()).item() == pytest.approx(expected, rel=1e-5)


def test_the_balanced_loss_weighs_each_half_by_itself() -> None:
    # background: 2 certain, 2 uncertain of 4; classes: 2 certain, 1 uncertain of 3
    expected = math.log(3) * 0.5 * ((2 + 2 * 0.1) / 4 + (2 + 0.1) / 3)
    assert loss(undecided(threshold=0.1, loss="balanced"), batch()).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", ["mean", "balanced"])
def test_t_of_one_and_no_weights_are_the_unweighted_loss(form: str) -> None:
    one = loss(retrain(threshold=1.0, loss=form), batch())
    unweighted = loss(retrain(weights="none", loss=form), replace(batch(), label_weights=None))
    torch.testing.assert_close(one, unweighted)
    if form == "mean":
        logits = retrain().network(batch().images)
        torch.testing.assert_close(one, F.cross_entropy(logits, batch().labels, ignore_index=255) * 7 / 8)


def test_t_of_zero_drops_only_pixels_of_no_weight() -> None:
    assert loss(undecided(threshold=0.0), batch()).item() == pytest.approx(math.log(3) * 6 / 8, rel=1e-5)


def test_weighing_by_probability_asks_neither_stored_weights_nor_t() -> None:
    # every class has probability 1/3, which each of the 7 labelled of 8 pixels counts; the halves alike
    unweighted = replace(batch(), label_weights=None)
    mean = loss(undecided(weights="probability", threshold=0.5), unweighted)
    assert mean.item() == pytest.approx(math.log(3) / 3 * 7 / 8, rel=1e-5)
    balanced = loss(undecided(weights="probability", loss="balanced"), batch())
    assert balanced.item() == pytest.approx(math.log(3) / 3, rel=1e-5)


def test_a_batch_without_any_label_costs_nothing_and_trains_on() -> None:
    empty = labelled(random_batch(), torch.full((2, 2), 255), torch.zeros(2, 2))
    for form, weights in product(("mean", "balanced"), ("response_scaling", "probability")):
        total = loss(retrain(loss=form, weights=weights), empty)
        total.backward()
        assert total.item() == 0.0


@pytest.mark.parametrize("network", ["unet", "vit"])
def test_gradients_reach_every_parameter(network: str) -> None:
    method = retrain(network=network)
    loss(method, batch()).backward()
    without = [name for name, parameter in method.named_parameters() if parameter.grad is None]
    assert not without


@pytest.mark.parametrize("network", ["unet", "vit"])
def test_a_few_steps_learn_a_bright_square(network: str) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.2
    labels = torch.zeros(2, 32, 32, dtype=torch.int64)
    images[:, :, 8:24, 8:24] += 0.8
    labels[:, 8:24, 8:24] = 1
    square = replace(random_batch(), images=images, labels=labels, label_weights=torch.ones(2, 32, 32))
    method = retrain(network=network, loss="balanced").train()
    optimiser = torch.optim.AdamW(method.parameters(), lr=1e-2)
    for _ in range(30):
        total = loss(method, square)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    assert (method.eval().predict(images).probs.argmax(dim=1) == labels).float().mean() > 0.95


def test_add_ons_get_logits_but_no_labels_to_weigh_again() -> None:
    terms = retrain().training_step(batch(), step=0, generator=torch.Generator())
    assert Retrain.offers == {"segmentation_logits"}
    assert terms.maps.segmentation_logits is not None
    assert terms.maps.segmentation_logits.shape == (2, 3, 32, 32)
    assert terms.maps.segmentation_logits.requires_grad
    assert terms.maps.pseudo_labels is not None
    assert torch.equal(terms.maps.pseudo_labels, batch().labels)
    assert terms.maps.scores is None


def test_a_batch_without_labels_or_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batch\.labels"):
        loss(retrain(), random_batch())
    with pytest.raises(ValueError, match=r"batch\.label_weights"):
        loss(retrain(), replace(batch(), label_weights=None))


# --- prediction


@pytest.mark.parametrize("network", ["unet", "vit"])
def test_probabilities_sum_to_one_and_tags_rule_classes_out(network: str) -> None:
    method, images = retrain(network=network).eval(), torch.rand(2, 3, 30, 44)
    tags = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    prediction = method.predict(images, tags)
    torch.testing.assert_close(prediction.probs.sum(dim=1), torch.ones(2, 30, 44))
    assert prediction.probs[0, 2].max() == 0
    assert prediction.probs[1, 1:].max() == 0
    assert prediction.uncertainty[1].max() == 0  # background is sure where nothing else may be


def test_uncertainty_is_the_entropy_and_tags_follow_the_most_likely_pixel() -> None:
    images = torch.rand(2, 3, 16, 16)
    prediction = undecided().eval().predict(images, torch.zeros(2, 2))
    torch.testing.assert_close(prediction.tag_probs, torch.full((2, 2), 1 / 3))  # whatever the tags say
    torch.testing.assert_close(undecided().eval().predict(images).uncertainty, torch.ones(2, 16, 16))
    method = retrain().eval()
    torch.testing.assert_close(method.predict(images).tag_probs, method.predict(images).probs[:, 1:].amax(dim=(2, 3)))


def test_class_probabilities_stand_for_activation_maps() -> None:
    method, images = retrain().eval(), torch.rand(2, 3, 16, 16)
    tags = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    torch.testing.assert_close(method.cams(images, tags), method.predict(images, tags).probs[:, 1:])
    assert method.cams(images, tags)[0, 1].max() == 0


def test_its_explanation_shows_the_stored_labels() -> None:
    method = retrain().eval()
    explanation = method.explain(batch(), step=0)
    assert torch.equal(explanation.pseudo_labels, batch().labels)
    expected = method.predict(batch().images, batch().image_labels).probs.argmax(dim=1)
    assert torch.equal(explanation.prediction, expected)
    with pytest.raises(ValueError, match=r"batch\.labels"):
        method.explain(random_batch(), step=0)


# --- optimiser and checkpoint


@pytest.mark.parametrize(("network", "head"), [("unet", False), ("vit", True)])
def test_every_parameter_is_in_one_group_and_all_of_a_unet_learns_at_the_plain_rate(network: str, head: bool) -> None:
    method = retrain(network=network)
    optimiser = build_optimiser(method, tiny_run_config().training)
    first, second = (group["params"] for group in optimiser.param_groups)
    assert sorted(map(id, [*first, *second])) == sorted(map(id, method.parameters()))
    assert bool(second) == head
    assert set_learning_rate(optimiser, tiny_run_config().training, 0) == 1e-3
    assert isinstance(method.encoder, Encoder if head else UNetSegmenter)
    assert method.encoder.weights_note.startswith("weights: random initialisation")


@pytest.mark.parametrize("network", ["unet", "vit"])
def test_a_resumed_method_goes_on_as_if_nothing_had_happened(tmp_path: Path, network: str) -> None:
    def stepped(method: Retrain, optimiser: torch.optim.AdamW) -> float:
        total = loss(method, batch())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        return total.item()

    config, method = tiny_run_config().training, retrain(network=network)
    optimiser = build_optimiser(method, config)
    stepped(method, optimiser)
    save_checkpoint(tmp_path / "last.safetensors", method, optimiser, RunState(1, None, None, "c", "s"))
    resumed = retrain(seed=7, network=network)
    restored = build_optimiser(resumed, config)
    load_checkpoint(tmp_path / "last.safetensors", resumed, restored)
    for _ in range(2):
        assert stepped(resumed, restored) == stepped(method, optimiser)
    for one, two in zip(method.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, two)
