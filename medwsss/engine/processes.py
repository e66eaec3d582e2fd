"""Training and prediction by several processes, as ``torchrun`` starts them: joining, and sharing out batches."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from medwsss.data.sample import Draw
from medwsss.errors import ConfigError
from medwsss.ranks import rank, ranks


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if it did; gives the device of this one.

    Processes on GPUs talk through NCCL, one GPU each, others through gloo.

    Raises:
        ConfigError: there are more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise ConfigError(f"{local + 1} processes on {torch.cuda.device_count()} GPUs: lower --nproc-per-node")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


class OwnDraws:
    """The part of every batch that this process learns from, itself in ``parts`` that follow each other."""

    def __init__(self, batches: Iterable[list[Draw]], *, parts: int) -> None:
        self.batches, self.parts = batches, parts

    def __iter__(self) -> Iterator[list[Draw]]:
        for batch in self.batches:
            size = len(batch) // (ranks() * self.parts)
            for part in range(rank() * self.parts, (rank() + 1) * self.parts):
                yield batch[part * size : (part + 1) * size]


def check_shares(batch_size: int, *, parts: int, bags: bool) -> None:
    """Refuse what cannot be shared out evenly.

    Raises:
        ConfigError: the batch has no such parts, or its images were tagged together.
    """
    shares = ranks() * parts
    if shares > 1 and bags:
        raise ConfigError(
            "slices that were tagged together stay together: train on one process, without training.accumulate"
        )
    if batch_size % shares:
        raise ConfigError(
            f"training.batch_size={batch_size} is not a multiple of {ranks()} processes × training.accumulate={parts}"
        )
