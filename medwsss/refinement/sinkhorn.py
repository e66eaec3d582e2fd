"""Sinkhorn's normalisation: a non-negative matrix becomes doubly stochastic."""

import torch
from jaxtyping import Float
from torch import Tensor


def sinkhorn(matrix: Float[Tensor, "b n n"], *, rounds: int = 3) -> Float[Tensor, "b n n"]:
    """Divide columns, then rows, by their sums, ``rounds`` times (UniA, Sec. III-D before Eq. 11).

    Rows sum to 1 at the end; columns approach 1 with the rounds. A row or column without any mass stays 0.

    Raises:
        ValueError: ``matrix`` is not a batch of square float matrices or holds negative values, or ``rounds`` < 1.
    """
    if matrix.ndim != 3 or matrix.shape[1] != matrix.shape[2] or not matrix.is_floating_point():
        raise ValueError(f"matrix must be floats (B, N, N), not {matrix.dtype} of shape {tuple(matrix.shape)}")
    if not (matrix >= 0).all():
        raise ValueError("matrix must not hold negative values or NaN")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    smallest = torch.finfo(matrix.dtype).tiny
    for _ in range(rounds):
        matrix = matrix / matrix.sum(dim=1, keepdim=True).clamp_min(smallest)
        matrix = matrix / matrix.sum(dim=2, keepdim=True).clamp_min(smallest)
    return matrix
