"""A loss that is not finite stops the run, and what is kept of the step gives the same loss again."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import Answer, is_refused, medwsss, tiny_config_file
from fakes.disks import full_disk

from medwsss.engine.divergence import repeat_step
from medwsss.engine.run_folder import RunFolder
from medwsss.errors import CheckpointError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diverging")
    write_acdc(folder / "data", fake_patients(5))
    return folder


def trained(base: Path, out: Path, *, method: Mapping[str, float] | None = None, rate: float = 1e-3) -> Answer:
    config = tiny_config_file(
        base,
        data={"grid": {"crop": 32}},
        method={"name": "unia", **(method or {})},
        training={"iterations": 6, "batch_size": 2, "warmup_steps": 0, "learning_rate": rate},
    )
    return medwsss("train", "--root", base / "data", "--config", config, "--out", out, "--device", "cpu")


def test_a_loss_that_overflows_names_step_term_and_slices_and_can_be_repeated(base: Path, tmp_path: Path) -> None:
    answer = trained(base, tmp_path / "run", method={"auxiliary_weight": 1e39})
    kept = RunFolder(tmp_path / "run").diverged
    is_refused(answer, "loss 'total' is inf at step 0 on patient", "slice", "lower training.learning_rate", kept)
    record = json.loads((kept / "step.json").read_text())
    assert len(record["slices"]) == len(record["files"]) == 2
    assert all(Path(file).is_file() for file in record["files"])
    assert not math.isfinite(repeat_step(tmp_path / "run", kept)["total"])


def test_what_a_part_refuses_is_traced_to_the_first_layer_that_is_not_finite(base: Path, tmp_path: Path) -> None:
    answer = trained(base, tmp_path / "run", rate=1e18)
    kept = RunFolder(tmp_path / "run").diverged
    is_refused(answer, "the output of encoder.vit.", "is not finite at step ", " on patient", kept)
    with pytest.raises(ValueError, match="NaN"):
        repeat_step(tmp_path / "run", kept)


def test_weights_that_are_not_finite_are_not_kept(base: Path, tmp_path: Path) -> None:
    answer = trained(base, tmp_path / "run", rate=float("inf"))
    kept = RunFolder(tmp_path / "run").diverged
    is_refused(answer, "not finite", "step 1", kept)
    assert {path.name for path in kept.iterdir()} == {"batch.safetensors", "step.json"}
    with pytest.raises(CheckpointError, match="no checkpoint"):
        repeat_step(tmp_path / "run", kept)


def test_a_disk_without_room_for_the_batch_is_one_line_that_still_names_the_loss(base: Path, tmp_path: Path) -> None:
    with full_disk(at_bytes=20_000):
        answer = trained(base, tmp_path / "run", method={"auxiliary_weight": 1e39})
    is_refused(answer, "cannot write", "batch.safetensors", "loss 'total' is inf at step 0")


def test_a_run_that_stopped_so_stays_and_is_not_trained_into_again(base: Path, tmp_path: Path) -> None:
    for _ in range(2):
        answer = trained(base, tmp_path / "run", rate=float("inf"))
    is_refused(answer, "already holds something")
