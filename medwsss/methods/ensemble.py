"""Several trained methods as one that predicts: their mean."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from medwsss.methods.method import Prediction, Predictor


class Ensemble:
    """The mean of what methods of the same classes predict, each member counting the same."""

    def __init__(self, members: Sequence[Predictor]) -> None:
        """``members`` holds one or more."""
        self.members = tuple(members)

    def predict(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Prediction:
        """Mean probabilities, uncertainties and tag probabilities."""
        found = [member.predict(images, image_labels) for member in self.members]
        return Prediction(
            torch.stack([one.probs for one in found]).mean(dim=0),
            torch.stack([one.uncertainty for one in found]).mean(dim=0),
            torch.stack([one.tag_probs for one in found]).mean(dim=0),
        )

    def cams(
        self, images: Float[Tensor, "b 3 h w"], image_labels: Float[Tensor, "b cls"] | None = None
    ) -> Float[Tensor, "b cls h w"]:
        """Mean activation maps."""
        return torch.stack([member.cams(images, image_labels) for member in self.members]).mean(dim=0)
