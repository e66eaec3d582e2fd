"""Several processes that work as one (``torchrun``): which one this is, and what all of them have together.

With a single process every function here is the identity. All processes must come by in the same order.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def rank() -> int:
    """The number of this process, 0 to ``ranks() - 1``."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def ranks() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def over_batch(sums: Tensor) -> Tensor:
    """Sums over the images of this process, added up over all processes; gradients flow back.

    For losses that pool over a batch: their value is then that of the whole batch, in every process, and the mean over
    processes of their gradients, which DDP takes, is the gradient of the whole batch.
    """
    if ranks() == 1:
        return sums
    total: Tensor = _Sum.apply(sums)
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.detach().clone().contiguous()
    dist.all_reduce(total)
    return total


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean over processes, without gradient."""
    return values.detach() if ranks() == 1 else _summed(values) / ranks()


def in_any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in at least one process."""
    return flag if ranks() == 1 else bool(_summed(torch.tensor(float(flag), device=device)))


def own_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """Of a draw for all images of a batch, the ``count`` rows of this process: the same as one process would have."""
    return draw(count * ranks())[rank() * count : (rank() + 1) * count]


def over_ranks(
    work: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    *,
    watched: Callable[[Sequence[_Task]], Iterable[_Task]] = iter,
) -> list[_Result]:
    """``work`` on every task, each process on its share; all processes get all results, in the order of the tasks.

    ``watched`` passes the tasks of a process on, to show how far it is.
    """
    own = [work(task) for task in watched(tasks[rank() :: ranks()])]
    if ranks() == 1:
        return own
    shares: list[list[_Result]] = [[] for _ in range(ranks())]
    dist.all_gather_object(shares, own)
    return [shares[index % ranks()][index // ranks()] for index in range(len(tasks))]


def from_first_rank(work: Callable[[], _Result]) -> _Result:
    """What ``work`` answers in the first process, which alone does it; the others wait for the answer."""
    if ranks() == 1:
        return work()
    answer: list[_Result] = [work()] if rank() == 0 else [None]  # type: ignore[list-item]
    dist.broadcast_object_list(answer, src=0)
    return answer[0]


@contextmanager
def first_rank_first() -> Iterator[None]:
    """The first process goes through the block alone, the others follow: what it has written, they find."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and ranks() > 1:
        dist.barrier()
