"""Batches for training, loaded by processes of their own where the configuration and the machine have them."""

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from torch.utils.data import DataLoader, Dataset

from medwsss.config.pretraining import LearningConfig
from medwsss.data.sample import Batch, Draw, TrainingSet, collate
from medwsss.engine.processes import OwnDraws
from medwsss.engine.seeding import BagDraws, BatchDraws
from medwsss.errors import MedwsssError, MedwsssWarning, TrainingError

_SHARED_MEMORY = Path("/dev/shm")
"""Where processes of a loader leave batches, on Linux."""
_AHEAD = 3
"""Batches of each of them that may lie there: two ahead, and one in use."""
_PATIENCE_SECONDS = 900


def training_batches(
    dataset: TrainingSet, config: LearningConfig, *, first_step: int, device: torch.device
) -> Iterator[Batch]:
    """The parts of all batches from a step on that this process learns from.

    Raises:
        TrainingError: a process that loads images was killed.
        MedwsssError: an image cannot be read.
    """
    settings = config.training
    length: dict[str, int] = {"batch_size": settings.batch_size, "seed": settings.seed}
    length |= {"first_step": first_step, "iterations": settings.iterations}
    batches = BagDraws(dataset.bags, **length) if dataset.bags else BatchDraws(len(dataset), **length)
    workers = _fitting_workers(config.data.workers, dataset, settings.batch_size)
    loader = DataLoader(
        cast(Dataset[Batch], dataset),  # collate turns its samples into batches
        batch_sampler=OwnDraws(batches, parts=settings.accumulate),
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        num_workers=workers,
        persistent_workers=workers > 0,
        timeout=_PATIENCE_SECONDS if workers > 0 else 0,
    )
    return _clearly(loader)


def _fitting_workers(workers: int, dataset: TrainingSet, batch_size: int) -> int:
    """So many processes, or none where shared memory cannot hold the batches that they hand over.

    A process that finds no room loses its batch, and the training would wait for it.
    """
    if workers == 0 or not _SHARED_MEMORY.is_dir():
        return workers
    needed = _AHEAD * workers * batch_size * collate([dataset[Draw(0, 0)]]).nbytes
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if free > needed:
        return workers
    message = (
        f"{_SHARED_MEMORY} has {free / 2**20:.1f} MiB left and data.workers={workers} needs {needed / 2**20:.1f} MiB:"
        " images are loaded without them, more slowly (in Docker, pass --shm-size)"
    )
    warnings.warn(message, MedwsssWarning, stacklevel=4)
    return 0


def _clearly(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """What the loader gives; an error of a loader process brings its traceback along as text, which is left out."""
    try:
        yield from loader
    except MedwsssError as error:
        kind = f"{type(error).__module__}.{type(error).__qualname__}: "
        raise type(error)(str(error).rpartition(kind)[2]) from None
    except RuntimeError as error:
        if "DataLoader" not in str(error):
            raise
        raise TrainingError(
            f"a process that loads images was killed or gave no batch for {_PATIENCE_SECONDS} s, perhaps for want of"
            " memory: lower data.workers (0 needs least) and --resume"
        ) from None
