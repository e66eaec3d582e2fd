"""Which tokens of an image are hidden from a network that learns to fill them in."""

import math

import torch
from jaxtyping import Bool
from torch import Tensor


def random_token_mask(
    size: int, grid: tuple[int, int], *, ratio: float, block: int, generator: torch.Generator
) -> Bool[Tensor, "size h w"]:
    """Masks of square blocks in random places (SimMIM, Sec. 3.2); every image has ``round(ratio * h * w)`` tokens.

    Blocks lie on a fixed grid; those on the lower and right edge may be cut, and one block is hidden in part where
    the count wants it so.

    Args:
        size: how many masks.
        grid: rows and columns of tokens.
        ratio: share of tokens that are hidden, in (0, 1); at least one token is.
        block: side of a block, in tokens.
        generator: of the CPU, as all randomness of a step.
    """
    height, width = grid
    count = max(1, round(ratio * height * width))
    rows, columns = math.ceil(height / block), math.ceil(width / block)
    turn = torch.rand(size, rows * columns, generator=generator).argsort(dim=1).argsort(dim=1)
    turn = turn.reshape(size, rows, columns).repeat_interleave(block, 1).repeat_interleave(block, 2)
    order = turn[:, :height, :width] + torch.rand(size, height, width, generator=generator)
    hidden = order.flatten(1).argsort(dim=1)[:, :count]
    mask = torch.zeros(size, height * width, dtype=torch.bool)
    return mask.scatter_(1, hidden, True).reshape(size, height, width)
