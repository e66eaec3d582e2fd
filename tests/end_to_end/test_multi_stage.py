"""Add-ons and the second stage through the real command line, on a tiny ACDC in the real layout."""

import csv
from pathlib import Path

import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import medwsss, tiny_config_file


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a configuration and a run of UniA with all add-ons."""
    folder = tmp_path_factory.mktemp("stages")
    write_acdc(folder / "acdc", fake_patients(5))
    config = tiny_config_file(folder)
    answer = medwsss(
        "train", "--root", folder / "acdc", "--config", config, "--with", "isl,fsl,urn", "--out", folder / "unia"
    )
    assert answer.code == 0, answer.err
    return folder


def test_add_ons_leave_their_terms_in_the_metrics_and_the_report(base: Path) -> None:
    with (base / "unia" / "metrics.csv").open() as file:
        terms = {row["name"] for row in csv.DictReader(file)}
    assert {"importance_sampling", "feature_similarity", "segmentation"} <= terms
    assert "unia with isl, fsl, urn" in (base / "unia" / "report" / "report.md").read_text(encoding="utf-8")


def test_a_run_with_add_ons_predicts_and_resumes(base: Path, tmp_path: Path) -> None:
    assert medwsss("predict", base / "unia", base / "acdc", "--out", tmp_path / "out").code == 0
    assert medwsss("train", "--resume", base / "unia").code == 0


def test_a_unet_learns_the_stored_pseudo_labels(base: Path, tmp_path: Path) -> None:
    answer = medwsss("pseudo-label", base / "unia", "--out", tmp_path / "pseudo")
    assert answer.code == 0, answer.err
    small = ("--set", "training.iterations=2", "--set", "training.batch_size=2", "--set", "data.grid.crop=32")
    answer = medwsss(
        "train", "--root", base / "acdc", "--method", "retrain", "--pseudo", tmp_path / "pseudo",
        "--out", tmp_path / "unet", "--device", "cpu", *small,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert (tmp_path / "unet" / "report" / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--with", "ils"], ["unknown add-on 'ils'; did you mean 'isl'?"]),
        (["--with", "isl,"], ["unknown add-on ''"]),
        (["--method", "cam", "--with", "urn"], ["add-on urn needs", "which method cam does not produce"]),
        (["--method", "usages"], ["did you mean 'usage'?"]),
        (["--method", "retrain"], ["pass --pseudo DIR"]),
        (["--pseudo", "there"], ["unknown setting 'method.pseudo' of unia"]),
        (["--method", "retrain", "--pseudo", "nowhere"], ["nowhere", "holds no complete pseudo-labels"]),
        (["--set", "addons.urn.threshold=1.5"], ["addons.urn.threshold"]),
        (["--set", "addons.urn.scales=[0.5, 0]"], ["addons.urn.scales"]),
        (["--set", "encoder.name=resnet18"], ["method unia needs attention"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_training(
    base: Path, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    offline = ("--set", "encoder.pretrained=false", "--device", "cpu")
    answer = medwsss("train", "--root", base / "acdc", "--out", tmp_path / "run", *offline, *arguments)
    assert answer.code == 2, answer
    (line,) = answer.err.splitlines()
    for part in parts:
        assert part in line
    assert not (tmp_path / "run").exists()
