import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.disks import full_disk
from fakes.networks import random_batch, tiny_run_config

from medwsss.engine.checkpoint import RunState, load_checkpoint, read_state, save_checkpoint
from medwsss.engine.optim import build_optimiser
from medwsss.errors import CheckpointError, OutputError
from medwsss.labels import LabelSet
from medwsss.methods import build_method
from medwsss.methods.method import Method

STATE = RunState(3, 2, 0.5, "config", "split")


def trained(**sections: dict[str, object]) -> tuple[Method, torch.optim.AdamW]:
    torch.manual_seed(0)
    config = tiny_run_config(**sections)
    method = build_method(config, LabelSet("two", ("a", "b")))
    optimiser = build_optimiser(method, config.training)
    method.training_step(random_batch(), step=3, generator=torch.Generator().manual_seed(0)).total.backward()
    optimiser.step()
    return method, optimiser


def test_method_optimiser_and_state_come_back_bit_by_bit(tmp_path: Path) -> None:
    method, optimiser = trained()
    save_checkpoint(tmp_path / "last.safetensors", method, optimiser, STATE)
    torch.manual_seed(1)
    other = build_method(tiny_run_config(), LabelSet("two", ("a", "b")))
    other_optimiser = build_optimiser(other, tiny_run_config().training)
    assert load_checkpoint(tmp_path / "last.safetensors", other, other_optimiser) == STATE
    for name, tensor in method.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    restored = other_optimiser.state_dict()["state"]
    for index, slots in optimiser.state_dict()["state"].items():
        for slot, value in slots.items():
            assert torch.equal(restored[index][slot], value)


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    method, optimiser = trained()
    save_checkpoint(path, method, optimiser, STATE)
    before = path.read_bytes()
    with full_disk(at_bytes=len(before) // 2), pytest.raises(OutputError, match=r"last\.safetensors.*free some space"):
        save_checkpoint(path, method, optimiser, replace(STATE, step=4))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]


def test_fifty_kills_at_any_moment_of_saving_lose_no_checkpoint(tmp_path: Path) -> None:
    """A child saves one checkpoint after the other until it is killed; every one of them is whole."""
    path = tmp_path / "last.safetensors"
    method, optimiser = trained()
    rng, step, torn = np.random.default_rng(0), 0, 0
    save_checkpoint(path, method, optimiser, replace(STATE, step=step))
    for _ in range(50):
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                for later in range(step + 1, step + 1_000_000):
                    save_checkpoint(path, method, optimiser, replace(STATE, step=later))
            os._exit(1)
        time.sleep(rng.uniform(0.005, 0.08))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        torn += len(list(tmp_path.iterdir())) > 1
        found = load_checkpoint(path, method, optimiser)
        assert found.step >= step
        step = found.step
    assert step > 5  # saves went through
    assert torn > 5  # and kills came in the middle of others
    save_checkpoint(path, method, optimiser, STATE)
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]  # and what they left is gone


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    method, optimiser = trained()
    save_checkpoint(path, method, optimiser, STATE)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        read_state(path)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, *trained(), STATE)
    other = build_method(tiny_run_config(method={"uncertainty": {"enabled": False}}), LabelSet("two", ("a", "b")))
    with pytest.raises(CheckpointError, match="another configuration"):
        load_checkpoint(path, other)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"last\.safetensors"):
        read_state(tmp_path / "last.safetensors")
