"""All randomness of a run as a function of its seed: a resumed run draws what an uninterrupted one would have drawn."""

import hashlib
from collections.abc import Iterator

import numpy as np
import torch

from medwsss.data.sample import Draw


def derived_seed(seed: int, *stream: int | str) -> int:
    """A 63-bit seed for one purpose, such as ``derived_seed(7, "augment", step)``; streams do not overlap."""
    text = "/".join(map(str, (seed, *stream)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def derived_generator(seed: int, *stream: int | str) -> torch.Generator:
    """A CPU generator for one purpose."""
    return torch.Generator().manual_seed(derived_seed(seed, *stream))


class BatchDraws:
    """The batches of a run from ``first_step`` on: shuffled epochs, each draw with its own augmentation seed."""

    def __init__(self, size: int, *, batch_size: int, seed: int, first_step: int, iterations: int) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.first_step, self.iterations = first_step, iterations

    def __len__(self) -> int:
        return self.iterations - self.first_step

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in range(self.first_step, self.iterations):
            positions = range(step * self.batch_size, (step + 1) * self.batch_size)
            yield [self._draw(position) for position in positions]

    def _draw(self, position: int) -> Draw:
        epoch, offset = divmod(position, self.size)
        if getattr(self, "_epoch", None) != epoch:
            rng = np.random.default_rng(derived_seed(self.seed, "order", epoch))
            self._epoch, self._order = epoch, rng.permutation(self.size)
        return Draw(int(self._order[offset]), derived_seed(self.seed, "augment", position))
