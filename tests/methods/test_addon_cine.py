"""Cine seeds in the training of every method that takes them."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes.networks import random_batch, tiny_run_config
from torch import Tensor

from medwsss.config.addons import CineSeedsConfig
from medwsss.data.sample import Batch
from medwsss.engine.optim import build_optimiser
from medwsss.labels import LabelSet
from medwsss.losses.segmentation import balanced_cross_entropy
from medwsss.methods import build_method
from medwsss.methods.addon_cine import CinePrior, CineSeeds
from medwsss.methods.method import LossTerms, Method, StepMaps
from medwsss.methods.retrain import Retrain
from medwsss.methods.unia import UniA

LABELS = LabelSet("two", ("first", "second"))
UNET = {"unet": {"channels": [4, 6, 8], "residual_units": 1}}


def method_named(name: str, *, kind: str = "large_fov", **addons: dict[str, Any]) -> Method:
    torch.manual_seed(0)
    own: dict[str, Any] = {
        "unia": {"cam": {"scales": [1.0]}, "decoder": {"kind": kind, "channels": 8, "dilation": 1}},
        "cam": {"cam": {"scales": [1.0]}},
        "usage": {"cam": {"scales": [1.0]}},
        "retrain": {**UNET, "pseudo": "there", "loss": "balanced"},
    }[name]
    sections = {key: {"enabled": True, **section} for key, section in addons.items()}
    return build_method(tiny_run_config(method={"name": name, **own}, addons=sections), LABELS)


def plain(method: Method) -> Any:
    """What is inside the add-ons."""
    return getattr(method, "method", method)


def seeded(batch: Batch, seeds: Tensor, confidence: float = 1.0) -> Batch:
    certainty = torch.full(seeds.shape, confidence).masked_fill(seeds == 255, 0.0)
    return replace(batch, seeds=seeds, seed_confidence=certainty)


def square_seeds(batch: Batch) -> Tensor:
    """Class 1 in the middle of every image, class 2 inside it where it is tagged; the right edge is unknown."""
    seeds = torch.zeros(len(batch.images), 32, 32, dtype=torch.int64)
    seeds[:, 8:24, 8:24] = 1
    seeds[batch.image_labels[:, 1] > 0, 12:20, 12:20] = 2
    seeds[:, :, 28:] = 255
    return seeds


def bright_batch() -> Batch:
    """Images whose grey levels show their seeds."""
    batch = random_batch()
    seeds = square_seeds(batch)
    images = (0.1 * batch.images + 0.4 * seeds.masked_fill(seeds == 255, 0)[:, None]).clamp(0, 1)
    return seeded(replace(batch, images=images), seeds)


def terms_of(method: Method, batch: Batch, step: int = 3) -> LossTerms:
    return method.training_step(batch, step=step, generator=torch.Generator().manual_seed(1))


# --- labels and weights


def test_off_or_without_seeds_the_labels_and_weights_stay_the_very_same() -> None:
    labels, weights = torch.ones(2, 32, 32, dtype=torch.int64), torch.rand(2, 32, 32)
    batch = random_batch()
    for config, one in ((None, bright_batch()), (CineSeedsConfig(enabled=True), batch)):
        prior = CinePrior(config)
        assert prior.labels(labels, one) is labels
        assert prior.pixel_weights(one, lambda: weights, otherwise=weights) is weights


@pytest.mark.parametrize(("confidence", "expected"), [("uncertainty", 0.75), ("seed", 0.6), ("none", 1.0)])
def test_a_pixel_with_a_seed_counts_what_is_chosen_and_one_without_as_before(confidence: str, expected: float) -> None:
    batch = random_batch(size=1)
    batch = seeded(batch, square_seeds(batch), 0.6)
    prior = CinePrior(CineSeedsConfig.model_validate({"enabled": True, "confidence": confidence}))
    uncertain, before = torch.full((1, 32, 32), 0.25), torch.full((1, 32, 32), 0.1)
    weights = prior.pixel_weights(batch, lambda: uncertain, otherwise=before)
    assert weights[batch.seeds != 255].unique().tolist() == pytest.approx([expected])
    assert weights[batch.seeds == 255].unique().tolist() == pytest.approx([0.1])


def test_weights_by_uncertainty_carry_no_gradient_and_stay_within_0_and_1() -> None:
    batch = random_batch(size=1)
    batch = seeded(batch, square_seeds(batch))
    prior = CinePrior(CineSeedsConfig(enabled=True, confidence="uncertainty"))
    above = torch.full((1, 32, 32), 1.0 + 1e-6, requires_grad=True)  # as rounding may leave it
    weights = prior.pixel_weights(batch, lambda: above, otherwise=torch.ones(1, 32, 32))
    assert not weights.requires_grad
    assert weights.min() == 0


# --- unia


@pytest.mark.parametrize("confidence", ["uncertainty", "seed", "none"])
def test_patients_without_seeds_train_bit_by_bit_as_in_plain_unia(confidence: str) -> None:
    batch = random_batch()
    silent = seeded(batch, torch.full((2, 32, 32), 255))
    with_cine = method_named("unia", cine={"confidence": confidence})
    one, two = terms_of(method_named("unia"), batch), terms_of(with_cine, silent)
    assert list(one.values) == list(two.values)
    assert all(torch.equal(one.values[name], two.values[name]) for name in one.values)
    assert torch.equal(one.total, two.total)
    assert torch.equal(one.maps.pseudo_labels, two.maps.pseudo_labels)


def test_confident_seeds_are_the_labels_of_unia_and_padding_of_the_prior_stays_its_own() -> None:
    batch = bright_batch()
    own = terms_of(method_named("unia"), batch).maps.pseudo_labels
    labels = terms_of(method_named("unia", cine={}), batch).maps.pseudo_labels
    known = batch.seeds != 255
    assert torch.equal(labels[known], batch.seeds[known])
    assert torch.equal(labels[~known], own[~known])


def test_the_explanation_shows_the_labels_with_seeds_and_without_seeds_those_of_unia() -> None:
    batch = bright_batch()
    method, known = method_named("unia", cine={}).eval(), batch.seeds != 255
    assert torch.equal(method.explain(batch, step=3).pseudo_labels[known], batch.seeds[known])
    alone = method.explain(random_batch(), step=3).pseudo_labels
    assert torch.equal(alone, method_named("unia").eval().explain(random_batch(), step=3).pseudo_labels)


def test_seeds_of_weight_zero_add_nothing_to_the_segmentation_loss() -> None:
    batch = random_batch()
    doubtful = seeded(batch, torch.randint(0, 3, (2, 32, 32), generator=torch.Generator().manual_seed(0)), 0.0)
    method = method_named("unia", cine={"threshold": 0.0, "confidence": "seed"})
    assert terms_of(method, doubtful).values["segmentation"].item() == 0.0


def test_seeds_weigh_by_unias_own_uncertainty() -> None:
    batch = bright_batch()
    method = method_named("unia", cine={"confidence": "uncertainty"})
    unia = plain(method)
    assert isinstance(unia, UniA)
    terms = terms_of(method, batch)
    with torch.no_grad():
        inferred = unia._infer(unia.encoder(batch.images))
        weights = 1 - unia._uncertainty_map(inferred, terms.maps.segmentation_logits)
    weights[batch.seeds == 255] = 1.0
    expected = balanced_cross_entropy(terms.maps.segmentation_logits, terms.maps.pseudo_labels, weights=weights)
    torch.testing.assert_close(terms.values["segmentation"], expected)


def test_with_urn_its_weights_act_and_not_those_of_the_seeds() -> None:
    batch = bright_batch()
    batch = seeded(batch, batch.seeds, 0.6)
    half_sure: dict[str, Any] = {"confidence": "seed"}
    own, by_seed = (terms_of(method_named("unia", urn=urn, cine=half_sure), batch) for urn in ({}, {"enabled": False}))
    assert torch.equal(own.maps.pseudo_labels, by_seed.maps.pseudo_labels)
    # an untrained prediction flips nowhere, so that with urn each pixel counts 1
    expected = balanced_cross_entropy(own.maps.segmentation_logits, own.maps.pseudo_labels)
    torch.testing.assert_close(own.values["segmentation"], expected)
    assert by_seed.values["segmentation"] < 0.8 * expected


def test_all_add_ons_go_together() -> None:
    terms = terms_of(method_named("unia", isl={}, fsl={}, urn={}, cine={}), bright_batch())
    assert {"importance_sampling", "feature_similarity", "segmentation", "cine"} <= set(terms.values)
    terms.total.backward()
    assert torch.isfinite(terms.total)


@pytest.mark.parametrize("confidence", ["uncertainty", "seed"])
def test_gradients_of_the_segmentation_loss_flow_through_the_prediction_alone(confidence: str) -> None:
    """The loss is linear in fixed weights: its gradient is that of the same loss with the weights as numbers."""
    batch = bright_batch()
    method = method_named("unia", cine={"confidence": confidence})
    terms = terms_of(method, batch)
    logits = terms.maps.segmentation_logits
    (gradient,) = torch.autograd.grad(terms.values["segmentation"], logits, retain_graph=True)
    unia = plain(method)
    with torch.no_grad():
        inferred = unia._infer(unia.encoder(batch.images))
        weights = unia.cine.pixel_weights(
            batch, lambda: unia._uncertainty_map(inferred, logits), otherwise=torch.ones(2, 32, 32)
        )
    free = logits.detach().clone().requires_grad_()
    balanced_cross_entropy(free, terms.maps.pseudo_labels, weights=weights).backward()
    torch.testing.assert_close(gradient, free.grad)
    std = list(unia.uncertainty.std.parameters())
    through = torch.autograd.grad(terms.values["segmentation"], std, allow_unused=True)
    assert any(part is not None for part in through)  # the masked features, of which the prediction is made


@pytest.mark.parametrize("kind", ["large_fov", "skip"])
def test_a_few_steps_on_seeds_lower_the_segmentation_loss(kind: str) -> None:
    batch = bright_batch()
    method = method_named("unia", kind=kind, cine={"confidence": "none"})
    optimiser = build_optimiser(method, tiny_run_config().training)
    losses = []
    for _ in range(40):
        terms = terms_of(method, batch)
        losses.append(terms.values["segmentation"].item())
        optimiser.zero_grad()
        terms.total.backward()
        optimiser.step()
    assert losses[-1] < 0.8 * losses[0]


# --- score maps of tokens


@pytest.mark.parametrize("name", ["unia", "cam", "usage"])
def test_scores_of_tokens_learn_from_seeds_with_the_chosen_weight(name: str) -> None:
    method = method_named(name, cine={"cam_weight": 0.5})
    terms = terms_of(method, bright_batch())
    assert terms.weights["cine"] == 0.5
    terms.values["cine"].backward()
    weight = plain(method).classifier.weight.weight
    assert weight.grad is not None
    assert weight.grad.any()


def test_undecided_scores_cost_log_two() -> None:
    terms = LossTerms({"classification": torch.tensor(1.0)}, {"classification": 1.0}, StepMaps(torch.zeros(2, 2, 4, 4)))
    added = CineSeeds(CineSeedsConfig(cam_weight=3.0))(terms, bright_batch(), generator=torch.Generator())
    assert added.values["cine"].item() == pytest.approx(math.log(2), rel=1e-5)
    assert added.total.item() == pytest.approx(1 + 3 * math.log(2), rel=1e-5)


def test_without_weight_or_without_scores_nothing_is_added() -> None:
    batch, generator = bright_batch(), torch.Generator()
    silent = LossTerms({}, {}, StepMaps())
    assert CineSeeds(CineSeedsConfig())(silent, batch, generator=generator) is silent
    scored = LossTerms({}, {}, StepMaps(torch.zeros(2, 2, 4, 4)))
    assert CineSeeds(CineSeedsConfig(cam_weight=0.0))(scored, batch, generator=generator) is scored


@pytest.mark.parametrize("name", ["unia", "cam"])
def test_training_without_seeds_in_the_batch_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"batch\.seeds is missing"):
        terms_of(method_named(name, cine={}), random_batch())


# --- retrain


def stored(batch: Batch, weight: float) -> Batch:
    """Everything is background in the stored labels."""
    zeros = torch.zeros(2, 32, 32, dtype=torch.int64)
    return replace(batch, labels=zeros, label_weights=torch.full((2, 32, 32), weight))


def test_stored_labels_take_the_place_of_p() -> None:
    method = method_named("retrain", cine={})
    unsure = seeded(bright_batch(), square_seeds(bright_batch()), 0.1)
    labels = terms_of(method, stored(unsure, 1.0)).maps.pseudo_labels
    expected = torch.where((unsure.seeds == 0) | (unsure.seeds == 255), 0, 255)  # agreement, or no prior
    assert torch.equal(labels, expected)
    explained = method.eval().explain(stored(unsure, 1.0), step=0)
    assert torch.equal(explained.pseudo_labels, expected)


def test_stored_weights_count_where_there_is_no_seed_and_nowhere_else() -> None:
    method = method_named("retrain", cine={"confidence": "none"})
    assert isinstance(plain(method), Retrain)
    batch = stored(bright_batch(), 0.0)  # of weight 0, which counts t = 0.05
    terms = terms_of(method, batch)
    weights = torch.where(batch.seeds == 255, 0.05, 1.0)
    expected = balanced_cross_entropy(terms.maps.segmentation_logits, terms.maps.pseudo_labels, weights=weights)
    torch.testing.assert_close(terms.values["segmentation"], expected)


def test_retrain_weighs_by_the_entropy_of_its_prediction_which_is_all_it_knows() -> None:
    method = method_named("retrain", cine={"confidence": "uncertainty"})
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.zero_()  # all classes are equally likely: entropy 1, weight 0
    silent_edge = stored(bright_batch(), 1.0)
    labels = terms_of(method, silent_edge).maps.pseudo_labels
    edge = (silent_edge.seeds == 255).sum() / (labels == 0).sum()
    expected = 0.5 * edge.item() * math.log(3)  # background that no seed says is background
    assert terms_of(method, silent_edge).values["segmentation"].item() == pytest.approx(expected, rel=1e-4)


def test_retrain_without_seeds_for_any_patient_is_plain_retrain() -> None:
    batch = stored(random_batch(), 1.0)
    silent = seeded(batch, torch.full((2, 32, 32), 255))
    one, two = terms_of(method_named("retrain"), batch), terms_of(method_named("retrain", cine={}), silent)
    assert torch.equal(one.total, two.total)
