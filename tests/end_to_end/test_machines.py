"""What clusters do to a run: workers that die, little shared memory, no network, inputs that cannot be written to."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import is_refused, medwsss, tiny_config_file

from medwsss.config.data import AcdcDataConfig, GridConfig
from medwsss.data.loading import load_acdc
from medwsss.data.sample import Draw
from medwsss.data.slices import SliceDataset
from medwsss.writing import sole_writer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Größe 심장")
    write_acdc(folder / "data", fake_patients(5))
    return folder


def options(base: Path, *, workers: int = 0, iterations: int = 2) -> tuple[object, ...]:
    config = tiny_config_file(
        base, data={"grid": {"crop": 32}, "workers": workers}, training={"iterations": iterations, "batch_size": 2}
    )
    return ("train", "--root", base / "data", "--config", config, "--device", "cpu")


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """When each file was last changed, and its size."""
    found = {str(path): path.stat() for path in sorted(folder.rglob("*"))}
    return {name: (status.st_mtime_ns, status.st_size) for name, status in found.items()}


def test_a_folder_with_spaces_and_other_scripts_is_read_and_left_as_it_was(base: Path, tmp_path: Path) -> None:
    before, out = state(base / "data"), tmp_path / "Läufe 1" / "심장"
    answer = medwsss(*options(base), "--out", out)
    assert answer.code == 0, answer.err
    predicted = medwsss("predict", out, base / "data", "--out", tmp_path / "预测", "--device", "cpu")
    assert predicted.code == 0, predicted.err
    assert (out / "report" / "report.html").is_file()
    assert len(list((tmp_path / "预测").glob("*.nii.gz"))) == 10
    assert state(base / "data") == before


def test_a_loader_that_is_killed_is_one_line(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.getpid()

    def killed(self: SliceDataset, draw: Draw) -> object:
        if os.getpid() != owner:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, draw)

    original = SliceDataset.__getitem__
    monkeypatch.setattr(SliceDataset, "__getitem__", killed)
    answer = medwsss(*options(base, workers=1), "--out", tmp_path / "run")
    is_refused(answer, "a process that loads images was killed", "data.workers", "--resume")


def test_little_shared_memory_is_told(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20 // 10))
    answer = medwsss(*options(base, workers=2), "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "/dev/shm has 0.1 MiB left and data.workers=2 needs" in answer.err


def test_training_sets_travel_to_processes_that_are_not_forked(base: Path, tmp_path: Path) -> None:
    config = AcdcDataConfig(task="lv", grid=GridConfig(crop=32), cache_dir=tmp_path / "cache")
    samples = load_acdc(config, base / "data", tmp_path / "tags.csv").training_set()
    one, other = samples[Draw(3, 7)], pickle.loads(pickle.dumps(samples))[Draw(3, 7)]
    torch.testing.assert_close(one.image, other.image, rtol=0, atol=0)


@pytest.fixture
def occupied(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder that another process writes into, and that process."""
    folder, ready = tmp_path / "run", tmp_path / "ready"
    child = os.fork()
    if child == 0:
        with sole_writer(folder):
            ready.touch()
            time.sleep(600)
        os._exit(0)
    while not ready.exists():
        time.sleep(0.01)
    yield folder, child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("command", ["train", "predict"])
def test_a_second_run_into_one_folder_is_refused_while_the_first_is_there(
    base: Path, tmp_path: Path, occupied: tuple[Path, int], command: str
) -> None:
    folder, child = occupied
    if command == "train":
        arguments = options(base)
    else:
        trained = medwsss(*options(base), "--out", tmp_path / "other")
        assert trained.code == 0, trained.err
        arguments = ("predict", tmp_path / "other", base / "data", "--device", "cpu")
    is_refused(medwsss(*arguments, "--out", folder), "another process is writing into", folder)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    os.kill(child, signal.SIGKILL)  # what the killed process held is free again
    time.sleep(0.2)
    answer = medwsss(*arguments, "--out", folder)
    assert answer.code == 0, answer.err


# --- In a namespace of its own (Linux) -------------------------------------------------------------------------------


def isolated(preparation: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line without network, after shell commands that may mount."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rmn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no namespaces for users")
    words = [sys.executable, "-m", "medwsss", *map(str, arguments)]
    return subprocess.run(
        [unshare, "-rmn", "sh", "-c", f'{preparation} && exec "$@"', "sh", *words],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_needs_no_network_and_writes_nothing_to_its_inputs(base: Path, tmp_path: Path) -> None:
    data = base / "data"
    answer = isolated(f"mount --bind -o ro '{data}' '{data}'", *options(base), "--out", tmp_path / "run")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "run" / "report" / "report.html").is_file()


@pytest.mark.slow
def test_without_a_network_pretrained_weights_are_named_with_their_place(base: Path, tmp_path: Path) -> None:
    answer = isolated(
        "true", "train", "--root", base / "data", "--set", "encoder.pretrained=true", "--set",
        "encoder.name=vit_tiny_patch16_224", "--set", "encoder.stem=linear", "--set", "encoder.arguments={}",
        "--out", tmp_path / "run", "--device", "cpu",
    )  # fmt: skip
    assert answer.returncode == 2
    assert "https://huggingface.co/timm/vit_tiny_patch16_224" in answer.stderr
    assert "SHA-256" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_little_shared_memory_is_told_and_does_without_loaders(base: Path, tmp_path: Path) -> None:
    answer = isolated(
        "mount -t tmpfs -o size=100k tmpfs /dev/shm", *options(base, workers=2), "--out", tmp_path / "run"
    )
    assert answer.returncode == 0, answer.stderr
    assert "warning: /dev/shm has 0.1 MiB left and data.workers=2 needs" in answer.stderr


@pytest.mark.slow
def test_loaders_may_be_spawned(base: Path, tmp_path: Path) -> None:
    program = "import multiprocessing as m; m.set_start_method('spawn'); from medwsss.cli.main import run; run()"
    words = [sys.executable, "-c", program, *map(str, options(base, workers=2)), "--out", str(tmp_path / "run")]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stderr
