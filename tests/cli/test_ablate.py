"""Two rows with two seeds through the real training code, on a tiny data set in ACDC's layout."""

import json
import os
import shutil
import signal
import statistics
from pathlib import Path
from unittest import mock

import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import Answer, medwsss, tiny_config_file

from medwsss.cli import train as training
from medwsss.cli.ablate import ablate, config_file, grid_file
from medwsss.cli.observer import RunObserver
from medwsss.errors import ConfigError, DatasetError, TrainingError

GRID = """
title: Two rows
columns: {Background: method.cam.background}
rows:
  - {name: low, set: [method.cam.background=0.1]}
  - {name: high, set: [method.cam.background=0.6]}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation")
    write_acdc(folder / "data", fake_patients(5))
    tiny_config_file(
        folder,
        method={"name": "cam", "cam": {"scales": [1.0]}},
        training={"iterations": 2, "batch_size": 2, "warmup_steps": 0, "checkpoint_every": 1, "picture_every": 9},
    )
    (folder / "grid.yaml").write_text(GRID)
    return folder


def run(base: Path, out: Path, *more: object, grid: Path | None = None, config: str = "tiny.yaml") -> Answer:
    return medwsss(
        "ablate", base / config, "--grid", grid or base / "grid.yaml", "--root", base / "data", "--out", out,
        "--seeds", "0,3", "--device", "cpu", *more,
    )  # fmt: skip


def summaries(out: Path, row: str) -> list[dict[str, dict[str, float]]]:
    files = [out / row / f"seed-{seed}" / "report" / "summary.json" for seed in (0, 3)]
    return [json.loads(file.read_text())["per_case"]["heart"] for file in files]


@pytest.fixture(scope="module")
def stopped_and_resumed(base: Path) -> tuple[Path, Answer, Answer, list[Path]]:
    """Stopped by Ctrl-C in the second run, after its first iteration, and started again."""
    out, original, steps = base / "out", RunObserver.on_step, []

    def pressed(*positional: object, **named: object) -> object:
        steps.append(None)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*positional, **named)

    with mock.patch.object(RunObserver, "on_step", pressed):
        stopped = run(base, out)
    trained: list[Path] = []
    train_and_report = training.train_and_report

    def noted(config: object, folder: object, **named: object) -> None:
        trained.append(folder.path)
        train_and_report(config, folder, **named)

    with mock.patch.object(training, "train_and_report", noted):
        resumed = run(base, out)
    return out, stopped, resumed, trained


def test_an_interrupted_ablation_has_the_table_of_what_is_done(
    stopped_and_resumed: tuple[Path, Answer, Answer, list[Path]],
) -> None:
    _, stopped, _, _ = stopped_and_resumed
    assert stopped.code == 130
    assert "the same ablate command goes on" in stopped.err
    assert "[1/4] row 'low', seed 0: Dice [%]" in stopped.out
    assert "[2/4] row 'high', seed 0: Dice" not in stopped.out


def test_the_same_command_trains_only_what_is_missing(
    stopped_and_resumed: tuple[Path, Answer, Answer, list[Path]],
) -> None:
    out, _, resumed, trained = stopped_and_resumed
    assert resumed.code == 0, resumed.err
    assert "1 of 4 runs are done, 3 to train" in resumed.out
    assert [path.relative_to(out).as_posix() for path in trained] == ["high/seed-0", "low/seed-3", "high/seed-3"]
    steps = (out / "high" / "seed-0" / "metrics.csv").read_text()
    assert steps.count(",total,") == 2  # each iteration once


def test_the_table_holds_mean_and_deviation_of_the_summaries(
    stopped_and_resumed: tuple[Path, Answer, Answer, list[Path]],
) -> None:
    out = stopped_and_resumed[0]
    rows = {row["name"]: row for row in json.loads((out / "table.json").read_text())["rows"]}
    assert list(rows) == ["low", "high"]
    assert [row["shown"] for row in rows.values()] == [{"Background": "0.1"}, {"Background": "0.6"}]
    for name, row in rows.items():
        for metric in ("dice", "confusion_ratio", "precision", "recall"):
            values = [summary[metric]["estimate"] for summary in summaries(out, name)]
            defined = [value for value in values if value is not None]
            found = row["scores"][metric]
            assert (found["n"], found["undefined"]) == (len(defined), 2 - len(defined))
            if len(defined) == 2:
                assert found["mean"] == pytest.approx(sum(defined) / 2)
                assert found["deviation"] == pytest.approx(statistics.stdev(defined))
    assert "A seed sets training.seed alone" in (out / "table.md").read_text()


def test_a_done_ablation_trains_nothing_and_its_table_can_be_made_again(
    base: Path, stopped_and_resumed: tuple[Path, Answer, Answer, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = stopped_and_resumed[0]
    monkeypatch.setattr(training, "train_and_report", None)
    before = (out / "table.json").read_text()
    (out / "table.json").unlink()
    ablate(table_only=out, seeds="0,1,2", vary="training", device="auto")
    assert (out / "table.json").read_text() == before
    again = run(base, out)
    assert again.code == 0, again.err
    assert "4 of 4 runs are done, 0 to train" in again.out


def test_changed_settings_are_refused_before_anything_is_trained(
    base: Path, stopped_and_resumed: tuple[Path, Answer, Answer, list[Path]]
) -> None:
    answer = run(base, stopped_and_resumed[0], "--set", "training.learning_rate=0.5")
    assert answer.code == 2
    assert "row 'low', seed 0" in answer.err
    assert "training.learning_rate=0.5" in answer.err
    varied = run(base, stopped_and_resumed[0], "--vary", "data")
    assert varied.code == 2
    assert "row 'low', seed 3" in varied.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "training.seed=1"), "give seeds with --seeds"),
        (("--seeds", "0,0"), "--seeds"),
        (("--vary", "dat"), "did you mean 'data'"),
        (("--grid", "hfpl-losses", "--method", "usag"), "did you mean 'usage'"),
        (("--grid", "unia-tabel-4"), "did you mean 'unia-table-4'"),
        (("--grid", "unia-table-4", "--method", "cam"), "sets switches of unia"),
        (("--vary", "data", "--set", "data.split.file=split.json"), "data.split.file fixes it"),
        (("--set", "data.tsk=lv"), "unknown setting 'data.tsk'"),
        (("--set", "addons.urn.enabled=true"), "row 'low': add-on urn needs"),
        (("--set", "addons.ils.enabled=true"), "did you mean 'isl'"),
        (("--grid", "none.yaml"), "cannot read configuration none.yaml"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(
    base: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    answer = run(base, tmp_path / "out", *more)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_key_in_a_grid_names_file_row_and_nearest_key(base: Path, tmp_path: Path) -> None:
    grid = tmp_path / "own.yaml"
    grid.write_text("title: t\nrows: [{name: a, set: [method.cam.backgroud=0.5]}]")
    answer = run(base, tmp_path / "out", grid=grid)
    assert answer.code == 2
    assert answer.err.startswith(f"error: grid {grid}: row 'a': unknown setting 'method.cam.backgroud'")
    assert "did you mean 'background'" in answer.err


def test_a_row_that_diverges_is_named_and_the_others_go_on(
    base: Path,
    tmp_path: Path,
    stopped_and_resumed: tuple[Path, Answer, Answer, list[Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def diverging(config: object, folder: object, **named: object) -> None:
        if "low" in folder.path.parts:
            raise TrainingError("the weights are not finite after step 1")
        shutil.copytree(stopped_and_resumed[0] / "high" / "seed-0", folder.path)

    monkeypatch.setattr(training, "train_and_report", diverging)
    answer = run(base, tmp_path / "out", "--seeds", "0")
    assert answer.code == 2
    assert "error: row 'low', seed 0: the weights are not finite" in answer.err
    assert "row 'high', seed 0: Dice" in answer.out
    assert "| low | 0.1 | – |" in (tmp_path / "out" / "table.md").read_text()


def test_any_other_error_stops_the_ablation_and_names_the_row(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train_and_report", mock.Mock(side_effect=DatasetError("no patients")))
    answer = run(base, tmp_path / "out")
    assert (answer.code, answer.err) == (2, "error: row 'low', seed 0: no patients\n")


def test_shipped_files_are_found_by_name() -> None:
    assert grid_file("unia-table-4").name == "unia-table-4.yaml"
    assert config_file(None, None) is None
    assert config_file("cam-cpu", "acdc") == grid_file("unia-table-4").parents[1] / "acdc" / "cam-cpu.yaml"
    with pytest.raises(ConfigError, match="shipped: "):
        config_file("cpu", "acdc")


def test_an_ablation_needs_grid_and_folder_and_table_only_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs --grid"):
        ablate(seeds="0", vary="training", device="auto")
    with pytest.raises(ConfigError, match="--grid cannot be used with --table-only"):
        ablate(table_only=tmp_path, grid="g", seeds="0", vary="training", device="auto")
