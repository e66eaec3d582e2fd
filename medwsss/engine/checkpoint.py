"""A checkpoint is one safetensors file: tensors of learner and optimiser, run state as JSON in its header."""

import json
import reprlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medwsss.errors import CheckpointError, OutputError
from medwsss.methods.method import Learner
from medwsss.reading import parsed_json
from medwsss.writing import remove_rests, written_whole

_METHOD, _OPTIMISER = "method.", "optimiser."
_SCRATCH = ".saving"
"""Where safetensors makes files of its own while it writes, which a kill would leave among the checkpoints."""


_KINDS = {
    "step": int,
    "best_step": int | None,
    "best_score": int | float | None,
    "config_hash": str,
    "split_hash": str,
    "settings": dict | None,
}
"""What the header of a checkpoint holds, by the names of ``RunState``."""


@dataclass(frozen=True)
class RunState:
    """Where a run stands; every random draw follows from the configuration's seed and the step."""

    step: int
    """Iterations done."""
    best_step: int | None
    best_score: float | None
    config_hash: str
    split_hash: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The resolved configuration, as JSON has it."""


def save_checkpoint(path: Path, learner: Learner[Any], optimiser: torch.optim.Optimizer, state: RunState) -> None:
    """Write a checkpoint; the previous file stays whole until the new one is on disk.

    What an earlier process left half written is removed: a run has one writer.

    Raises:
        OutputError: the disk is full or the folder cannot be written; the previous checkpoint is untouched.
    """
    tensors = {_METHOD + name: tensor.contiguous() for name, tensor in learner.state_dict().items()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"{_OPTIMISER}{index}.{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    _write(path, tensors, state)


def replace_state(path: Path, state: RunState) -> None:
    """The same tensors with another run state.

    Raises:
        CheckpointError: the file is missing, damaged or not one of ours.
        OutputError: it cannot be written.
    """
    with _opened(path) as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    _write(path, tensors, state)


def _write(path: Path, tensors: dict[str, Tensor], state: RunState) -> None:
    scratch = path.parent / _SCRATCH
    try:
        remove_rests(path)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        with written_whole(path) as partial:
            save_file(tensors, scratch / path.name, metadata={"state": json.dumps(asdict(state))})
            (scratch / path.name).replace(partial)
        scratch.rmdir()
    except (OSError, SafetensorError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise OutputError(f"cannot write checkpoint {path}: {error}; free some space, then --resume") from None


def read_state(path: Path) -> RunState:
    """The run state in a checkpoint's header; no tensor is read.

    Raises:
        CheckpointError: the file is missing, damaged or not one of ours.
    """
    with _opened(path) as stored:
        return _state(stored)


def load_checkpoint(path: Path, learner: Learner[Any], optimiser: torch.optim.Optimizer | None = None) -> RunState:
    """Restore a method, or another learner, and, for resuming, its optimiser.

    Raises:
        CheckpointError: the file is missing or damaged, or belongs to another configuration.
    """
    with _opened(path) as stored:
        state = _state(stored)
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    own = {name.removeprefix(_METHOD): tensor for name, tensor in tensors.items() if name.startswith(_METHOD)}
    expected = learner.state_dict()
    misfits = sorted(set(own) ^ set(expected))
    misfits += [name for name in set(own) & set(expected) if own[name].shape != expected[name].shape]
    if misfits:
        raise CheckpointError(f"{path} belongs to another configuration: {len(misfits)} tensors differ ({misfits[0]})")
    if not all(bool(tensor.isfinite().all()) for tensor in own.values()):
        raise CheckpointError(f"{path} holds weights that are not finite: use another checkpoint, or train again")
    learner.load_state_dict(own)
    if optimiser is not None:
        try:
            _restore_optimiser(optimiser, tensors)
        except (ValueError, KeyError, IndexError):
            raise CheckpointError(f"{path} holds the state of another optimiser: train again") from None
    return state


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as stored:
            yield stored
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a checkpoint of medwsss ({error}): use another one, or train again"
        ) from None


def _state(stored: Any) -> RunState:
    content = parsed_json(stored.metadata()["state"])
    for name, kind in _KINDS.items():
        if not isinstance(content.get(name), kind):
            raise TypeError(f"its {name} is {reprlib.repr(content.get(name))}")
    if content["step"] < 0:
        raise ValueError(f"its step is {content['step']}")
    return RunState(**content)


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    slots: dict[int, dict[str, Any]] = {}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for name, tensor in tensors.items():
        if name.startswith(_OPTIMISER):
            index, slot = name.removeprefix(_OPTIMISER).split(".", 1)
            if tensor.ndim and tensor.shape != parameters[int(index)].shape:
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}")
            slots.setdefault(int(index), {})[slot] = tensor
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
