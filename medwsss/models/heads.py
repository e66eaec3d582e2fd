"""Classification by pooled scores, whose weights also make the class activation maps."""

import torch
from jaxtyping import Bool, Float
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

    def forward(
        self, tokens: Float[Tensor, "b dim h w"], *, inside: Bool[Tensor, "b h w"] | None = None
    ) -> Float[Tensor, "b cls"]:
        """Logits of the image: the mean of the highest scores of each class, at least of one position.

        Positions that are not ``inside`` do not count; at least one of each image must be.
        """
        return self.pooled(self.score_map(tokens), inside=inside)

    def pooled(
        self, score_map: Float[Tensor, "b cls h w"], *, inside: Bool[Tensor, "b h w"] | None = None
    ) -> Float[Tensor, "b cls"]:
        """The logits that a score map gives."""
        scores = score_map.flatten(2)
        if inside is None:
            count = max(1, round(self.pooled_fraction * scores.shape[2]))
            return scores.topk(count, dim=2).values.mean(dim=2)
        valid = inside.flatten(1)
        counts = (self.pooled_fraction * valid.sum(dim=1)).round().clamp_min(1)
        ranked = scores.masked_fill(~valid[:, None], -torch.inf).topk(int(counts.max()), dim=2).values
        kept = torch.arange(ranked.shape[2], device=scores.device) < counts[:, None]
        return torch.where(kept[:, None], ranked, 0.0).sum(dim=2) / counts[:, None]
