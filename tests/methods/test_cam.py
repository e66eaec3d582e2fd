import torch
from fakes.networks import random_batch, tiny_run_config

from medwsss.config.maps import CamConfig
from medwsss.config.methods import CamBaselineConfig
from medwsss.labels import LabelSet
from medwsss.methods import build_method
from medwsss.methods.cam import CamBaseline


def cam() -> CamBaseline:
    torch.manual_seed(0)
    settings = tiny_run_config().model_copy(update={"method": CamBaselineConfig(cam=CamConfig(scales=(1.0, 0.5)))})
    method = build_method(settings, LabelSet("two", ("first", "second")))
    assert isinstance(method, CamBaseline)
    with torch.no_grad():
        method.classifier.weight.weight.mul_(20)
    return method


def test_only_the_classification_loss_trains_it() -> None:
    terms = cam().training_step(random_batch(), step=0, generator=torch.Generator())
    assert set(terms.values) == {"classification"}
    torch.testing.assert_close(terms.total, terms.values["classification"])


def test_a_slice_without_tags_is_background() -> None:
    prediction = cam().predict(torch.rand(2, 3, 32, 32), torch.zeros(2, 2))
    assert torch.equal(prediction.probs.argmax(dim=1), torch.zeros(2, 32, 32, dtype=torch.int64))


def test_without_tags_the_classifier_decides_which_classes_may_appear() -> None:
    method, images = cam(), torch.rand(4, 3, 32, 32)
    shown = method.predict(images).tag_probs > 0.5
    assert torch.equal(method.cams(images).amax(dim=(2, 3)) > 0, shown)


def test_probabilities_sum_to_one() -> None:
    prediction = cam().predict(torch.rand(2, 3, 32, 40), torch.ones(2, 2))
    torch.testing.assert_close(prediction.probs.sum(dim=1), torch.ones(2, 32, 40))


def test_its_explanation_labels_tagged_classes_only() -> None:
    batch = random_batch()
    explanation = cam().explain(batch, step=0)
    assert set(explanation.pseudo_labels[1].unique().tolist()) <= {0, 1, 255}
    assert explanation.prediction.shape == (2, 32, 32)
