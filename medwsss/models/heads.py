"""Classification by global max pooling, whose weights also make the class activation maps."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Classifier(nn.Module):
    """A 1×1 convolution without bias (UniA, Eq. 1-2)."""

    def __init__(self, dim: int, num_foreground: int) -> None:
        super().__init__()
        self.weight = nn.Conv2d(dim, num_foreground, kernel_size=1, bias=False)

    def score_map(self, tokens: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b cls h w"]:
        """Class scores of every position; their positive part is the class activation map."""
        scores: Tensor = self.weight(tokens)
        return scores

    def forward(self, tokens: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b cls"]:
        """Logits of the image: the highest score of each class over positions."""
        return torch.amax(self.score_map(tokens), dim=(2, 3))
