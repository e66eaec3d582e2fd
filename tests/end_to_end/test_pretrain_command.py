"""From images alone to an encoder that ``medwsss train --weights`` starts with, through the real command line."""

import json
import shutil
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
import torch
import yaml
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import Answer, medwsss, tiny_config_file
from fakes.networks import TINY_ENCODER, TINY_ENCODER_CONFIG
from fakes.voc import write_voc
from safetensors.torch import load_file

from medwsss.cli.observer import PretrainingObserver
from medwsss.data.acdc import reference_masks
from medwsss.models.encoder import VitEncoder

SETTINGS = {
    "encoder": TINY_ENCODER,
    "data": {"grid": {"crop": 32}},
    "training": {"iterations": 6, "batch_size": 2, "warmup_steps": 0, "learning_rate": 1e-3, "picture_every": 3},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients without any mask."""
    folder = tmp_path_factory.mktemp("pretraining")
    for path in reference_masks(write_acdc(folder / "bare", fake_patients(5))).values():
        path.unlink()
    write_acdc(folder / "data", fake_patients(5))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(SETTINGS))
    return folder


def pretrain(base: Path, out: Path, *arguments: object) -> Answer:
    settings = ("--root", base / "bare", "--config", base / "tiny.yaml", "--out", out, "--device", "cpu")
    return medwsss("pretrain", *settings, *arguments)


@pytest.fixture(scope="module")
def pretrained(base: Path) -> Path:
    answer = pretrain(base, base / "run")
    assert answer.code == 0, answer.err
    assert "no labels, tags or masks are read" in answer.out
    assert f"--weights {base / 'run' / 'weights.safetensors'}" in answer.out
    return base / "run"


def test_a_run_says_what_it_was_made_of(pretrained: Path) -> None:
    split = json.loads((pretrained / "split.json").read_text())
    record = json.loads((pretrained / "pretraining.json").read_text())
    assert record["learned from"] == "32 slices of 8 frames, of 4 training patients; the 1 held out are not seen"
    assert split["hash"] in record["split"]
    assert record["labels, tags, masks"] == "none"
    assert {"torch", "commit"} <= set(json.loads((pretrained / "versions.json").read_text()))
    assert yaml.safe_load((pretrained / "config.yaml").read_text())["pretraining"]["mask_ratio"] == 0.6
    metrics = pd.read_csv(pretrained / "metrics.csv")
    assert metrics[metrics.name == "reconstruction"].step.tolist() == [1, 2, 3, 4, 5, 6]
    pictures = [path.name for path in sorted((pretrained / "pictures").iterdir())]
    assert pictures == ["step-000003.png", "step-000006.png"]


def test_the_file_is_the_encoder_of_the_last_checkpoint(pretrained: Path) -> None:
    checkpoint = load_file(pretrained / "checkpoints" / "last.safetensors")
    weights = load_file(pretrained / "weights.safetensors")
    assert set(weights) == set(VitEncoder(TINY_ENCODER_CONFIG, image_size=32).vit.state_dict())
    for name, tensor in weights.items():
        assert torch.equal(tensor, checkpoint[f"method.encoder.vit.{name}"])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(base: Path, pretrained: Path) -> None:
    for seed, same in ((0, True), (1, False)):
        run = base / f"again-{seed}"
        assert pretrain(base, run, "--set", f"training.seed={seed}").code == 0
        before, after = (load_file(folder / "weights.safetensors") for folder in (pretrained, run))
        assert all(torch.equal(before[name], after[name]) for name in before) == same


def test_an_interrupted_run_goes_on_to_the_weights_of_an_uninterrupted_one(
    base: Path, pretrained: Path, tmp_path: Path
) -> None:
    original = PretrainingObserver.on_step

    def interrupted(self: PretrainingObserver, record: object) -> None:
        original(self, record)  # type: ignore[arg-type]
        if record.step == 4:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with mock.patch.object(PretrainingObserver, "on_step", interrupted):
        stopped = pretrain(base, tmp_path / "run", "--set", "training.checkpoint_every=2")
    assert stopped.code == 130
    assert f"medwsss pretrain --resume {tmp_path / 'run'}" in stopped.err
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    resumed = medwsss("pretrain", "--resume", tmp_path / "run", "--device", "cpu")
    assert resumed.code == 0, resumed.err
    before, after = (load_file(run / "weights.safetensors") for run in (pretrained, tmp_path / "run"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_training_starts_with_the_weights_and_its_report_says_where_they_are_from(
    base: Path, pretrained: Path, tmp_path: Path
) -> None:
    config = tiny_config_file(tmp_path, data={"grid": {"crop": 64}})  # position embeddings are resampled
    answer = medwsss(
        "train", "--root", base / "data", "--config", config, "--weights", pretrained / "weights.safetensors",
        "--out", tmp_path / "run", "--device", "cpu",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    assert "made by medwsss pretrain (masked image modelling, 6 iterations on 32 slices" in report
    assert "the 1 held out are not seen" in report


def test_photographs_are_learned_from_the_same_way(base: Path, tmp_path: Path) -> None:
    voc = write_voc(tmp_path / "voc")
    config = tmp_path / "voc.yaml"
    config.write_text(yaml.safe_dump(SETTINGS | {"data": {"name": "voc", "crop": 32}}))
    answer = medwsss("pretrain", "--root", voc, "--config", config, "--out", tmp_path / "run", "--device", "cpu")
    assert answer.code == 0, answer.err
    assert (tmp_path / "run" / "weights.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--set", "encoder={name: resnet18, pretrained: false}"), "encoder resnet18 is none"),
        (("--set", "pretraining.mask_ratio=1.5"), "pretraining.mask_ratio"),
        (("--set", "pretraining.maskratio=0.5"), "did you mean 'mask_ratio'?"),
        (("--set", "encoder.weights=nothing.safetensors"), "no weights file at"),
        (("--set", "data.grid.crop=4"), "less than one patch"),
        (("--dataset", "vok"), "did you mean 'voc'?"),
        (("--root", "nowhere"), "is not a folder"),
    ],
)
def test_bad_requests_are_refused_in_one_line_and_leave_nothing(
    base: Path, tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    answer = pretrain(base, tmp_path / "run", *arguments)
    assert answer.code == 2
    assert part in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_photographs_without_a_shipped_configuration_are_told_so(base: Path, tmp_path: Path) -> None:
    answer = medwsss("pretrain", "--dataset", "coco", "--root", base, "--out", tmp_path / "run")
    assert answer.code == 2
    assert "no configuration 'pretrain" in answer.err


def test_runs_of_another_kind_are_refused_both_ways(base: Path, pretrained: Path, tmp_path: Path) -> None:
    config = tiny_config_file(tmp_path)
    trained = tmp_path / "trained"
    answer = medwsss("train", "--root", base / "data", "--config", config, "--out", trained, "--device", "cpu")
    assert answer.code == 0, answer.err
    assert "continue it with train --resume" in medwsss("pretrain", "--resume", trained).err
    assert "which segments nothing" in medwsss("predict", pretrained, base / "data", "--out", tmp_path / "out").err
    assert "which segments nothing" in medwsss("train", "--resume", pretrained).err


def test_a_taken_folder_is_refused_and_going_on_takes_no_other_settings(base: Path, pretrained: Path) -> None:
    assert "already holds something" in pretrain(base, pretrained).err
    answer = medwsss("pretrain", "--resume", pretrained, "--set", "training.iterations=9")
    assert answer.code == 2
    assert "leave the other options out" in answer.err


def test_a_changed_configuration_is_refused(base: Path, pretrained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(pretrained, tmp_path / "run"))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["data"]["split"]["seed"] = 5
    (run / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    answer = medwsss("pretrain", "--resume", run)
    assert answer.code == 2
    assert "another configuration" in answer.err
