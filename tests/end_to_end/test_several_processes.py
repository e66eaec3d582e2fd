"""torchrun starts several processes that train and predict as one, through the real command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import tiny_config_file
from safetensors.torch import load_file

from medwsss.engine.checkpoint import read_state
from medwsss.volumes.io import load_label_volume

pytestmark = pytest.mark.slow


def started(processes: int, *arguments: object) -> subprocess.Popen[str]:
    """The command line in so many processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "medwsss"]
    return subprocess.Popen(
        [sys.executable, *launcher, *map(str, arguments)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def medwsss(processes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    with started(processes, *arguments) as command:
        out, err = command.communicate(timeout=500)
    return subprocess.CompletedProcess(command.args, command.returncode, out, err)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process, and one of two that saw the same batches."""
    folder = tmp_path_factory.mktemp("ranks")
    write_acdc(folder / "data", fake_patients(5))
    config = tiny_config_file(
        folder,
        data={"grid": {"crop": 32}, "task": "multi"},
        training={"iterations": 4, "batch_size": 4, "warmup_steps": 0, "learning_rate": 1e-4, "validate_every": 2},
    )
    for processes in (1, 2):
        options = ("--root", folder / "data", "--config", config, "--out", folder / f"run-{processes}")
        answer = medwsss(processes, "train", *options, "--device", "cpu")
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.count("run folder") == 1  # one process tells
    return folder


def test_two_processes_learn_what_one_does(base: Path) -> None:
    alone, both = (load_file(base / f"run-{count}" / "checkpoints" / "last.safetensors") for count in (1, 2))
    assert alone.keys() == both.keys()
    for name, value in alone.items():
        np.testing.assert_allclose(both[name].numpy(), value.numpy(), atol=2e-4, err_msg=name)


def test_losses_and_scores_are_those_of_one_process_on_uneven_shares(base: Path) -> None:
    for file in ("metrics.csv", "validation.csv"):
        alone, both = (pd.read_csv(base / f"run-{count}" / file) for count in (1, 2))
        assert len(alone) > 1
        pd.testing.assert_frame_equal(both, alone, atol=2e-3, rtol=1e-3)


def test_a_run_folder_holds_the_same_files_whoever_wrote_them(base: Path) -> None:
    def files(count: int) -> set[str]:
        run = base / f"run-{count}"
        return {str(path.relative_to(run)) for path in run.rglob("*") if "tensorboard" not in path.parts}

    assert files(1) == files(2)
    assert len(list((base / "run-2" / "tensorboard").iterdir())) == len(
        list((base / "run-1" / "tensorboard").iterdir())
    )


def test_a_run_of_two_goes_on_with_one(base: Path) -> None:
    answer = medwsss(1, "train", "--resume", base / "run-2", "--device", "cpu")
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_two_processes_stop_after_the_same_step(base: Path, tmp_path: Path, stop: signal.Signals) -> None:
    config = tiny_config_file(
        tmp_path,
        data={"grid": {"crop": 32}, "task": "multi"},
        training={"iterations": 100_000, "batch_size": 4, "validate_every": 100_000, "checkpoint_every": 100_000},
    )
    run = tmp_path / "run"
    options = ("--root", base / "data", "--config", config, "--out", run, "--device", "cpu")
    with started(2, "train", *options) as command:
        for _ in range(1200):
            if (run / "metrics.csv").is_file() and len((run / "metrics.csv").read_text().splitlines()) > 1:
                break
            time.sleep(0.1)
        command.send_signal(stop)
        _, err = command.communicate(timeout=120)
    assert command.returncode != 0
    assert f"stopped: continue with medwsss train --resume {run}" in err
    assert read_state(run / "checkpoints" / "last.safetensors").step == pd.read_csv(run / "metrics.csv")["step"].max()


def test_two_processes_predict_each_volume_once(base: Path) -> None:
    for processes in (1, 2):
        options = (base / "run-1", base / "data", "--out", base / f"predicted-{processes}", "--device", "cpu")
        answer = medwsss(processes, "predict", *options)
        assert answer.returncode == 0, answer.stderr
        assert "10 volumes segmented" in answer.stdout
    for file in ("prediction.json", "quality.csv"):
        first, second = ((base / f"predicted-{count}" / file).read_text() for count in (1, 2))
        assert first == second
    names = json.loads((base / "predicted-2" / "prediction.json").read_text())["cases"]
    for name in names:
        one, two = (load_label_volume(base / f"predicted-{count}" / f"{name}.nii.gz") for count in (1, 2))
        np.testing.assert_array_equal(one.array, two.array)


def test_what_cannot_be_shared_is_one_line(base: Path, tmp_path: Path) -> None:
    uneven = medwsss(
        2, "train", "--root", base / "data", "--out", tmp_path / "out", "--device", "cpu",
        "--set", "training.batch_size=3",
    )  # fmt: skip
    assert "error: training.batch_size=3 is not a multiple of 2 processes" in uneven.stderr
    other = medwsss(2, "check", base / "data")
    assert "error: only train and predict share their work out: start other commands without torchrun" in other.stderr
    assert other.returncode == uneven.returncode != 0
    assert not (tmp_path / "out").exists()
