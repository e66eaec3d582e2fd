"""A run that is killed ends as if nothing had happened; one that was changed meanwhile goes on only when told to."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import is_refused, medwsss, tiny_config_file
from fakes.disks import full_disk
from safetensors.torch import load_file

from medwsss.engine.checkpoint import read_state

STEPS, HALF = 40, 20


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_acdc(root, fake_patients(5))
    return root


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def last(run: Path) -> Path:
    return run / "checkpoints" / "last.safetensors"


def killed_in_second_half(run: Path, *arguments: object) -> None:
    """A training process of its own that gets SIGKILL when it has taken a few steps after its first checkpoint."""
    command = [sys.executable, "-m", "medwsss", "train", *map(str, arguments), "--out", str(run), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as process:
        while process.poll() is None:
            metrics = run / "metrics.csv"
            if last(run).is_file() and metrics.is_file() and int(f"0{rows(metrics)[-1][0]}") > HALF + 2:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err.decode()
    assert read_state(last(run)).step == HALF


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("unia", {"drop_path_rate": 0.1}), pytest.param("usage", {}, marks=pytest.mark.slow)],
)
def test_a_run_killed_in_its_second_half_ends_bit_by_bit_as_one_in_one_go(
    method: str, arguments: dict[str, float], data: Path, tmp_path: Path
) -> None:
    """Layers that drop at random draw the same again; USAGE has a teacher that averages its weights over all steps."""
    config = tiny_config_file(
        tmp_path,
        data={"grid": {"crop": 32}, "task": "multi"},
        method={"name": method},
        encoder={"arguments": {"patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2, **arguments}},
        training={"iterations": STEPS, "batch_size": 2, "checkpoint_every": HALF, "validate_every": 10},
    )
    options = ("--root", data, "--config", config)
    whole = medwsss("train", *options, "--out", tmp_path / "whole", "--device", "cpu")
    assert whole.code == 0, whole.err
    killed_in_second_half(tmp_path / "killed", *options)
    with (tmp_path / "killed" / "metrics.csv").open("a") as stream:
        stream.write("2")  # as if the kill had torn a row
    resumed = medwsss("train", "--resume", tmp_path / "killed", "--device", "cpu")
    assert resumed.code == 0, resumed.err
    for name in ("last", "best"):
        files = [tmp_path / run / "checkpoints" / f"{name}.safetensors" for run in ("whole", "killed")]
        one, other = map(load_file, files)
        assert one.keys() == other.keys()
        for tensor, value in one.items():
            np.testing.assert_array_equal(other[tensor].numpy(), value.numpy(), err_msg=tensor)
        assert read_state(files[0]) == read_state(files[1])
    for name in ("metrics.csv", "validation.csv", "tags.csv", "split.json", "config.yaml"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()
    keys = [(step, term) for step, term, _ in rows(tmp_path / "killed" / "metrics.csv")]
    assert len(set(keys)) == len(keys)
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }


@pytest.fixture(scope="module")
def half_done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    folder = tmp_path_factory.mktemp("half done")
    config = tiny_config_file(folder, data={"grid": {"crop": 32}, "task": "multi"})
    answer = medwsss("train", "--root", data, "--config", config, "--out", folder / "run", "--device", "cpu")
    assert answer.code == 0, answer.err
    return folder / "run"


@pytest.fixture
def run(half_done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(half_done, tmp_path / "run"))


def set_in_config(run: Path, section: str, key: str, value: object) -> None:
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings[section][key] = value
    (run / "config.yaml").write_text(yaml.safe_dump(settings))


def hold_out_instead(run: Path, *, held_out: list[str], left_out: str | None = None) -> None:
    """Write a split file of one's own and let the run use it."""
    split = json.loads((run / "split.json").read_text())
    patients = sorted({*split["train"], *split["held_out"]} - {left_out})
    train = [patient for patient in patients if patient not in held_out]
    own = run.parent / "split.json"
    own.write_text(json.dumps({"train": train, "held_out": held_out}))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["data"]["split"]["file"] = str(own)
    (run / "config.yaml").write_text(yaml.safe_dump(settings))


def test_changed_settings_are_named_and_taken_only_when_told_to(run: Path) -> None:
    set_in_config(run, "training", "iterations", 6)
    is_refused(medwsss("train", "--resume", run), "training.iterations was 4, now 6", "--accept-changes")
    assert read_state(last(run)).step == 4
    accepted = medwsss("train", "--resume", run, "--accept-changes", "--device", "cpu")
    assert accepted.code == 0, accepted.err
    assert read_state(last(run)).step == 6
    assert json.loads((run / "changes.json").read_text())["changes"] == [
        {"after_step": 4, "what": ["training.iterations was 4, now 6"]}
    ]
    assert medwsss("train", "--resume", run, "--device", "cpu").code == 0  # nothing is changed any more


def test_a_disk_that_is_full_stops_the_run_and_costs_it_nothing(run: Path) -> None:
    before = last(run).read_bytes()
    set_in_config(run, "training", "iterations", 5)
    with full_disk(at_bytes=len(before) // 2):
        is_refused(
            medwsss("train", "--resume", run, "--accept-changes", "--device", "cpu"), "cannot write checkpoint", "space"
        )
    assert last(run).read_bytes() == before
    accepted = medwsss("train", "--resume", run, "--accept-changes", "--device", "cpu")
    assert accepted.code == 0, accepted.err
    assert len(json.loads((run / "changes.json").read_text())["changes"]) == 1


def test_a_network_of_another_size_is_not_taken_even_then(run: Path) -> None:
    before = last(run).read_bytes()
    set_in_config(run, "encoder", "arguments", {"patch_size": 8, "embed_dim": 36, "depth": 3, "num_heads": 2})
    is_refused(medwsss("train", "--resume", run, "--accept-changes"), "belongs to another configuration")
    assert last(run).read_bytes() == before
    assert not (run / "changes.json").exists()


def test_another_split_is_named_and_a_patient_trained_on_is_never_held_out(run: Path) -> None:
    split = json.loads((run / "split.json").read_text())
    trained_on, held_out = split["train"][0], split["held_out"][0]
    hold_out_instead(run, held_out=[trained_on])
    is_refused(medwsss("train", "--resume", run), "was made with another configuration", "data.split.file")
    is_refused(
        medwsss("train", "--resume", run, "--accept-changes"), f"was trained on {trained_on}, which would be held out"
    )
    hold_out_instead(run, held_out=[held_out], left_out=trained_on)
    set_in_config(run, "training", "iterations", 5)
    accepted = medwsss("train", "--resume", run, "--accept-changes", "--device", "cpu")
    assert accepted.code == 0, accepted.err
    assert (
        f'{trained_on} was "trains", now absent' in json.loads((run / "changes.json").read_text())["changes"][0]["what"]
    )
    assert trained_on not in json.loads((run / "split.json").read_text())["train"]


def test_other_versions_are_told(run: Path) -> None:
    versions = json.loads((run / "versions.json").read_text())
    (run / "versions.json").write_text(json.dumps({**versions, "torch": "2.10.0"}))
    resumed = medwsss("train", "--resume", run, "--device", "cpu")
    assert resumed.code == 0, resumed.err
    assert 'began with other versions (torch was "2.10.0", now' in resumed.err


def test_changes_are_accepted_only_of_a_run_that_goes_on(data: Path, tmp_path: Path) -> None:
    is_refused(medwsss("train", "--root", data, "--out", tmp_path / "out", "--accept-changes"), "pass --resume with it")
