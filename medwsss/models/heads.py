"""Classification by pooled scores, whose weights also make the class activation maps."""

from jaxtyping import Float
from torch import Tensor, nn


class Classifier(nn.Module):
    """A 1×1 convolution without bias (UniA, Eq. 1-2)."""

    def __init__(self, dim: int, num_foreground: int, *, pooled_fraction: float) -> None:
        """``pooled_fraction`` of the positions make a logit; 0 is global max pooling."""
        super().__init__()
        self.pooled_fraction = pooled_fraction
        self.weight = nn.Conv2d(dim, num_foreground, kernel_size=1, bias=False)

    def score_map(self, tokens: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b cls h w"]:
        """Class scores of every position; their positive part is the class activation map."""
        scores: Tensor = self.weight(tokens)
        return scores

    def forward(self, tokens: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b cls"]:
        """Logits of the image: the mean of the highest scores of each class, at least of one position."""
        scores = self.score_map(tokens).flatten(2)
        count = max(1, round(self.pooled_fraction * scores.shape[2]))
        logits: Tensor = scores.topk(count, dim=2).values.mean(dim=2)
        return logits
