from dataclasses import replace

import pytest
import torch
from fakes.networks import random_batch, tiny_run_config

from medwsss.data.sample import Batch
from medwsss.labels import LabelSet
from medwsss.methods import build_method
from medwsss.methods.unia import UniA, at_tokens
from medwsss.models.encoder import Features, VitEncoder

LABELS = LabelSet("two", ("first", "second"))


def unia(iterations: int = 10, **settings: object) -> UniA:
    torch.manual_seed(0)
    config = tiny_run_config(
        method={"name": "unia", "cam": {"scales": [1.0, 0.5]}, "decoder": {"channels": 8, "dilation": 1}, **settings},
        training={"iterations": iterations},
    )
    method = build_method(config, LABELS)
    assert isinstance(method, UniA)
    with torch.no_grad():  # scores above 0 somewhere, as after some training
        for classifier in (method.classifier, method.auxiliary_classifier):
            classifier.weight.weight.mul_(20)
    return method


def step(method: UniA, at: int) -> dict[str, torch.Tensor]:
    terms = method.training_step(random_batch(), step=at, generator=torch.Generator().manual_seed(1))
    return dict(terms.values)


ALL = {"classification", "auxiliary", "distribution", "token_contrast", "affinity", "segmentation", "energy"}


def test_every_term_is_there_after_the_start_of_segmentation() -> None:
    values = step(unia(), 9)
    assert set(values) == ALL
    assert all(torch.isfinite(value) for value in values.values())


def test_segmentation_starts_at_a_tenth_of_the_run_as_on_voc() -> None:
    assert "segmentation" not in step(unia(iterations=20), 1)
    assert "segmentation" in step(unia(iterations=20), 2)


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"uncertainty": {"enabled": False}}, {"distribution"}),
        ({"distribution": {"enabled": False}}, {"distribution"}),
        ({"contrastive_affinity": {"enabled": False}}, {"affinity"}),
        ({"energy": {"weight": 0.0}}, {"energy"}),
        ({"complementing": False}, set()),
        ({"segmentation_loss": "mean"}, set()),
        ({"distribution": {"sampling": False}}, set()),
        ({"distribution": {"samples": 10}}, set()),
        ({"uncertainty": {"channel_attention": False}}, set()),
        ({"uncertainty": {"spatial_attention": False}}, set()),
        ({"contrastive_affinity": {"negatives": "sum", "form": "literal", "radius": None}}, set()),
    ],
)
def test_every_ablation_switch_trains(settings: dict[str, object], missing: set[str]) -> None:
    method = unia(**settings)
    terms = method.training_step(random_batch(), step=9, generator=torch.Generator().manual_seed(1))
    assert set(terms.values) == ALL - missing
    terms.total.backward()
    assert torch.isfinite(terms.total)


def test_the_mean_loss_averages_over_pixels_whatever_their_class() -> None:
    terms = unia(segmentation_loss="mean").training_step(random_batch(), step=9, generator=torch.Generator())
    logits, labels = terms.maps.segmentation_logits, terms.maps.pseudo_labels
    pixel_loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    torch.testing.assert_close(terms.values["segmentation"], pixel_loss.mean())


def test_the_total_is_the_weighted_sum_with_the_papers_weights() -> None:
    terms = unia().training_step(random_batch(), step=9, generator=torch.Generator().manual_seed(1))
    value = terms.values
    expected = (
        value["classification"]
        + value["auxiliary"]
        + 0.1 * value["distribution"]
        + 0.1 * value["affinity"]
        + 0.15 * value["segmentation"]
        + 0.3 * value["token_contrast"]
        + 0.05 * value["energy"]
    )
    torch.testing.assert_close(terms.total, expected)


def test_gradients_reach_every_parameter() -> None:
    method = unia()
    method.training_step(random_batch(), step=9, generator=torch.Generator().manual_seed(1)).total.backward()
    still = [n for n, p in method.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # The class token and its position feed positions through attention; nothing else may stay still.
    assert [name for name in still if "head" not in name] == []


def reached_by(method: UniA, term: str) -> set[str]:
    """The parts that one loss term moves, with the left half labelled background and the right half class 1."""
    halves = torch.zeros(2, 32, 32, dtype=torch.int64)
    halves[:, :, 16:] = 1
    method.pseudo_labels = lambda *_: halves  # type: ignore[method-assign]
    method.zero_grad()
    method.training_step(random_batch(), step=9, generator=torch.Generator().manual_seed(1)).values[term].backward()
    moved = {n for n, p in method.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    return {name.split(".")[0] for name in moved}


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        ("classification", {"encoder", "uncertainty", "classifier"}),
        ("auxiliary", {"encoder", "auxiliary_classifier"}),
        ("distribution", {"encoder", "uncertainty"}),
        ("token_contrast", {"encoder"}),
        ("affinity", {"encoder"}),
        ("segmentation", {"encoder", "uncertainty", "decoder"}),
        ("energy", {"encoder", "uncertainty", "decoder"}),
    ],
)
def test_each_term_moves_what_it_should_and_no_label_passes_a_gradient(term: str, parts: set[str]) -> None:
    assert reached_by(unia(), term) == parts


def test_padding_is_ignored_in_every_label_and_holds_no_activation() -> None:
    method, whole = unia(), random_batch()
    batch = Batch(whole.images, whole.image_labels, torch.tensor([[0, 32, 0, 32], [8, 24, 4, 32]]), whole.keys)
    explanation, seeds = method.explain(batch, step=9), method.seeds(batch)
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[8:24, 4:32] = False
    assert (explanation.pseudo_labels[1][outside] == 255).all()
    assert not (explanation.pseudo_labels[0] == 255).all()
    assert seeds.auxiliary[1, :, outside].abs().max() == 0
    assert seeds.final[1, :, outside].abs().max() == 0


def test_a_step_depends_on_its_generator_alone() -> None:
    first, second = step(unia(), 9), step(unia(), 9)
    for name in ALL:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)


def test_pseudo_labels_come_from_the_auxiliary_cam_first_and_the_final_cam_later() -> None:
    method, batch = unia(iterations=10), random_batch()
    seeds = method.seeds(batch)
    assert not torch.equal(seeds.final, seeds.auxiliary)
    assert method._source(seeds, 3) is seeds.auxiliary
    assert method._source(seeds, 4) is seeds.final  # 40 % of the run


def test_absent_classes_get_no_pseudo_label() -> None:
    method, batch = unia(), random_batch()
    explanation = method.explain(batch, step=9)
    assert set(explanation.pseudo_labels[1].unique().tolist()) <= {0, 1, 255}


def test_prediction_has_probabilities_that_sum_to_one_and_maps_in_range() -> None:
    prediction = unia().predict(torch.rand(2, 3, 40, 32))
    torch.testing.assert_close(prediction.probs.sum(dim=1), torch.ones(2, 40, 32))
    for maps in (prediction.uncertainty, prediction.tag_probs):
        assert 0 <= maps.min() <= maps.max() <= 1


def test_tags_rule_classes_out_of_a_prediction() -> None:
    prediction = unia().predict(torch.rand(1, 3, 32, 32), torch.tensor([[0.0, 1.0]]))
    assert prediction.probs[:, 1].max() == 0
    assert unia().cams(torch.rand(1, 3, 32, 32), torch.tensor([[0.0, 1.0]]))[:, 0].max() == 0
    torch.testing.assert_close(prediction.probs.sum(dim=1), torch.ones(1, 32, 32))


def test_labels_at_tokens_are_those_of_the_token_centre() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :2, 2:] = 255
    expected = torch.tensor([[[0, 255], [0, 0]]])
    assert torch.equal(at_tokens(labels, torch.zeros(1, 1, 2, 2)), expected)


# --- The same, faster ------------------------------------------------------------------------------------------------


def test_the_view_of_the_losses_stands_for_scale_1_without_changing_a_seed() -> None:
    method, batch = unia(), random_batch()
    with torch.no_grad():
        seen = method._score_maps(batch.images)
    plain, shared = method.seeds(batch), method.seeds(batch, seen)
    torch.testing.assert_close(shared.final, plain.final, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(shared.auxiliary, plain.auxiliary, atol=1e-6, rtol=1e-5)
    assert not torch.equal(method.seeds(batch, tuple(-scores for scores in seen)).final, plain.final)  # it was used


def test_a_view_that_training_layers_have_changed_is_not_shared() -> None:
    for sections in ({"encoder": {"arguments": {"drop_path_rate": 0.5}}}, {"encoder": {"stem": "convolutional"}}):
        config = tiny_run_config(**sections, method={"name": "unia", "cam": {"scales": [1.0]}})
        method, batch = build_method(config, LABELS), random_batch()
        assert not method.encoder.same_in_training
        noise = (torch.randn(2, 2, 4, 4), torch.randn(2, 2, 4, 4))
        torch.testing.assert_close(method.seeds(batch, noise).final, method.seeds(batch).final)


def test_between_refreshes_labels_come_from_the_view_of_the_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encoder = VitEncoder.forward

    def counted(self: VitEncoder, images: torch.Tensor) -> Features:
        calls.append(len(images))
        return encoder(self, images)

    monkeypatch.setattr(VitEncoder, "forward", counted)
    method = unia(views={"every": 3})
    counts = []
    for at in (6, 7, 8, 9):
        calls.clear()
        assert set(step(method, at)) == ALL
        counts.append(len(calls))
    assert counts == [3, 1, 1, 3]  # the losses, mirror images, and scale 0.5


def test_views_in_bfloat16_are_near_those_in_float32() -> None:
    batch = random_batch(side=64)
    full, half = unia(), unia(views={"precision": "bfloat16"})
    exact, rounded = full.seeds(batch).auxiliary, half.seeds(batch).auxiliary
    assert half.encoder.precision == "float32"
    assert 0 < (exact - rounded).abs().max() < 0.05


def test_maps_of_classes_that_no_image_shows_are_left_out_without_changing_the_others() -> None:
    method, batch = unia(), random_batch()
    both, first, none = (
        method.seeds(replace(batch, image_labels=torch.tensor([tags, tags])))
        for tags in ([1.0, 1.0], [1.0, 0.0], [0.0, 0.0])
    )
    for head in ("final", "auxiliary"):
        whole, part, nothing = (getattr(seeds, head) for seeds in (both, first, none))
        assert whole[:, 1].any()
        assert torch.equal(part, torch.stack([whole[:, 0], torch.zeros(2, 32, 32)], dim=1))
        assert torch.equal(nothing, torch.zeros(2, 2, 32, 32))


def test_views_mask_as_the_step_does_without_the_mean_of_the_gaussian(monkeypatch: pytest.MonkeyPatch) -> None:
    method, images = unia(), random_batch().images
    expected = method.classifier.score_map(method._infer(method.encoder(images)).final)
    monkeypatch.setattr(method.uncertainty.mean, "forward", None)
    assert torch.equal(method._score_maps(images)[0], expected)
