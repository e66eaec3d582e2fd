"""A folder of somebody's own studies through the real command line, from tags of whole studies to a report."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from fakes.command_line import Answer, medwsss, tiny_config_file
from fakes.studies import (
    MASK_CODES,
    write_beating_studies,
    write_image,
    write_studies,
    write_table,
)
from safetensors.torch import load_file

from medwsss.cli.observer import RunObserver
from medwsss.volumes.io import load_label_volume, load_volume, save_volume

CAM = {"name": "cam", "cam": {"scales": [1.0, 0.5]}, "pixel_adaptive": {"dilations": [1, 2], "iterations": 2}}


def config_for(folder: Path, root: Path, **sections: object) -> Path:
    """Settings that take seconds; bags of four slices, two to a batch."""
    own = {"data": {"name": "folder", "root": str(root), "grid": {"crop": 32}}}
    training = {"iterations": 4, "batch_size": 8, "warmup_steps": 0, "learning_rate": 1e-3}
    return tiny_config_file(folder, **{**own, "training": training, **sections})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Ordner für Studien")  # blanks and umlauts on purpose
    write_studies(folder / "data")
    return folder


@pytest.fixture(scope="module")
def trained(base: Path) -> tuple[Path, Answer]:
    answer = medwsss("train", "--config", config_for(base, base / "data"), "--out", base / "run", "--device", "cpu")
    assert answer.code == 0, answer.err
    return base / "run", answer


@pytest.fixture(scope="module")
def predicted(base: Path, trained: tuple[Path, Answer]) -> Path:
    answer = medwsss("predict", trained[0], base / "data", "--out", base / "predictions")
    assert answer.code == 0, answer.err
    return base / "predictions"


# --- Without any mask ------------------------------------------------------------------------------------------------


def test_a_run_keeps_the_classes_and_which_slices_were_tagged_together(trained: tuple[Path, Answer]) -> None:
    run, answer = trained
    data = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"]
    assert (data["name"], data["classes"]) == ("folder", ["scar", "effusion"])
    lines = (run / "tags.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "patient,phase,slice,bag,scar,effusion"
    assert lines[1] == "A1,,0,1,1,1"
    assert [line for line in lines if line.startswith("A4")] == [f"A4,,{index},,0,0" for index in range(4)]
    assert "6 patients in" in answer.out


def test_training_ends_with_predictions_and_a_report_without_reference(trained: tuple[Path, Answer]) -> None:
    run, answer = trained
    held_out = json.loads((run / "split.json").read_text())["held_out"]
    assert {path.name for path in (run / "predictions").glob("*.nii.gz")} == {f"{name}.nii.gz" for name in held_out}
    assert "no masks of held-out patients: the report says what was segmented, not how well" in answer.out
    report = (run / "report" / "report.md").read_text(encoding="utf-8")
    assert "No reference was compared" in report
    assert "scar" in report
    assert (run / "checkpoints" / "best.safetensors").is_file()  # chosen by tags


def test_predictions_of_the_folder_are_named_by_patient_on_the_grid_of_the_images(base: Path, predicted: Path) -> None:
    names = {path.name for path in predicted.glob("*.nii.gz")}
    assert names == {f"A{number}.nii.gz" for number in range(1, 7)}
    labels, image = load_label_volume(predicted / "A3.nii.gz"), load_volume(base / "data" / "A3" / "cmr.nii.gz")
    assert labels.array.shape == image.array.shape
    np.testing.assert_allclose(labels.affine, image.affine, atol=1e-5)
    assert set(np.unique(labels.array)) <= {0, 1, 2}
    record = json.loads((predicted / "prediction.json").read_text())
    assert (record["task"], record["classes"], record["tags"]) == ("own", ["scar", "effusion"], "none")


@pytest.mark.parametrize("with_images", [True, False])
def test_a_report_needs_no_mask_and_knows_the_classes(
    base: Path, predicted: Path, tmp_path: Path, with_images: bool
) -> None:
    images = ("--images", base / "data") if with_images else ()
    answer = medwsss("report", predicted, *images, "--out", tmp_path / "report")
    assert answer.code == 0, answer.err
    assert not answer.err
    assert "6 volumes of 6 patients; nothing was compared with a reference" in answer.out
    volumes = pd.read_csv(tmp_path / "report" / "volumes.csv")
    assert set(volumes["class"]) == {"scar", "effusion"}


def test_a_table_without_classes_is_enough_for_prediction(trained: tuple[Path, Answer], tmp_path: Path) -> None:
    write_image(tmp_path / "new" / "x.nii.gz", 9)
    write_image(tmp_path / "new" / "cine.nii.gz", 8, times=4)
    write_table(
        tmp_path / "new" / "studies.csv",
        [{"patient": "N1", "file": "x.nii.gz"}, {"patient": "N2", "file": "cine.nii.gz", "ed": 1, "es": 2}],
    )
    answer = medwsss("predict", trained[0], tmp_path / "new", "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {
        "N1.nii.gz", "N2_frame01.nii.gz", "N2_frame02.nii.gz"
    }  # fmt: skip
    answer = medwsss("predict", trained[0], tmp_path / "new", "--out", tmp_path / "all", "--frames", "all")
    assert answer.code == 0, answer.err
    assert load_label_volume(tmp_path / "all" / "N2_4d.nii.gz").array.shape == (40, 36, 4, 4)


@pytest.mark.parametrize("kind", ["slices", "studies"])
def test_a_table_gates_prediction(base: Path, trained: tuple[Path, Answer], tmp_path: Path, kind: str) -> None:
    table = trained[0] / "tags.csv" if kind == "slices" else base / "data" / "studies.csv"
    answer = medwsss("predict", trained[0], base / "data", "--tags", table, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert load_label_volume(tmp_path / "out" / "A4.nii.gz").array.max() == 0  # tagged with nothing
    assert set(np.unique(load_label_volume(tmp_path / "out" / "A2.nii.gz").array)) <= {0, 1}  # scar alone


@pytest.mark.slow
@pytest.mark.parametrize("method", ["unia", "cam"])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    training = {"iterations": 4, "batch_size": 8, "checkpoint_every": 2, "warmup_steps": 0}
    sections = {"training": training, **({"method": CAM} if method == "cam" else {})}
    config = config_for(tmp_path, base / "data", **sections)
    whole = medwsss("train", "--config", config, "--out", tmp_path / "whole")
    assert whole.code == 0, whole.err
    original, calls = RunObserver.on_step, []

    def pressed(*positional: object, **named: object) -> object:
        calls.append(None)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*positional, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(RunObserver, "on_step", pressed)
        assert medwsss("train", "--config", config, "--out", tmp_path / "resumed").code == 130
    monkeypatch.chdir(tmp_path)
    resumed = medwsss("train", "--resume", "resumed")
    assert resumed.code == 0, resumed.err
    first, again = (load_file(tmp_path / run / "checkpoints" / "last.safetensors") for run in ("whole", "resumed"))
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor.numpy(), again[name].numpy(), err_msg=name)
    for name in ("metrics.csv", "tags.csv", "split.json"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "resumed" / name).read_text()


# --- With masks of some ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Masks of five of six studies; those of training patients cannot be read."""
    folder = tmp_path_factory.mktemp("masked")
    root = write_studies(folder / "data", masks=("A1", "A2", "A3", "A5", "A6"))
    (folder / "split.json").write_text(json.dumps({"train": ["A1", "A2", "A4", "A6"], "held_out": ["A3", "A5"]}))
    for name in ("A1", "A2", "A6"):
        (root / name / "drawn.nii.gz").write_bytes(b"nobody opens this")
    return folder


@pytest.fixture(scope="module")
def scored(masked: Path) -> tuple[Path, Answer]:
    data = {
        "name": "folder", "root": str(masked / "data"), "grid": {"crop": 32}, "mask_codes": MASK_CODES,
        "split": {"file": str(masked / "split.json")},
    }  # fmt: skip
    answer = medwsss("train", "--config", config_for(masked, masked / "data", data=data), "--out", masked / "run")
    assert answer.code == 0, answer.err
    return masked / "run", answer


def test_masks_score_held_out_patients_and_those_of_training_patients_are_never_opened(
    masked: Path, scored: tuple[Path, Answer]
) -> None:
    per_case = pd.read_csv(scored[0] / "report" / "per_case.csv")
    assert set(per_case.patient) == {"A3", "A5"}
    assert set(per_case["class"]) == {"scar", "effusion"}
    mask = load_label_volume(masked / "data" / "A5" / "drawn.nii.gz")
    for code, name in ((1, "scar"), (3, "effusion")):  # the class of code 2 is background
        expected = (mask.array == code).sum() * 1.5 * 1.5 * 10 / 1000
        row = per_case[(per_case.patient == "A5") & (per_case["class"] == name)]
        assert row.reference_volume_ml.item() == pytest.approx(expected)
        assert expected > 0


def test_a_mask_with_codes_that_nobody_named_stops_the_run_before_it_starts(masked: Path, tmp_path: Path) -> None:
    data = {
        "name": "folder", "root": str(masked / "data"), "grid": {"crop": 32},
        "split": {"file": str(masked / "split.json")},
    }  # fmt: skip
    answer = medwsss("train", "--config", config_for(tmp_path, masked, data=data), "--out", tmp_path / "run")
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert "drawn.nii.gz: codes [3] are not among [0, 1, 2]" in answer.err
    assert not (tmp_path / "run").exists()


def test_evaluating_own_classes_reads_masks_as_told(masked: Path, scored: tuple[Path, Answer], tmp_path: Path) -> None:
    """A perfect prediction in labels 1 and 2 of masks in codes 1 and 3."""
    folder = tmp_path / "pred"
    shutil.copytree(scored[0] / "predictions", folder)
    mask = load_label_volume(masked / "data" / "A5" / "drawn.nii.gz")
    save_volume(mask.with_array(np.array([0, 1, 0, 2], np.uint8)[mask.array]), folder / "A5.nii.gz")
    (folder / "A3.nii.gz").unlink()
    arguments = ("evaluate", folder, masked / "data", "--out", tmp_path / "report")
    answer = medwsss(*arguments, "--truth-codes", MASK_CODES)
    assert answer.code == 0, answer.err
    per_case = pd.read_csv(tmp_path / "report" / "per_case.csv")
    assert per_case[["patient", "class", "dice"]].values.tolist() == [["A5", "scar", 1.0], ["A5", "effusion", 1.0]]
    refused = medwsss(*arguments)
    assert refused.code == 2
    assert "codes [3] are not among [0, 1, 2]" in refused.err
    assert len(refused.err.splitlines()) == 1


# --- medwsss init ----------------------------------------------------------------------------------------------------


def test_from_init_over_a_filled_table_to_a_trained_run(tmp_path: Path) -> None:
    for number in range(1, 5):
        write_image(tmp_path / "data" / f"{number}.nii.gz", number, codes=(1,) if number % 2 else ())
    answer = medwsss("init", tmp_path / "data", "--classes", "scar")
    assert answer.code == 0, answer.err
    table = tmp_path / "data" / "studies.csv"
    empty = medwsss("train", "--config", tmp_path / "data" / "medwsss.yaml", "--out", tmp_path / "run")
    assert empty.code == 2
    assert "line 2: scar is '', it must be 0 or 1" in empty.err
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    filled = [lines[0], *(f"{line}{number % 2}" for number, line in enumerate(lines[1:], start=1))]
    table.write_text("\r\n".join(filled).replace(",", ";"), encoding="utf-8-sig")  # as a spreadsheet saves it
    tiny = yaml.safe_load(tiny_config_file(tmp_path).read_text())
    settings = yaml.safe_load((tmp_path / "data" / "medwsss.yaml").read_text(encoding="utf-8"))
    small = {"encoder": tiny["encoder"], "method": CAM, "training": tiny["training"]}
    settings["data"]["grid"]["crop"] = 32
    (tmp_path / "data" / "medwsss.yaml").write_text(yaml.safe_dump({**settings, **small}))
    trained = medwsss("train", "--config", tmp_path / "data" / "medwsss.yaml", "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    assert (tmp_path / "run" / "report" / "report.html").is_file()


# --- Cine seeds ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def beating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_beating_studies(tmp_path_factory.mktemp("beating") / "data")


def heart_config(folder: Path, root: Path, **sections: object) -> Path:
    training = {"iterations": 2, "batch_size": 4, "warmup_steps": 0}
    return config_for(folder, root, training=training, **sections)


def test_cine_seeds_teach_beside_tags_of_whole_studies(beating: Path, tmp_path: Path) -> None:
    config = heart_config(tmp_path, beating)
    answer = medwsss("train", "--config", config, "--with", "cine", "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    seeds = load_label_volume(tmp_path / "run" / "seeds" / "labels" / next_case(tmp_path / "run"))
    assert {1, 2, 3} <= set(np.unique(seeds.array))


def next_case(run: Path) -> str:
    patient = json.loads((run / "split.json").read_text())["train"][0]
    return f"{patient}_ED.nii.gz"


@pytest.mark.slow
def test_method_seeds_learns_from_a_folder_and_repairs_its_labels_in_rounds(tmp_path: Path) -> None:
    """Of one patient a single slice is tagged, and two patients have phases of different size, ES first."""
    root = write_beating_studies(tmp_path / "data", uneven=(2, 3))
    table = pd.read_csv(root / "studies.csv", dtype=str)
    table["slice"] = ["1" if patient == "H1" else "0-3" for patient in table.patient]
    table.to_csv(root / "studies.csv", index=False)
    method = {"name": "seeds", "network": "unet", "unet": {"channels": [4, 8], "residual_units": 0}}
    config = heart_config(tmp_path, root, method=method, self_training={"rounds": 1, "folds": 2})
    answer = medwsss("train", "--config", config, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "are on no line of the table" in answer.err
    labels = tmp_path / "run" / "round-1" / "labels" / "labels"
    patients = json.loads((tmp_path / "run" / "split.json").read_text())["train"]
    assert {path.name for path in labels.glob("*")} == {
        f"{p}_{phase}.nii.gz" for p in patients for phase in ("ED", "ES")
    }


@pytest.mark.parametrize("arguments", [("--with", "cine"), ("--method", "seeds")])
def test_cine_seeds_of_no_heart_or_one_phase_are_refused(
    base: Path, beating: Path, tmp_path: Path, arguments: tuple[str, str]
) -> None:
    no_heart = medwsss(
        "train", "--config", heart_config(tmp_path, base / "data"), *arguments, "--out", tmp_path / "run"
    )
    assert no_heart.code == 2
    assert "cine seeds know RV, MYO, LV and heart" in no_heart.err
    assert "classes are scar, effusion: leave cine out" in no_heart.err
    root = Path(shutil.copytree(beating, tmp_path / "data"))
    lines = (root / "studies.csv").read_text().splitlines(keepends=True)
    (root / "studies.csv").write_text("".join(lines[:-1]))
    one_phase = medwsss("train", "--config", heart_config(tmp_path, root), *arguments, "--out", tmp_path / "run")
    assert one_phase.code == 2
    assert "cine seeds need ED and ES of every patient, 1 have other volumes (first H5)" in one_phase.err
    assert not (tmp_path / "run").exists()


# --- What else there is ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_pseudo_labels_of_studies_that_were_tagged_as_a_whole_train_a_second_stage(
    base: Path, trained: tuple[Path, Answer], tmp_path: Path
) -> None:
    answer = medwsss("pseudo-label", trained[0], "--out", tmp_path / "pseudo")
    assert answer.code == 0, answer.err
    names = json.loads((tmp_path / "pseudo" / "pseudo.json").read_text())["names"]
    assert sorted(names) == json.loads((trained[0] / "split.json").read_text())["train"]
    settings = yaml.safe_load(config_for(tmp_path, base / "data").read_text())
    settings["method"] = {"name": "retrain", "decoder": {"channels": 8, "dilation": 1}}
    (tmp_path / "retrain.yaml").write_text(yaml.safe_dump(settings))
    second = medwsss(
        "train", "--method", "retrain", "--config", tmp_path / "retrain.yaml", "--pseudo", tmp_path / "pseudo",
        "--out", tmp_path / "second",
    )  # fmt: skip
    assert second.code == 0, second.err
    exported = medwsss(
        "export", "nnunet", tmp_path / "pseudo", "--root", base / "data", "--out", tmp_path / "raw", "--folds", 2,
        "--tags", base / "data" / "studies.csv",
    )  # fmt: skip
    assert exported.code == 0, exported.err
    (dataset,) = (tmp_path / "raw").iterdir()
    labels = json.loads((dataset / "dataset.json").read_text())["labels"]
    assert labels == {"background": 0, "scar": 1, "effusion": 2, "ignore": 3}


def test_a_run_on_a_folder_becomes_a_bundle_with_its_classes_and_no_path(
    base: Path, trained: tuple[Path, Answer], tmp_path: Path
) -> None:
    answer = medwsss("export", "bundle", trained[0], "--out", tmp_path / "bundle")
    assert answer.code == 0, answer.err
    metadata = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    assert "scar" in json.dumps(metadata)
    files = [path for path in (tmp_path / "bundle").rglob("*") if path.suffix in (".json", ".yaml", ".md")]
    texts = [path.read_text(encoding="utf-8") for path in files]
    assert not any(base.name in text or "studies.csv" in text for text in texts)


@pytest.mark.slow
def test_an_ablation_on_a_folder_compares_rows_by_its_masks(masked: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text("title: Two\nrows:\n- {name: one, set: []}\n- {name: two, set: [training.head_factor=2.0]}\n")
    data = {
        "name": "folder", "root": str(masked / "data"), "grid": {"crop": 32}, "mask_codes": MASK_CODES,
        "split": {"file": str(masked / "split.json")},
    }  # fmt: skip
    config = config_for(tmp_path, masked / "data", data=data, method=CAM)
    answer = medwsss("ablate", config, "--method", "cam", "--grid", grid, "--seeds", "0", "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert "Table: " in answer.out
    varied = medwsss("ablate", config, "--grid", grid, "--vary", "data", "--out", tmp_path / "varied")
    assert varied.code == 2
    assert len(varied.err.splitlines()) == 1


@pytest.mark.slow
def test_pretraining_reads_the_images_of_a_folder_without_a_look_at_its_tags(base: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load(config_for(tmp_path, base / "data").read_text())
    own = {"data": settings["data"], "encoder": settings["encoder"], "training": settings["training"]}
    own["data"].pop("tags")
    (tmp_path / "pretrain.yaml").write_text(yaml.safe_dump(own))
    answer = medwsss("pretrain", "--config", tmp_path / "pretrain.yaml", "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "6 patients in" in answer.out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("check", "DATA", "--dataset", "folder"), "check knows ACDC and photographs"),
        (("check", "DATA"), "no patientNNN folder in"),
        (("tags", "DATA", "--dataset", "folder", "--out", "OUT"), "has its table of tags already"),
        (("tags", "DATA", "--out", "OUT"), "no patientNNN folder in"),
        (("seeds", "DATA", "--out", "OUT"), "no patientNNN folder in"),
        (("seeds", "DATA", "--out", "OUT", "--set", "data.name=folder"), "medwsss seeds knows ACDC"),
        (("train", "--dataset", "folder", "--task", "lv", "--out", "OUT"), "unknown setting 'data.task'"),
        (("train", "--dataset", "folder", "--out", "OUT"), "needs your folder of studies: pass --root"),
        (("evaluate", "DATA", "DATA", "--out", "OUT"), "(a prediction: nothing, a reference: nothing)"),
        (("report", "DATA", "--out", "OUT"), "(a prediction: nothing, a reference: nothing)"),
    ],
)  # fmt: skip
def test_commands_that_know_nothing_of_own_studies_say_so_in_a_line(
    base: Path, tmp_path: Path, command: tuple[str, ...], message: str
) -> None:
    places = {"DATA": base / "data", "OUT": tmp_path / "out"}
    answer = medwsss(*(places.get(word, word) for word in command))
    assert answer.code == 2
    (line,) = answer.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "out").exists()
