"""Affinity between tokens from attention, and the walk that spreads class activation along it."""

import torch
from jaxtyping import Float
from torch import Tensor

from medwsss.refinement.sinkhorn import sinkhorn


def symmetric_affinity(attention: Float[Tensor, "b n n"], *, rounds: int = 3) -> Float[Tensor, "b n n"]:
    """M_aff = (M_ds + M_dsᵀ) / 2 with M_ds the doubly stochastic form of the attention (UniA, Eq. 11).

    Exactly symmetric, non-negative, rows and columns sum to about 1; differentiable.

    Args:
        attention: (B, N, N) >= 0, averaged over heads and blocks, class token removed.
        rounds: Sinkhorn rounds.

    Raises:
        ValueError: ``attention`` is not a batch of square non-negative float matrices, or ``rounds`` < 1.
    """
    if attention.ndim != 3 or attention.shape[1] != attention.shape[2] or not attention.is_floating_point():
        raise ValueError(f"attention must be floats (B, N, N), not {attention.dtype} of {tuple(attention.shape)}")
    if not (attention >= 0).all():
        raise ValueError("attention must not hold negative values or NaN")
    doubly_stochastic = sinkhorn(attention, rounds=rounds)
    return (doubly_stochastic + doubly_stochastic.mT) / 2


def random_walk(
    cams: Float[Tensor, "b cls h w"], affinity: Float[Tensor, "b n n"], *, steps: int = 2, power: float = 2
) -> Float[Tensor, "b cls h w"]:
    """Spread maps over tokens: ``steps`` products with the element-wise ``power`` of the affinity, rows summing to 1.

    Each token takes the weighted mean of the tokens it is akin to, so constant maps stay constant and the identity
    changes nothing. A token without any affinity keeps its value (UniA, Sec. III-D; methods §1).

    Args:
        cams: maps at token resolution, N = h·w tokens in row-major order.
        affinity: (B, N, N) >= 0.
        steps: length of the walk; 0 returns the maps.
        power: sharpening of the affinity before its rows are normalised, > 0.

    Raises:
        ValueError: shapes do not fit, ``affinity`` holds negative values, ``steps`` < 0 or ``power`` <= 0.
    """
    if cams.ndim != 4 or not cams.is_floating_point():
        raise ValueError(f"cams must be floats (B, M, H, W), not {cams.dtype} of shape {tuple(cams.shape)}")
    tokens = cams.shape[2] * cams.shape[3]
    if affinity.shape != (len(cams), tokens, tokens) or not affinity.is_floating_point():
        expected = f"({len(cams)}, {tokens}, {tokens})"
        raise ValueError(f"affinity must be floats {expected}, not {affinity.dtype} of {tuple(affinity.shape)}")
    if not (affinity >= 0).all():
        raise ValueError("affinity must not hold negative values or NaN")
    if steps < 0 or not power > 0:
        raise ValueError(f"steps must be >= 0 and power > 0, not steps={steps}, power={power}")
    strongest = affinity.amax(dim=2, keepdim=True)
    alone = strongest == 0
    # Divided by its maximum first, a row cannot vanish when high powers of small numbers underflow.
    sharpened = (affinity / strongest.masked_fill(alone, 1.0)).pow(power)
    transition = (sharpened / sharpened.sum(dim=2, keepdim=True).masked_fill(alone, 1.0)).to(cams.dtype)
    walked = cams.flatten(2).mT
    for _ in range(steps):
        walked = torch.where(alone, walked, transition @ walked)
    return walked.mT.reshape(cams.shape)
