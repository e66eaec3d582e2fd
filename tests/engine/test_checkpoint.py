from pathlib import Path

import pytest
import torch
from fakes.networks import random_batch, tiny_run_config

from medwsss.engine import checkpoint as checkpoint_module
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


def test_a_failed_write_leaves_the_old_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    method, optimiser = trained()
    save_checkpoint(path, method, optimiser, STATE)
    before = path.read_bytes()

    def full_disk(tensors: object, partial: Path, **_: object) -> None:
        partial.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_module, "save_file", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(path, method, optimiser, RunState(4, None, None, "config", "split"))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]


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
