"""Add-ons and the second stage through the real command line, on a tiny ACDC in the real layout."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import Answer, medwsss, tiny_config_file

from medwsss.volumes.io import load_volume, save_volume


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


@pytest.fixture(scope="module")
def pseudo(base: Path) -> Path:
    """Pseudo-labels of that run."""
    answer = medwsss("pseudo-label", base / "unia", "--out", base / "pseudo")
    assert answer.code == 0, answer.err
    return base / "pseudo"


def test_add_ons_leave_their_terms_in_the_metrics_and_the_report(base: Path) -> None:
    with (base / "unia" / "metrics.csv").open() as file:
        terms = {row["name"] for row in csv.DictReader(file)}
    assert {"importance_sampling", "feature_similarity", "segmentation"} <= terms
    assert "unia with isl, fsl, urn" in (base / "unia" / "report" / "report.md").read_text(encoding="utf-8")


def test_a_run_with_add_ons_predicts_and_resumes(base: Path, tmp_path: Path) -> None:
    assert medwsss("predict", base / "unia", base / "acdc", "--out", tmp_path / "out").code == 0
    assert medwsss("train", "--resume", base / "unia").code == 0


def test_a_unet_learns_the_stored_pseudo_labels(base: Path, pseudo: Path, tmp_path: Path) -> None:
    small = ("--set", "training.iterations=2", "--set", "training.batch_size=2", "--set", "data.grid.crop=32")
    answer = medwsss(
        "train", "--root", base / "acdc", "--method", "retrain", "--pseudo", pseudo,
        "--out", tmp_path / "unet", "--device", "cpu", *small,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert (tmp_path / "unet" / "report" / "report.html").is_file()
    report = (tmp_path / "unet" / "report" / "report.md").read_text(encoding="utf-8")
    source = f"{pseudo}: run {base / 'unia'}, checkpoint last, step 4, source pseudo"
    assert f"seed 0, from pseudo-labels of unia in {source}" in report
    assert "image-level labels only" not in report
    assert "method.pseudo" not in report  # it is said once, and no paper has one
    assert (tmp_path / "unet" / "pseudo_labels.json").read_text() == (pseudo / "pseudo.json").read_text()


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
        (["--set", "addons.urn.scales=[0.5]"], ["addons.urn.scales must hold two or more exponents"]),
        (["--method", "cam", "--with", "urn", "--root", "nowhere"], ["add-on urn needs"]),
        (["--method", "retrain", "--root", "nowhere"], ["pass --pseudo DIR"]),
        (["--set", "encoder.name=resnet18"], ["method unia needs attention"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_training(
    base: Path, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    offline = ("--set", "encoder.pretrained=false", "--device", "cpu")
    answer = medwsss("train", "--root", base / "acdc", "--out", tmp_path / "run", *offline, *arguments)
    is_refused(answer, tmp_path / "run", *parts)


def is_refused(answer: Answer, out: Path, *parts: str) -> None:
    """Exit code 2 and one line, before anything is written."""
    assert answer.code == 2, answer
    (line,) = answer.err.splitlines()
    for part in parts:
        assert part in line
    assert not out.exists()


def map_of(pseudo: Path, part: str) -> Path:
    return min((pseudo / part).iterdir())


def halve(path: Path) -> None:
    volume = load_volume(path)
    save_volume(replace(volume, array=volume.array[::2]), path)


def recorded(pseudo: Path, **changed: str) -> None:
    path = pseudo / "pseudo.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "missing": (shutil.rmtree, ("holds no complete pseudo-labels", "medwsss pseudo-label")),
    "not finished": (lambda pseudo: (pseudo / "pseudo.json").unlink(), ("holds no complete pseudo-labels",)),
    "damaged": (lambda pseudo: (pseudo / "pseudo.json").write_text("{"), ("pseudo.json is damaged",)),
    "of another data set": (
        lambda pseudo: recorded(pseudo, dataset="voc"),
        ("another data set (voc, this run has acdc)",),
    ),
    "of another task": (lambda pseudo: recorded(pseudo, task="lv"), ("another task (lv, this run has heart)",)),
    "of another split": (
        lambda pseudo: recorded(pseudo, split_hash="0" * 16),
        (f"another split ({'0' * 16}, this run",),
    ),
    "without a map": (lambda pseudo: map_of(pseudo, "weights").unlink(), ("is incomplete: 1 files are missing",)),
    "with weights of another size": (
        lambda pseudo: halve(map_of(pseudo, "weights")),
        ("_frame01.nii.gz has shape (20, 36, 4), its frame has (40, 36, 4)",),
    ),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_pseudo_labels_that_do_not_fit_are_refused_by_train_and_before_the_first_row_of_a_grid(
    base: Path, pseudo: Path, tmp_path: Path, case: str
) -> None:
    damage, parts = BAD_FOLDERS[case]
    folder = Path(shutil.copytree(pseudo, tmp_path / "pseudo"))
    damage(folder)
    common = ("--root", base / "acdc", "--out", tmp_path / "out", "--device", "cpu")
    is_refused(medwsss("train", "--method", "retrain", "--pseudo", folder, *common), tmp_path / "out", *parts)
    rows = f"[{{name: First}}, {{name: Second, method: retrain, set: ['method.pseudo={folder}']}}]"
    (tmp_path / "grid.yaml").write_text(f"title: Both stages\nrows: {rows}")
    answer = medwsss("ablate", "--grid", tmp_path / "grid.yaml", "--seeds", "0", *common)
    is_refused(answer, tmp_path / "out", "row 'Second', seed 0: ", *parts)
