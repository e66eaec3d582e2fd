import torch
from fakes.networks import Threshold

from medwsss.config.training import InferenceConfig
from medwsss.engine.views import predict_views
from medwsss.methods.ensemble import Ensemble
from medwsss.methods.method import Prediction


class Inverse(Threshold):
    """Dark is foreground."""

    def predict(self, images: torch.Tensor, image_labels: torch.Tensor | None = None) -> Prediction:
        return super().predict(1 - images, image_labels)


def test_two_that_contradict_each_other_average_to_even_odds() -> None:
    images = torch.rand(2, 3, 4, 4)
    found = Ensemble([Threshold(), Inverse()]).predict(images)
    torch.testing.assert_close(found.probs, torch.full((2, 2, 4, 4), 0.5))


def test_one_member_is_that_member() -> None:
    images = torch.rand(2, 3, 4, 4)
    alone, only = Threshold(), Ensemble([Threshold()])
    torch.testing.assert_close(only.predict(images).probs, alone.predict(images).probs)
    torch.testing.assert_close(only.predict(images).tag_probs, alone.predict(images).tag_probs)


def test_it_takes_the_place_of_a_method_at_test_time() -> None:
    images = torch.rand(1, 3, 8, 8)
    found = predict_views(Ensemble([Threshold(), Threshold()]), images, None, inference=InferenceConfig())
    torch.testing.assert_close(found.probs[:, 1:], images[:, :1])
