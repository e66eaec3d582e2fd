"""Several processes that work as one on the CPU, as torchrun starts them."""

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing

from fakes.networks import random_batch, tiny_run_config
from medwsss.data.sample import Batch
from medwsss.engine.optim import build_optimiser
from medwsss.engine.processes import joined
from medwsss.engine.train import _one_step, _shared, _Step
from medwsss.labels import LabelSet
from medwsss.methods import build_method
from medwsss.methods.addons import with_add_ons
from medwsss.ranks import over_ranks, rank, ranks

CPU = torch.device("cpu")
Work = Callable[..., object]


def together(work: Work, *arguments: object, processes: int = 2) -> None:
    """``work(*arguments)`` in each of the processes, which find each other through their environment."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_joined_work, (port, processes, work, arguments), nprocs=processes)


def _joined_work(number: int, port: int, processes: int, work: Work, arguments: tuple[object, ...]) -> None:
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(processes)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with joined(CPU):
        work(*arguments)


def store_all(folder: Path, cases: Mapping[str, Mapping[str, Any]], tasks: int) -> None:
    """Gradients of every case, and shares of so many tasks: starting processes takes longer than all of it."""
    for name, sections in cases.items():
        store_gradients(folder / name, sections)
    store_shares(folder / "shares", tasks)


def store_gradients(path: Path, sections: Mapping[str, Any], parts: int = 1) -> None:
    """Losses and gradients of one step on a batch of four images, of which each process sees its part.

    With even attention all positions would be alike after the walk, and their labels a matter of rounding.
    """
    torch.manual_seed(0)
    config = tiny_run_config(training={"iterations": 10, "learning_rate": 1e-9}, **sections)
    method = build_method(config, LabelSet("two", ("first", "second")))
    with torch.no_grad():  # as after some training: scores above 0 somewhere, and tokens that attend to some others
        for name, parameter in method.named_parameters():
            if "classifier" in name or "qkv.weight" in name:
                parameter.mul_(20)
    learner = with_add_ons(method, config.addons, name=config.method.name).train()
    optimiser = build_optimiser(learner, config.training)
    batch, size = random_batch(size=4), 4 // (ranks() * parts)
    starts = range(4 // ranks() * rank(), 4 // ranks() * (rank() + 1), size)
    batches = [rows(batch, slice(start, start + size)) for start in starts]
    losses = _one_step(_shared(_Step(learner), CPU), optimiser, batches, seed=0, step=9)
    gradients = {name: value.grad for name, value in learner.named_parameters() if value.grad is not None}
    if rank() == 0:
        torch.save({"losses": losses, "gradients": gradients}, path)


def rows(batch: Batch, part: slice) -> Batch:
    return Batch(batch.images[part], batch.image_labels[part], batch.boxes[part], batch.keys[part])


def store_shares(path: Path, tasks: int) -> None:
    """Who did what of so many tasks, and the answers."""
    done: list[int] = []

    def square(task: int) -> int:
        done.append(task)
        return task**2

    answers = over_ranks(square, range(tasks))
    torch.save({"done": done, "answers": answers}, path.with_suffix(f".{rank()}"))
