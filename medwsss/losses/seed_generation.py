"""Seed generation: class scores pooled by a spatial activation distribution of controlled shape (USAGE, Eq. 7-8)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medwsss.dtypes import at_least_float32


def with_background(activations: Float[Tensor, "b cls h w"], background: float) -> Float[Tensor, "b k h w"]:
    """The activations behind a constant background channel; their softmax over channels is α of Eq. 7.

    Args:
        activations: raw class scores of every position, the CAM before the ReLU.
        background: activation of the background, the same everywhere.

    Raises:
        ValueError: ``activations`` is not a float tensor of four axes.
    """
    if activations.ndim != 4:
        raise ValueError(f"activations must be (B,M,h,w), got shape {tuple(activations.shape)}")
    values = at_least_float32("activations", activations)
    return torch.cat([torch.full_like(values[:, :1], background), values], dim=1)


def controlled_scores(
    activations: Float[Tensor, "b cls h w"],
    *,
    temperature: float,
    background: float,
    inside: Bool[Tensor, "b h w"] | None = None,
) -> Float[Tensor, "b cls"]:
    """s̃ of Eq. 8, the logits of the image: Σ α^(1/τ1) · activation / Σ α^(1/τ1) over the positions of each class.

    The sums run in log space, where no power of α vanishes. Gradients flow through α as well.

    Args:
        activations: raw class scores of every position.
        temperature: τ1 > 0. Small ones sharpen: few positions of high α count. Large ones smooth, and infinity is
            global average pooling.
        background: constant activation of the background channel of α.
        inside: positions that count, all by default; at least one of each image must.

    Raises:
        ValueError: shapes do not fit, or ``temperature`` is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    log_alpha = with_background(activations, background).log_softmax(dim=1)[:, 1:].flatten(2) / temperature
    if inside is not None:
        if inside.shape != (len(activations), *activations.shape[2:]):
            raise ValueError(f"inside must be (B,h,w) of {tuple(activations.shape)}, got {tuple(inside.shape)}")
        log_alpha = log_alpha.masked_fill(~inside.flatten(1)[:, None], -torch.inf)
    return (log_alpha.softmax(dim=2) * activations.flatten(2)).sum(dim=2)
