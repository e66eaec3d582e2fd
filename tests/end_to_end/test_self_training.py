"""Method seeds, rounds of self-training and ensembles through the real command line."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.cine import write_beating_acdc
from fakes.command_line import Answer, medwsss, tiny_config_file

from medwsss.data.acdc import find_studies
from medwsss.data.pseudo_folder import read_pseudo_record
from medwsss.data.splits import read_split
from medwsss.volumes.io import load_label_volume, load_volume

SETTINGS = {
    "method": {"name": "seeds", "unet": {"channels": [4, 6, 8], "residual_units": 0}},
    "data": {"grid": {"crop": 64}, "task": "multi", "split": {"held_out_fraction": 0.2}},
    "self_training": {"folds": 2},
    "training": {"iterations": 3, "batch_size": 2, "learning_rate": 1e-2},
    "inference": {"flip": False, "rotations": [0, 15], "largest_components": True},
}


@pytest.fixture(scope="module")
def acdc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_beating_acdc(tmp_path_factory.mktemp("rounds") / "acdc")


def train(acdc: Path, folder: Path, out: Path, *options: object, **sections: object) -> Answer:
    config = tiny_config_file(folder, **{**SETTINGS, **sections})
    return medwsss("train", "--root", acdc, "--config", config, "--out", out, "--device", "cpu", *options)


@pytest.fixture(scope="module")
def run(acdc: Path) -> Path:
    out = acdc.parent / "run"
    answer = train(acdc, acdc.parent, out, "--rounds", 1)
    assert answer.code == 0, answer.err
    assert "round 1: Dice with the labels before" in answer.out
    assert "patient005 gets no cine seeds" in answer.err or "patient005" in read_split(out / "split.json").held_out
    return out


def test_the_network_learns_from_what_the_last_round_has_made(run: Path) -> None:
    report = (run / "report" / "report.md").read_text()
    assert "cine seeds" in report
    assert "after 1 round of self-training" in report
    assert (run / "report" / "per_case.csv").is_file()


def test_every_training_patient_is_labelled_by_a_network_that_never_saw_them(run: Path) -> None:
    own = read_split(run / "split.json")
    record = read_pseudo_record(run / "round-1" / "labels" / "pseudo.json")
    assert {name.split("_")[0] for name in record.names} == set(own.train)
    assert record.split_hash == own.hash
    left_out = []
    for fold in (1, 2):
        split = read_split(run / "round-1" / f"fold-{fold}" / "split.json")
        assert not set(split.train) & set(split.held_out)
        assert {*split.train, *split.held_out} == set(own.train)
        left_out += split.held_out
    assert sorted(left_out) == sorted(own.train)


def test_labels_of_a_round_keep_to_the_tags_and_say_where_they_come_from(run: Path) -> None:
    tags: dict[tuple[str, str], list[list[str]]] = {}
    with (run / "tags.csv").open(newline="") as rows:
        for row in csv.DictReader(rows):
            tags.setdefault((row["patient"], row["phase"]), []).append([row[name] for name in ("RV", "MYO", "LV")])
    record = read_pseudo_record(run / "round-1" / "labels" / "pseudo.json")
    first = record.names[0]
    volume = load_volume(run / "round-1" / "labels" / "labels" / f"{first}.nii.gz")
    labels, weights = volume.array, load_volume(run / "round-1" / "labels" / "weights" / f"{first}.nii.gz").array
    assert labels.shape == weights.shape
    assert 0 <= weights.min() <= weights.max() <= 1
    shown = tags[first.split("_")[0], "ED"]
    for index, present in enumerate(shown):
        for label, tag in enumerate(present, start=1):
            assert tag == "1" or not (labels[..., index] == label).any()


@pytest.mark.slow
def test_an_interrupted_round_goes_on_and_ends_alike(acdc: Path, run: Path, tmp_path: Path) -> None:
    """The second fold, the labels it made, and all that follows are lost; the first fold is not trained again."""
    again = tmp_path / "run"
    shutil.copytree(run, again)
    lost = read_split(again / "round-1" / "fold-2" / "split.json").held_out
    for path in ("checkpoints", "report", "predictions", "metrics.csv", "validation.csv", "round-1/fold-2"):
        shutil.rmtree(again / path) if (again / path).is_dir() else (again / path).unlink(missing_ok=True)
    (again / "round-1" / "labels" / "pseudo.json").rename(again / "round-1" / "labels" / "started.json")
    for patient in lost:
        for file in (again / "round-1" / "labels" / "labels").glob(f"{patient}_*"):
            file.unlink()
    kept = (again / "round-1" / "fold-1" / "checkpoints" / "last.safetensors").stat().st_mtime_ns
    answer = medwsss("train", "--resume", again, "--device", "cpu")
    assert answer.code == 0, answer.err
    assert (again / "round-1" / "fold-1" / "checkpoints" / "last.safetensors").stat().st_mtime_ns == kept
    for file in sorted((run / "predictions").glob("*.nii.gz")):
        np.testing.assert_array_equal(
            load_label_volume(again / "predictions" / file.name).array, load_label_volume(file).array
        )


def test_a_fold_is_not_resumed_as_a_run_of_its_own(run: Path, tmp_path: Path) -> None:
    """With the whole split it would learn from the very patients that it is to label."""
    again = tmp_path / "run"
    shutil.copytree(run, again)
    refused = medwsss("train", "--resume", again / "round-1" / "fold-1", "--device", "cpu")
    assert refused.code == 2
    assert "made with another split" in refused.err


def test_a_round_made_with_other_settings_is_refused(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "run"
    shutil.copytree(run, again)
    shutil.rmtree(again / "checkpoints")
    settings = (again / "config.yaml").read_text()
    (again / "config.yaml").write_text(settings.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    refused = medwsss("train", "--resume", again, "--device", "cpu")
    assert refused.code == 2
    assert "was made with other settings" in refused.err


def test_a_round_says_what_it_was_worth_and_who_has_no_seeds(run: Path) -> None:
    verdict = json.loads((run / "round-1" / "verdict.json").read_text())
    assert 0 <= verdict["agreement"] <= 1
    record = read_pseudo_record(run / "round-1" / "labels" / "pseudo.json")
    seeds = read_pseudo_record(run / "seeds" / "pseudo.json")
    assert set(record.provenance["without seeds"]) == set(seeds.left_out)
    assert set(json.loads((run / "cine.json").read_text())["left_out"]) == set(seeds.left_out)


def test_given_seeds_that_are_incomplete_leave_no_folder_behind(acdc: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "seeds", tmp_path / "seeds")
    next((tmp_path / "seeds" / "labels").iterdir()).unlink()
    answer = train(acdc, tmp_path, tmp_path / "run", "--rounds", 1, "--set", f"method.seeds={tmp_path / 'seeds'}")
    assert answer.code == 2
    assert "is incomplete: 1 files are missing" in answer.err
    assert not (tmp_path / "run").exists()


def test_without_rounds_the_seeds_alone_teach(acdc: Path, tmp_path: Path) -> None:
    answer = train(acdc, tmp_path, tmp_path / "plain")
    assert answer.code == 0, answer.err
    assert (tmp_path / "plain" / "seeds" / "pseudo.json").is_file()
    assert not (tmp_path / "plain" / "round-1").exists()


@pytest.mark.slow
def test_unia_with_cine_repairs_its_seeds_by_its_own_networks(acdc: Path, tmp_path: Path) -> None:
    unia = {
        "method": {"name": "unia", "cam": {"scales": [1.0]}, "decoder": {"channels": 8, "dilation": 1},
                   "schedule": {"segmentation_from": 0}},
        "data": {"grid": {"crop": 32}, "task": "multi", "split": {"held_out_fraction": 0.2}},
    }  # fmt: skip
    answer = train(acdc, tmp_path, tmp_path / "unia", "--with", "cine", "--rounds", 1, **unia)
    assert answer.code == 0, answer.err
    assert (tmp_path / "unia" / "round-1" / "labels" / "pseudo.json").is_file()


def test_two_runs_predict_as_one(acdc: Path, run: Path, tmp_path: Path) -> None:
    fold = run / "round-1" / "fold-1"
    patient = find_studies(acdc)[0].frames["ED"].path
    for name, options in {"alone": (), "same": ("--also", run), "both": ("--also", fold)}.items():
        answer = medwsss(
            "predict", run, patient, "--out", tmp_path / name, "--save", "probabilities", "--device", "cpu", *options
        )
        assert answer.code == 0, answer.err

    def probability(name: str) -> np.ndarray:
        return load_volume(next((tmp_path / name / "probabilities").glob("*_LV.nii.gz"))).array

    np.testing.assert_allclose(probability("same"), probability("alone"), atol=1e-6)
    assert np.abs(probability("both") - probability("alone")).max() > 1e-4
    record = json.loads((tmp_path / "both" / "prediction.json").read_text())
    assert record["also"] == [str(fold)]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--method", "cam", "--rounds", 1), "repairs cine seeds"),
        (("--with", "cine"), "leave add-on cine out"),
        (("--rounds", -1), "self_training.rounds"),
        (("--set", "self_training.folds=1"), "self_training.folds"),
        (("--rounds", 1, "--set", "self_training.folds=9"), "cannot be cut into 9 folds"),
    ],
)
def test_bad_requests_are_refused_in_one_line(
    acdc: Path, tmp_path: Path, options: tuple[object, ...], part: str
) -> None:
    answer = train(acdc, tmp_path, tmp_path / "run", *options)
    assert answer.code == 2
    assert part in answer.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("was", "becomes", "part"),
    [
        ("task: multi", "task: heart", "was not trained for task multi"),
        ("spacing_mm: 1.5", "spacing_mm: 2.0", "on another grid"),
    ],
)
def test_a_run_of_another_kind_cannot_be_averaged_with(
    acdc: Path, run: Path, tmp_path: Path, was: str, becomes: str, part: str
) -> None:
    (tmp_path / "other").mkdir()
    settings = (run / "config.yaml").read_text()
    assert was in settings
    (tmp_path / "other" / "config.yaml").write_text(settings.replace(was, becomes))
    patient = find_studies(acdc)[0].frames["ED"].path
    refused = medwsss("predict", run, patient, "--out", tmp_path / "x", "--also", tmp_path / "other", "--device", "cpu")
    assert refused.code == 2
    assert part in refused.err
    assert not (tmp_path / "x").exists()
