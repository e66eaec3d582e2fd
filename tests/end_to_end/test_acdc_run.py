"""Train, predict, evaluate through the real command line on a tiny data set in ACDC's layout."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import Answer, medwsss, tiny_config_file
from safetensors.torch import load_file

from medwsss.cli.observer import RunObserver
from medwsss.data.acdc import reference_masks
from medwsss.methods.unia import UniA
from medwsss.reports.overlay_figure import MAPS_CAPTION
from medwsss.volumes.io import load_label_volume, load_volume


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acdc run")  # a space in the path on purpose
    write_acdc(folder / "data", fake_patients(5))
    return folder


@pytest.fixture(scope="module")
def trained(base: Path) -> tuple[Path, Answer]:
    config = tiny_config_file(base, data={"grid": {"crop": 32}, "task": "multi"})
    answer = medwsss("train", "--root", base / "data", "--config", config, "--out", base / "run", "--device", "cpu")
    assert answer.code == 0, answer.err
    return base / "run", answer


def test_a_run_holds_everything_needed_to_repeat_it(trained: tuple[Path, Answer]) -> None:
    run, _ = trained
    split = json.loads((run / "split.json").read_text())
    versions = json.loads((run / "versions.json").read_text())
    assert len(split["hash"]) == 16
    assert not set(split["train"]) & set(split["held_out"])
    assert {"torch", "monai", "timm", "commit", "python"} <= set(versions)
    assert (run / "config.yaml").is_file()
    assert (run / "tags.csv").read_text().startswith("patient,phase,slice,RV,MYO,LV")
    assert list((run / "tensorboard").iterdir())
    assert list((run / "pictures").glob("*.png"))
    assert (run / "checkpoints" / "last.safetensors").is_file()
    assert (run / "checkpoints" / "best.safetensors").is_file()
    time = json.loads((run / "training_time.json").read_text())
    assert time["iterations"] == 4
    assert time["seconds"] > 0


def test_the_report_of_a_run_shows_what_the_method_saw_and_keeps_maps_of_these_cases_alone(
    trained: tuple[Path, Answer],
) -> None:
    run, _ = trained
    assert MAPS_CAPTION in (run / "report" / "report.html").read_text(encoding="utf-8")
    pictures = len(list((run / "report").glob("overlay_*.png")))
    assert 1 <= pictures <= 3
    assert len(list((run / "predictions" / "uncertainty").iterdir())) == pictures
    assert len(list((run / "predictions" / "cams").iterdir())) == 3 * pictures  # RV, MYO, LV


def test_metrics_have_one_row_per_step_and_term(trained: tuple[Path, Answer]) -> None:
    metrics = pd.read_csv(trained[0] / "metrics.csv")
    assert metrics[metrics.name == "total"].step.tolist() == [1, 2, 3, 4]
    assert {"classification", "auxiliary", "distribution", "segmentation", "learning_rate"} <= set(metrics.name)


def test_the_report_compares_held_out_patients_with_baselines(trained: tuple[Path, Answer]) -> None:
    run, answer = trained
    held_out = json.loads((run / "split.json").read_text())["held_out"]
    per_case = pd.read_csv(run / "report" / "per_case.csv")
    assert set(per_case.patient) == set(held_out)
    assert len(per_case) == len(held_out) * 2 * 3  # phases × classes
    summary = json.loads((run / "report" / "summary.json").read_text())
    assert summary["baselines"]
    assert "report.html" in answer.out


def test_predictions_have_the_grid_of_the_input_and_the_codes_of_the_task(
    trained: tuple[Path, Answer], base: Path, tmp_path: Path
) -> None:
    source = base / "data" / "training" / "patient001"
    answer = medwsss(
        "predict", trained[0], base / "data", "--out", tmp_path / "out",
        "--save", "probabilities", "--save", "cams", "--save", "uncertainty",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    image = load_volume(source / "patient001_frame01.nii.gz")
    labels = load_label_volume(tmp_path / "out" / "patient001_frame01.nii.gz")
    assert labels.array.shape == image.array.shape
    np.testing.assert_allclose(labels.affine, image.affine, atol=1e-5)
    assert labels.units == image.units
    assert set(np.unique(labels.array)) <= {0, 1, 2, 3}
    probs = [
        load_volume(tmp_path / "out" / "probabilities" / f"patient001_frame01_{name}.nii.gz").array
        for name in ("background", "RV", "MYO", "LV")
    ]
    np.testing.assert_allclose(np.sum(probs, axis=0), 1.0, atol=1e-4)
    np.testing.assert_array_equal(np.argmax(probs, axis=0), labels.array)
    for name in ("cams/patient001_frame01_LV", "uncertainty/patient001_frame01_uncertainty"):
        values = load_volume(tmp_path / "out" / f"{name}.nii.gz").array
        assert values.shape == image.array.shape
        assert 0 <= values.min() <= values.max() <= 1


def test_a_4d_file_is_segmented_frame_by_frame(trained: tuple[Path, Answer], base: Path, tmp_path: Path) -> None:
    cine = write_acdc(tmp_path / "cine", [patient.__class__(number=1, cine=True) for patient in fake_patients(1)])
    path = next(cine.rglob("*_4d.nii.gz"))
    assert medwsss("predict", trained[0], path, "--out", tmp_path / "out").code == 0
    labels = load_label_volume(tmp_path / "out" / "patient001_4d.nii.gz")
    assert labels.array.shape == load_volume(path).array.shape
    single = tmp_path / "patient001_frame01.nii.gz"
    shutil.copy(next(cine.rglob("patient001_frame01.nii.gz")), single)
    assert medwsss("predict", trained[0], single, "--out", tmp_path / "one").code == 0
    np.testing.assert_array_equal(labels.array[..., 0], load_label_volume(tmp_path / "one" / single.name).array)


def test_tags_at_test_time_gate_the_classes_and_the_record_says_so(
    trained: tuple[Path, Answer], base: Path, tmp_path: Path
) -> None:
    tags = tmp_path / "tags.csv"
    rows = (trained[0] / "tags.csv").read_text().splitlines()
    tags.write_text("\n".join([rows[0], *(",".join([*row.split(",")[:3], "0", "0", "0"]) for row in rows[1:])]))
    assert medwsss("predict", trained[0], base / "data", "--out", tmp_path / "out", "--tags", tags).code == 0
    for path in (tmp_path / "out").glob("*.nii.gz"):
        assert load_label_volume(path).array.max() == 0
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["tags"] == str(tags)


def test_evaluating_references_against_themselves_is_perfect(base: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    for name, path in reference_masks(base / "data").items():
        shutil.copy(path, tmp_path / "copies" / f"{name}.nii.gz")
    answer = medwsss("evaluate", tmp_path / "copies", base / "data", "--out", tmp_path / "report")
    assert answer.code == 0, answer.err
    per_case = pd.read_csv(tmp_path / "report" / "per_case.csv")
    assert set(per_case.dice) == {1.0}
    assert set(per_case.hd95_mm) == {0.0}
    np.testing.assert_allclose(per_case.volume_ml, per_case.reference_volume_ml)


def test_training_needs_no_mask_once_the_tags_are_written(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base / "data", tmp_path / "data")
    assert medwsss("tags", tmp_path / "data", "--out", tmp_path / "tags.csv").code == 0
    for path in reference_masks(tmp_path / "data").values():
        path.unlink()
    answer = medwsss(
        "train", "--root", tmp_path / "data", "--tags", tmp_path / "tags.csv",
        "--config", tiny_config_file(tmp_path), "--out", tmp_path / "run",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "the report says what was segmented, not how well" in answer.out
    assert "No reference was compared" in (tmp_path / "run" / "report" / "report.md").read_text(encoding="utf-8")
    assert list((tmp_path / "run" / "predictions").glob("*.nii.gz"))
    assert (tmp_path / "run" / "checkpoints" / "best.safetensors").is_file()


@pytest.mark.parametrize(("where", "stop"), [("on_step", signal.SIGTERM), ("seeds", signal.SIGINT)])
def test_a_run_stopped_by_a_signal_anywhere_ends_with_the_weights_of_a_whole_run(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, stop: signal.Signals
) -> None:
    """The convolutional stem has batch statistics, which half an iteration would leave behind."""
    config = tiny_config_file(
        tmp_path, encoder={"stem": "convolutional"}, training={"iterations": 4, "batch_size": 2, "checkpoint_every": 2}
    )
    arguments = ("train", "--root", base / "data", "--config", config, "--out")
    assert medwsss(*arguments, tmp_path / "whole").code == 0
    owner = {"on_step": RunObserver, "seeds": UniA}[where]
    original, calls = getattr(owner, where), []

    def pressed(*positional: object, **named: object) -> object:
        calls.append(None)
        if len(calls) == 3:
            os.kill(os.getpid(), stop)
        return original(*positional, **named)

    with monkeypatch.context() as patched:
        patched.setattr(owner, where, pressed)
        stopped = medwsss(*arguments, tmp_path / "resumed")
    assert stopped.code == 130
    assert "--resume" in stopped.err
    time = tmp_path / "resumed" / "training_time.json"
    time.write_text(json.dumps({**json.loads(time.read_text()), "seconds": 3600.0}))
    resumed = medwsss("train", "--resume", tmp_path / "resumed")
    assert resumed.code == 0, resumed.err
    whole, again = (load_file(tmp_path / run / "checkpoints" / "last.safetensors") for run in ("whole", "resumed"))
    assert whole.keys() == again.keys()
    for name, tensor in whole.items():
        np.testing.assert_array_equal(tensor.numpy(), again[name].numpy(), err_msg=name)
    for name in ("metrics.csv", "validation.csv", "tags.csv"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "resumed" / name).read_text()
    assert 3600 < json.loads(time.read_text())["seconds"] < 3600 + 600  # both parts


def test_plain_cam_runs_from_end_to_end(base: Path, tmp_path: Path) -> None:
    config = tmp_path / "cam.yaml"
    settings = yaml.safe_load(tiny_config_file(tmp_path).read_text())
    settings["method"] = {"name": "cam", "cam": {"scales": [1.0, 0.5]}}
    config.write_text(yaml.safe_dump(settings))
    answer = medwsss("train", "--method", "cam", "--root", base / "data", "--config", config, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert (tmp_path / "run" / "report" / "report.html").is_file()
