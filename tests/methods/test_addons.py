import math
from typing import Any

import pytest
import torch
from fakes.networks import random_batch, tiny_run_config

from medwsss.config.addons import AddOnsConfig, FeatureSimilarityConfig, ImportanceSamplingConfig, ResponseScalingConfig
from medwsss.data.sample import Batch
from medwsss.errors import ConfigError
from medwsss.labels import LabelSet
from medwsss.losses.segmentation import balanced_cross_entropy
from medwsss.methods import build_method
from medwsss.methods.addon_hfpl import FeatureSimilarity, ImportanceSampling, paper_normalised
from medwsss.methods.addon_urn import ResponseScaling, present_classes
from medwsss.methods.addons import WithAddOns, with_add_ons
from medwsss.methods.method import LossTerms, Method, StepMaps

LABELS = LabelSet("two", ("first", "second"))


def method_named(name: str) -> Method:
    torch.manual_seed(0)
    decoder = {"decoder": {"channels": 8, "dilation": 1}} if name == "unia" else {}
    method = build_method(tiny_run_config(method={"name": name, "cam": {"scales": [1.0]}, **decoder}), LABELS)
    with torch.no_grad():  # scores above 0 somewhere, as after some training
        method.classifier.weight.weight.mul_(20)
    return method


def switched_on(**sections: dict[str, Any]) -> AddOnsConfig:
    return AddOnsConfig.model_validate({name: {"enabled": True, **section} for name, section in sections.items()})


def terms_with(**maps: torch.Tensor) -> LossTerms:
    values = {"classification": torch.tensor(3.0), "segmentation": torch.tensor(7.0)}
    return LossTerms(values, {"classification": 0.5, "segmentation": 0.15}, StepMaps(**maps))


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padded_batch(content: float) -> Batch:
    """Two images of 32 pixels, of which the right 13 columns and the lowest 8 rows of the first are padding."""
    batch = random_batch()
    images, boxes = batch.images.clone(), batch.boxes.clone()
    images[0, :, :, 19:] = content
    images[0, :, 24:] = content
    boxes[0] = torch.tensor([0, 24, 0, 19])
    return Batch(images, batch.image_labels, boxes, batch.keys)


def padded_scores(content: float) -> torch.Tensor:
    """Scores on a 4×4 grid; the tokens that hold nothing but padding have one value."""
    scores = torch.randn(2, 2, 4, 4, generator=seeded())
    scores[0, :, :, 3:] = content
    scores[0, :, 3:] = content
    return scores


def test_without_an_add_on_the_method_stays_itself() -> None:
    method = method_named("cam")
    assert with_add_ons(method, AddOnsConfig(), name="cam") is method


def test_sampling_takes_its_share_of_the_weight_of_the_classification_loss() -> None:
    scores = torch.zeros(2, 2, 4, 4)  # probability 1/2 wherever it is sampled
    add_on = ImportanceSampling(ImportanceSamplingConfig(weight=0.2))
    terms = add_on(terms_with(scores=scores), random_batch(), generator=seeded())
    assert terms.values["importance_sampling"].item() == pytest.approx(math.log(2))
    assert terms.weights == pytest.approx({"classification": 0.4, "importance_sampling": 0.1, "segmentation": 0.15})
    assert terms.total.item() == pytest.approx(0.4 * 3 + 0.1 * math.log(2) + 0.15 * 7)


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_classification_loss_is_a_mixture_of_the_pooled_and_the_sampled_one(share: float) -> None:
    scores = torch.zeros(2, 2, 4, 4)
    terms = terms_with(scores=scores)
    mixed = ImportanceSampling(ImportanceSamplingConfig(weight=share))(terms, random_batch(), generator=seeded())
    expected = 0.5 * ((1 - share) * 3 + share * math.log(2))  # half of Eq. 16; the pooled loss is 3
    assert (mixed.total - terms.total).item() == pytest.approx(expected - 0.5 * 3, abs=1e-6)


def test_in_the_multinomial_posterior_a_likely_class_leaves_the_others_nothing() -> None:
    # a of two classes and the background is 98/100, 1/100, 1/100 everywhere, against the tags 1, 0.
    scores = torch.tensor([math.log(98.0), 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
    add_on = ImportanceSampling(ImportanceSamplingConfig(posterior="multinomial"))
    batch = random_batch(size=1)
    tagged = Batch(batch.images, torch.tensor([[1.0, 0.0]]), batch.boxes, batch.keys)
    terms = add_on(terms_with(scores=scores), tagged, generator=seeded())
    expected = (-math.log(0.98) - math.log(0.99)) / 2
    assert terms.values["importance_sampling"].item() == pytest.approx(expected, rel=1e-4)


def test_with_one_class_sampling_from_either_posterior_is_the_same() -> None:
    scores, batch = torch.randn(2, 1, 4, 4, generator=seeded()), random_batch(classes=1)
    losses = [
        ImportanceSampling(ImportanceSamplingConfig(posterior=posterior))(
            terms_with(scores=scores), batch, generator=seeded()
        ).values["importance_sampling"]
        for posterior in ("binomial", "multinomial")
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("posterior", ["binomial", "multinomial"])
def test_sampling_draws_from_the_generator_it_is_given_and_never_from_the_padding(posterior: str) -> None:
    add_on = ImportanceSampling(ImportanceSamplingConfig.model_validate({"posterior": posterior}))
    losses = [
        add_on(terms_with(scores=padded_scores(content)), padded_batch(0.5), generator=seeded(seed)).values
        for content, seed in ((0.0, 1), (50.0, 1), (0.0, 2))
    ]
    values = [loss["importance_sampling"].item() for loss in losses]
    assert values[0] == values[1] != values[2]


def test_similarity_of_two_colours_is_the_value_worked_out_by_hand() -> None:
    # One row of two tokens, no magnification: r is 1 and 0 up to 1e-5, the background map 0 and 1. Black and white lie
    # on both sides of an edge: f = 1. Two ordered pairs and two pixels cancel: −w · ½ · (1² + 1²).
    batch = random_batch(size=1, classes=1, side=32)
    images = torch.zeros(1, 3, 16, 32)
    images[..., 16:] = 1.0
    halves = Batch(images, batch.image_labels, torch.tensor([[0, 16, 0, 32]]), batch.keys)
    scores = torch.tensor([[[[2.0, -1.0]]]])
    spatial = math.exp(-1 / 50) / (50 * math.pi)
    for background, gate in ((True, 0.5 * 2), (False, 0.5)):
        config = FeatureSimilarityConfig(weight=0.3, upsampling=1, background=background)
        terms = FeatureSimilarity(config)(terms_with(scores=scores), halves, generator=seeded())
        assert terms.values["feature_similarity"].item() == pytest.approx(-spatial * gate, rel=1e-4)
        assert terms.weights["feature_similarity"] == 0.3


def test_similarity_of_the_posterior_is_the_value_worked_out_by_hand() -> None:
    # Two tokens on both sides of an edge, as above. a of background, first and second class is 1/8, 6/8, 1/8 on the
    # left and 1/8, 1/8, 6/8 on the right, whatever the tags: −w · ½ · 2 · (5/8)².
    batch = random_batch(size=1)
    images = torch.zeros(1, 3, 16, 32)
    images[..., 16:] = 1.0
    scores = torch.tensor([[[[math.log(6.0), 0.0]], [[0.0, math.log(6.0)]]]])
    for tags in ([1.0, 1.0], [1.0, 0.0], [0.0, 0.0]):
        halves = Batch(images, torch.tensor([tags]), torch.tensor([[0, 16, 0, 32]]), batch.keys)
        loss = FeatureSimilarity(FeatureSimilarityConfig(upsampling=1, posterior="multinomial")).loss(scores, halves)
        assert loss.item() == pytest.approx(-math.exp(-1 / 50) / (50 * math.pi) * (5 / 8) ** 2, rel=1e-4)


def test_magnified_posteriors_sum_to_one_and_ask_nothing_of_the_other_settings() -> None:
    scores, inside = padded_scores(9.0), torch.ones(2, 4, 4, dtype=torch.bool)
    maps = [
        FeatureSimilarity(FeatureSimilarityConfig(posterior="multinomial", **settings)).maps(scores, tags, inside)
        for settings, tags in (
            ({}, torch.ones(2, 2)),
            ({"normalisation": "paper", "background": False}, torch.zeros(2, 2)),
        )
    ]
    assert torch.equal(*maps)
    torch.testing.assert_close(maps[0].sum(dim=1), torch.ones(2, 16, 16))


def test_paper_normalisation_divides_by_the_maximum_alone() -> None:
    scores = torch.tensor([[[[1.0, 2.0, 4.0, -3.0]]]])
    torch.testing.assert_close(paper_normalised(scores), torch.tensor([[[[0.25, 0.5, 1.0, 0.0]]]]), rtol=1e-5, atol=0)
    assert paper_normalised(-scores.abs()).eq(0).all()
    add_on = FeatureSimilarity(FeatureSimilarityConfig(normalisation="paper", upsampling=1, background=False))
    inside = torch.ones(1, 1, 4, dtype=torch.bool)
    assert torch.equal(add_on.maps(scores, torch.ones(1, 1), inside), paper_normalised(scores))


@pytest.mark.parametrize("settings", [{}, {"normalisation": "paper"}, {"posterior": "multinomial"}])
def test_similarity_does_not_depend_on_what_lies_in_the_padding(settings: dict[str, str]) -> None:
    add_on = FeatureSimilarity(FeatureSimilarityConfig.model_validate(settings))
    losses = [
        add_on.loss(padded_scores(score), padded_batch(colour))
        for score, colour in ((0.0, 0.0), (9.0, 1.0), (-9.0, 0.3))
    ]
    assert losses[0] == losses[1] == losses[2] != 0


def test_classes_and_images_without_a_tag_add_nothing() -> None:
    batch = random_batch()  # the second image does not show the second class
    scores = torch.randn(2, 2, 4, 4, generator=seeded(), requires_grad=True)
    add_on = FeatureSimilarity(FeatureSimilarityConfig())
    (gradient,) = torch.autograd.grad(add_on.loss(scores, batch), scores)
    assert (gradient.abs().sum(dim=(2, 3)) > 0).tolist() == [[True, True], [True, False]]
    only_first = Batch(batch.images, torch.tensor([[1.0, 1.0], [0.0, 0.0]]), batch.boxes, batch.keys)
    alone = Batch(batch.images[:1], batch.image_labels[:1], batch.boxes[:1], batch.keys[:1])
    torch.testing.assert_close(add_on.loss(scores, only_first), add_on.loss(scores[:1], alone) / 2)
    untagged = Batch(batch.images, torch.zeros(2, 2), batch.boxes, batch.keys)
    assert add_on.loss(scores, untagged).item() == 0


def test_the_background_and_the_labelled_classes_take_part_in_scaling() -> None:
    assert present_classes(torch.tensor([[255, 4], [2, 4]])).tolist() == [0, 2, 4]
    assert present_classes(torch.tensor([[255, 255]])).tolist() == [0]


def flipping_case() -> tuple[torch.Tensor, torch.Tensor, Batch]:
    """One image of 1×3 pixels: class 1 is almost certain, may be, and is almost certainly not there."""
    foreground = torch.tensor([0.95, 0.55, 0.001])
    logits = torch.stack([1 - foreground, foreground]).log()[None, :, None]
    batch = random_batch(size=1, classes=1)
    image = torch.rand(1, 3, 1, 3, generator=seeded())
    return (
        logits,
        torch.tensor([[[1, 1, 0]]]),
        Batch(image, batch.image_labels, torch.tensor([[0, 1, 0, 3]]), batch.keys),
    )


def test_a_pixel_that_flips_under_scaling_counts_the_threshold_in_its_half_of_the_loss() -> None:
    logits, labels, batch = flipping_case()
    add_on = ResponseScaling(ResponseScalingConfig(threshold=0.25))
    terms = add_on(terms_with(segmentation_logits=logits, pseudo_labels=labels), batch, generator=seeded())
    foreground_half = (-math.log(0.95) - 0.25 * math.log(0.55)) / 2
    expected = 0.5 * -math.log(0.999) + 0.5 * foreground_half
    assert terms.values["segmentation"].item() == pytest.approx(expected, rel=1e-4)
    assert terms.weights["segmentation"] == 0.15


def test_threshold_one_leaves_the_segmentation_loss_as_it_was() -> None:
    logits, labels, batch = flipping_case()
    add_on = ResponseScaling(ResponseScalingConfig(threshold=1.0))
    terms = add_on(terms_with(segmentation_logits=logits, pseudo_labels=labels), batch, generator=seeded())
    assert torch.equal(terms.values["segmentation"], balanced_cross_entropy(logits, labels))


def test_weighed_by_probability_each_pixel_counts_that_of_its_label_without_a_threshold() -> None:
    logits, labels, batch = flipping_case()
    add_on = ResponseScaling(ResponseScalingConfig(weights="probability", threshold=1.0))
    terms = add_on(terms_with(segmentation_logits=logits, pseudo_labels=labels), batch, generator=seeded())
    foreground_half = (-0.95 * math.log(0.95) - 0.55 * math.log(0.55)) / 2
    expected = 0.5 * 0.999 * -math.log(0.999) + 0.5 * foreground_half
    assert terms.values["segmentation"].item() == pytest.approx(expected, rel=1e-4)
    assert terms.weights["segmentation"] == 0.15


def test_padding_neither_gets_nor_changes_a_weight() -> None:
    logits, labels, batch = flipping_case()
    add_on = ResponseScaling(ResponseScalingConfig())
    wide = torch.randn(1, 2, 2, 5, generator=seeded())
    wide[:, :, :1, :3] = logits
    wide_labels = torch.full((1, 2, 5), 255)
    wide_labels[:, :1, :3] = labels
    image = torch.nn.functional.pad(batch.images, (0, 2, 0, 1))
    weights = add_on.weights(wide, wide_labels, Batch(image, batch.image_labels, batch.boxes, batch.keys))
    assert torch.equal(weights[:, :1, :3], add_on.weights(logits, labels, batch))
    assert weights[:, 1:].eq(1).all()
    assert weights[:, :, 3:].eq(1).all()


@pytest.mark.parametrize("refine", ["par", "crf"])
def test_refinement_by_colour_gives_weights_in_range_without_gradient(refine: str) -> None:
    batch = random_batch()
    logits = torch.randn(2, 3, 32, 32, generator=seeded(), requires_grad=True)
    labels = torch.randint(0, 3, (2, 32, 32), generator=seeded())
    config = ResponseScalingConfig(refine=refine, scales=(0.5, 2.0))
    weights = ResponseScaling(config).weights(logits, labels, batch)
    assert weights.shape == (2, 32, 32)
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert not weights.requires_grad


@pytest.mark.parametrize("name", ["isl", "fsl", "urn"])
def test_at_a_step_without_maps_the_terms_stay_as_they_are(name: str) -> None:
    classes = {"isl": ImportanceSampling, "fsl": FeatureSimilarity, "urn": ResponseScaling}
    terms = terms_with()
    assert classes[name](getattr(AddOnsConfig(), name))(terms, random_batch(), generator=seeded()) is terms


def test_an_add_on_without_what_it_needs_is_refused_with_the_reason() -> None:
    message = "add-on urn needs pseudo labels and segmentation logits, which method cam does not produce"
    with pytest.raises(ConfigError, match=message):
        with_add_ons(method_named("cam"), switched_on(isl={}, urn={}), name="cam")


@pytest.mark.parametrize("posterior", ["binomial", "multinomial"])
@pytest.mark.parametrize("term", ["importance_sampling", "feature_similarity"])
def test_losses_on_scores_reach_encoder_and_classifier_of_any_method(term: str, posterior: str) -> None:
    for name in ("unia", "cam"):
        both = switched_on(isl={"posterior": posterior}, fsl={"posterior": posterior})
        method = with_add_ons(method_named(name), both, name=name)
        method.training_step(random_batch(), step=0, generator=seeded()).values[term].backward()
        moved = {n for n, p in method.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        assert {"encoder", "classifier"} <= {name.split(".")[1] for name in moved}


def test_unia_trains_with_all_three_and_everything_but_the_loss_is_its_own() -> None:
    method = method_named("unia")
    combined = with_add_ons(method, switched_on(isl={}, fsl={}, urn={}), name="unia")
    assert isinstance(combined, WithAddOns)
    batch = random_batch()
    plain = method.training_step(batch, step=3, generator=seeded())
    terms = combined.training_step(batch, step=3, generator=seeded())
    assert set(terms.values) - set(plain.values) == {"importance_sampling", "feature_similarity"}
    for term in set(plain.values) - {"segmentation"}:
        torch.testing.assert_close(terms.values[term], plain.values[term])
    optimiser = torch.optim.SGD(combined.parameters(), lr=1e-2)
    terms.total.backward()
    optimiser.step()
    assert all(parameter.isfinite().all() for parameter in method.parameters())
    assert combined.encoder is method.encoder
    assert combined.offers == method.offers
    assert list(combined.head_parameters()) == list(method.head_parameters())
    for ours, its in (
        (combined.predict(batch.images).probs, method.predict(batch.images).probs),
        (combined.cams(batch.images), method.cams(batch.images)),
        (combined.explain(batch, step=3).pseudo_labels, method.explain(batch, step=3).pseudo_labels),
    ):
        torch.testing.assert_close(ours, its)
