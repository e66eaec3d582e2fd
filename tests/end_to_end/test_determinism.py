"""The same seed gives the same run to the last bit; another seed gives another."""

from pathlib import Path

import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import medwsss, tiny_config_file
from safetensors.torch import load_file

CLOCKS = ("tensorboard", "training_time.json")


def files(run: Path) -> dict[str, list[bytes]]:
    """The lines of all files but those of clocks, and but the one in which a report tells how long training took."""
    paths = {path.relative_to(run): path for path in sorted(run.rglob("*")) if path.is_file()}
    return {
        str(name): [line for line in path.read_bytes().split(b"\n") if b"raining time" not in line]
        for name, path in paths.items()
        if name.parts[0] not in CLOCKS
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twice")
    write_acdc(folder / "data", fake_patients(5))
    return folder


def trained(base: Path, *, seed: int) -> Path:
    """The run, which always lies at the same place while it is made."""
    config = tiny_config_file(
        base, data={"grid": {"crop": 32}, "task": "multi"}, training={"iterations": 4, "seed": seed}
    )
    out, kept = base / "run", base / f"kept-{len(list(base.iterdir()))}"
    answer = medwsss("train", "--root", base / "data", "--config", config, "--out", out, "--device", "cpu")
    assert answer.code == 0, answer.err
    return out.rename(kept)


@pytest.fixture(scope="module")
def first(base: Path) -> Path:
    return trained(base, seed=0)


def test_one_seed_gives_one_run_with_one_report(base: Path, first: Path) -> None:
    one, other = files(first), files(trained(base, seed=0))
    assert one.keys() == other.keys()
    assert {"checkpoints/last.safetensors", "report/report.html", "metrics.csv"} <= one.keys()
    assert [name for name, content in one.items() if other[name] != content] == []


def test_another_seed_gives_other_weights_on_the_same_split(base: Path, first: Path) -> None:
    second = trained(base, seed=1)
    one, other = (load_file(run / "checkpoints" / "last.safetensors") for run in (first, second))
    assert any((one[name] != other[name]).any() for name in one)
    assert (first / "split.json").read_text() == (second / "split.json").read_text()
