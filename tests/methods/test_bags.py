"""What methods make of slices that were tagged together."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes.networks import random_batch, tiny_run_config

from medwsss.data.sample import Batch
from medwsss.labels import LabelSet
from medwsss.losses.bag_tags import bag_label_loss, slice_tags
from medwsss.losses.classification import multi_label_loss
from medwsss.methods import build_method
from medwsss.methods.method import Method, tag_loss, tagged_alone

METHODS: dict[str, dict[str, Any]] = {
    "unia": {},
    "cam": {"method": {"name": "cam", "cam": {"scales": [1.0, 0.5]}}},
    "usage": {"method": {"name": "usage", "cam": {"scales": [1.0, 0.5]}}},
}


def bagged() -> Batch:
    """Two studies of two slices: the first shows both classes somewhere, the second only the first class."""
    tags = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    return replace(random_batch(size=4), image_labels=tags, bags=torch.tensor([0, 0, 1, 1]))


def method_named(name: str, **sections: Any) -> Method:
    torch.manual_seed(0)
    return build_method(tiny_run_config(**METHODS[name], **sections), LabelSet("two", ("first", "second")))


def step(method: Method, batch: Batch) -> Any:
    torch.manual_seed(1)
    return method.train().training_step(batch, step=3, generator=torch.Generator().manual_seed(2))


def test_tags_of_bags_are_compared_with_the_pooled_slices_and_others_one_by_one() -> None:
    logits, batch = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), bagged()
    torch.testing.assert_close(tag_loss(logits, batch), bag_label_loss(logits, batch.image_labels, batch.bags))
    alone = replace(batch, bags=None)
    torch.testing.assert_close(tag_loss(logits, alone), multi_label_loss(logits, batch.image_labels))
    assert not torch.isclose(tag_loss(logits, batch), tag_loss(logits, alone))


def test_the_classifier_gives_each_slice_of_a_bag_its_tags_and_learns_nothing_from_it() -> None:
    logits = torch.tensor([[2.0, -1.0], [-2.0, -3.0], [-2.0, 5.0], [-1.0, 5.0]], requires_grad=True)
    alone = tagged_alone(bagged(), logits)
    assert alone.bags is None
    assert not alone.image_labels.requires_grad
    assert alone.image_labels.tolist() == [[1, 1], [0, 0], [0, 0], [1, 0]]
    single = replace(bagged(), bags=None)
    assert tagged_alone(single, logits) is single


@pytest.mark.parametrize("name", METHODS)
def test_the_classification_loss_of_a_step_is_pooled_over_bags(name: str) -> None:
    terms = step(method_named(name), bagged())
    assert terms.maps.logits is not None
    expected = bag_label_loss(terms.maps.logits, bagged().image_labels, bagged().bags)
    torch.testing.assert_close(terms.values["classification"], expected)


@pytest.mark.parametrize("name", METHODS)
def test_labels_and_pictures_are_made_of_single_slices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = method_named(name).eval()
    where = (method.classifier, "forward") if name == "unia" else (method, "pooled")
    original = getattr(*where)
    monkeypatch.setattr(*where, lambda *seen, **named: original(*seen, **named) - 5)  # no class is likely anywhere
    with torch.no_grad():
        logits = method.predict(bagged().images).tag_probs.logit()
        told = slice_tags(logits, bagged().image_labels, bagged().bags)
        explanation = method.explain(bagged(), step=3)
        again = method.explain(replace(bagged(), image_labels=told, bags=None), step=3)
    assert told.sum(dim=0).tolist() == [2, 1]  # one slice of each bag for each of its classes
    assert torch.equal(explanation.pseudo_labels, again.pseudo_labels)
    for labels, shown in zip(explanation.pseudo_labels, told, strict=True):
        assert set(labels.unique().tolist()) <= {0, 255, *(i + 1 for i in range(2) if shown[i])}


def test_unia_trains_its_decoder_on_labels_of_single_slices() -> None:
    terms = step(method_named("unia"), bagged())
    told = slice_tags(terms.maps.logits.detach(), bagged().image_labels, bagged().bags)
    assert terms.maps.pseudo_labels is not None
    for labels, shown in zip(terms.maps.pseudo_labels, told, strict=True):
        assert set(labels.unique().tolist()) <= {0, 255, *(i + 1 for i in range(2) if shown[i])}


def test_add_ons_see_single_slices() -> None:
    method = method_named("unia", addons={"isl": {"enabled": True}})
    seen = []
    original = method.add_ons

    def watched(terms: Any, batch: Batch, *, generator: torch.Generator) -> Any:
        seen.append(batch)
        return terms

    method.add_ons = (watched,)
    terms = step(method, bagged())
    assert original
    assert seen[0].bags is None
    assert torch.equal(
        seen[0].image_labels, slice_tags(terms.maps.logits.detach(), bagged().image_labels, bagged().bags)
    )
