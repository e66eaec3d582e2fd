"""All randomness of a run as a function of its seed: a resumed run draws what an uninterrupted one would have drawn."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import count

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


class BagDraws:
    """The same where samples were tagged together: batches of whole bags, so that a batch says what a tag says.

    Bags of several samples and samples that stand alone are spread over the batches of an epoch as they are over the
    data, so that batches are alike. Of a bag that is larger than a batch, as many samples as fit are drawn.
    """

    def __init__(
        self, bags: Sequence[Sequence[int]], *, batch_size: int, seed: int, first_step: int, iterations: int
    ) -> None:
        self.bags, self.batch_size, self.seed = bags, batch_size, seed
        self.first_step, self.iterations = first_step, iterations

    def __len__(self) -> int:
        return self.iterations - self.first_step

    def __iter__(self) -> Iterator[list[Draw]]:
        for step, batch in zip(range(self.iterations), self._batches(), strict=False):
            if step >= self.first_step:
                yield [
                    Draw(index, derived_seed(self.seed, "augment", step * self.batch_size + place))
                    for place, index in enumerate(batch)
                ]

    def _batches(self) -> Iterator[list[int]]:
        for epoch in count():
            rng = np.random.default_rng(derived_seed(self.seed, "order", epoch))
            shuffled = [self._fitting(self.bags[number], rng) for number in rng.permutation(len(self.bags))]
            together = [bag for bag in shuffled if len(bag) > 1]
            alone = [bag[0] for bag in shuffled if len(bag) == 1]
            while together or alone:
                batch: list[int] = []
                for _ in range(self._bags_due(together, alone, rng)):
                    if together and len(batch) + len(together[-1]) <= self.batch_size:
                        batch += together.pop()
                room = self.batch_size - len(batch)
                batch, alone = batch + alone[:room], alone[room:]
                if batch:
                    yield batch

    def _fitting(self, bag: Sequence[int], rng: np.random.Generator) -> list[int]:
        if len(bag) <= self.batch_size:
            return list(bag)
        return sorted(rng.choice(bag, self.batch_size, replace=False).tolist())

    def _bags_due(self, together: Sequence[Sequence[int]], alone: Sequence[int], rng: np.random.Generator) -> int:
        """How many bags of several samples a batch gets: on average, their share of what is left of the epoch."""
        if not alone:
            return len(together)
        batches_left = (sum(map(len, together)) + len(alone)) / self.batch_size
        due = len(together) / batches_left
        return int(due) + int(rng.random() < due % 1.0)
