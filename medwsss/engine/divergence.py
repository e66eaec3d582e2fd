"""What is kept of a training step whose loss was not finite: enough to find out why, without training again."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medwsss.config.data import VolumeDataConfig
from medwsss.data import IMAGE_SETS
from medwsss.data.records import read_record, save_record
from medwsss.data.sample import Batch, SliceKey
from medwsss.engine.checkpoint import RunState, load_checkpoint, save_checkpoint
from medwsss.engine.run_folder import open_run, without_foreign_weights
from medwsss.errors import CheckpointError, OutputError
from medwsss.methods import build_method
from medwsss.methods.method import Learner
from medwsss.ranks import rank, ranks
from medwsss.reading import parsed_json
from medwsss.writing import written_whole

_BATCH, _STATE, _STEP = "batch.safetensors", "checkpoint.safetensors", "step.json"


@dataclass(frozen=True)
class Randomness:
    """Where the generators stood before the step: of layers that drop, and of the method."""

    layers: Tensor
    method: Tensor

    @classmethod
    def now(cls, generator: torch.Generator) -> "Randomness":
        return cls(torch.get_rng_state(), generator.get_state())

    @contextmanager
    def again(self) -> Iterator[torch.Generator]:
        """The generator of the method as it stood; that of layers stands there during the block."""
        generator = torch.Generator()
        generator.set_state(self.method)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.layers)
            yield generator


def keep_step(
    folder: Path,
    learner: Learner[Any],
    optimiser: torch.optim.Optimizer,
    state: RunState,
    batch: Batch,
    randomness: Randomness,
    *,
    files: Sequence[Path],
    reason: str,
) -> Path:
    """Store the batch, where it comes from, and, while they are finite, the weights that made something else of it.

    Answers the folder: ``folder``, or one below it for each of several processes.

    Raises:
        OutputError: a file cannot be written.
    """
    place = folder if ranks() == 1 else folder / f"rank-{rank()}"
    tensors = {f.name: v.cpu().contiguous() for f in fields(batch) if isinstance(v := getattr(batch, f.name), Tensor)}
    tensors |= {"rng.layers": randomness.layers, "rng.method": randomness.method}
    keys = [[key.patient, key.phase, key.index] for key in batch.keys]
    try:
        with written_whole(place / _BATCH) as partial:
            save_file(tensors, partial, metadata={"keys": json.dumps(keys)})
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write {place / _BATCH}: {error}; free some space ({reason})") from None
    if all(bool(tensor.isfinite().all()) for tensor in learner.state_dict().values()):
        save_checkpoint(place / _STATE, learner, optimiser, state)
    slices = [str(key) for key in batch.keys]
    record = {"step": state.step, "reason": reason, "slices": slices, "files": [str(file) for file in files]}
    save_record(place / _STEP, record)
    return place


def first_not_finite(learner: Learner[Any], batch: Batch, randomness: Randomness, *, step: int) -> str | None:
    """Name the weight, or else the layer of a repeated step, that is the first not to be finite; None if all are.

    For parts of a method that refuse NaN before there is a loss; a step that fails has no other trace of it.
    """
    for name, parameter in learner.named_parameters():
        if not parameter.isfinite().all():
            return f"weight {name}"
    if ranks() > 1:  # the other processes do not repeat the step, and layers may wait for them
        return None
    found: list[str] = []

    def note(name: str, output: object) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and not output.isfinite().all():
            found.append(f"the output of {name}")

    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, module in learner.named_modules()
    ]
    try:
        with suppress(ValueError), randomness.again() as generator:
            learner.training_step(batch, step=step, generator=generator)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None


def repeat_step(run_folder: Path, kept: Path) -> dict[str, float]:
    """The loss terms of a kept step of a method, computed again on the CPU.

    Args:
        run_folder: of the run that stopped.
        kept: the folder that its message named.

    Raises:
        CheckpointError: one of the folders is not what it should be, or the weights were no longer finite.
        ValueError: as the step did, where a part of the method refused what it got.
    """
    _, config = open_run(run_folder)
    data = config.data
    labels = data.segmented.labels if isinstance(data, VolumeDataConfig) else IMAGE_SETS[data.name].labels
    method = build_method(without_foreign_weights(config), labels)
    load_checkpoint(kept / _STATE, method)
    record = read_record(kept / _STEP)
    if record is None:
        raise CheckpointError(f"{kept} holds no step that was kept (no {_STEP})")
    batch, randomness = _stored(kept / _BATCH)
    with randomness.again() as generator:
        terms = method.train().training_step(batch, step=int(record["step"]), generator=generator)
    return {name: float(value.detach()) for name, value in {**terms.values, "total": terms.total}.items()}


def _stored(path: Path) -> tuple[Batch, Randomness]:
    try:
        with safe_open(path, framework="pt") as stored:
            keys = parsed_json(stored.metadata()["keys"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        randomness = Randomness(tensors.pop("rng.layers"), tensors.pop("rng.method"))
        return Batch(keys=tuple(SliceKey(*key) for key in keys), **tensors), randomness
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or no batch that was kept ({error})") from None
