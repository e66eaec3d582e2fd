"""From tags of photographs to a report, through the real command line, on tiny data sets in the real layouts."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.coco import write_coco
from fakes.command_line import medwsss, tiny_config_file
from fakes.voc import write_voc

from medwsss.data import IMAGE_SETS
from medwsss.data.image_files import photograph_size, read_label_image

WRITERS = {"voc": write_voc, "coco": write_coco}


@pytest.fixture(scope="module", params=["voc", "coco"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """Data set, its folder and a finished run."""
    folder = tmp_path_factory.mktemp(request.param)
    root = WRITERS[request.param](folder / "data")
    config = tiny_config_file(folder, data={"name": request.param, "crop": 32, "train": "train", "held_out": "val"})
    answer = medwsss("train", "--dataset", request.param, "--root", root, "--config", config, "--out", folder / "run")
    assert answer.code == 0, answer.err
    return request.param, root, folder / "run"


def test_a_run_ends_with_predictions_and_a_report_of_the_held_out_list(trained: tuple[str, Path, Path]) -> None:
    name, root, run = trained
    image_set = IMAGE_SETS[name](root)
    for image in image_set.names("val"):
        size = photograph_size(image_set.image_path(image))
        assert read_label_image(run / "predictions" / f"{image}.png").shape == size
    assert "list val" in (run / "report" / "report.html").read_text(encoding="utf-8")
    for file in ("config.yaml", "split.json", "tags.csv", "versions.json", "metrics.csv", "validation.csv"):
        assert (run / file).is_file()


def test_prediction_and_evaluation_repeat_what_the_run_reported(
    trained: tuple[str, Path, Path], tmp_path: Path
) -> None:
    name, root, run = trained
    assert medwsss("predict", run, root, "--list", "val", "--out", tmp_path / "val").code == 0
    for path in (run / "predictions").glob("*.png"):
        np.testing.assert_array_equal(read_label_image(path), read_label_image(tmp_path / "val" / path.name))
    answer = medwsss("evaluate", tmp_path / "val", root, "--dataset", name, "--list", "val", "--out", tmp_path / "r")
    assert answer.code == 0, answer.err
    with (tmp_path / "r" / "per_class.csv").open() as again, (run / "report" / "per_class.csv").open() as first:
        assert list(csv.reader(again)) == list(csv.reader(first))


def test_an_interrupted_prediction_goes_on(trained: tuple[str, Path, Path], tmp_path: Path) -> None:
    _, root, run = trained
    out = tmp_path / "val"
    assert medwsss("predict", run, root, "--list", "val", "--out", out).code == 0
    first, *_ = sorted(out.glob("*.png"))
    whole = first.read_bytes()
    first.unlink()
    refused = medwsss("predict", run, root, "--list", "val", "--out", out)
    assert refused.code == 2
    assert "--resume" in refused.err
    answer = medwsss("predict", run, root, "--list", "val", "--out", out, "--resume")
    assert answer.code == 0, answer.err
    assert "are there already" in answer.out
    assert first.read_bytes() == whole


def test_maps_tags_cams_and_crf_are_one_option_each(trained: tuple[str, Path, Path], tmp_path: Path) -> None:
    name, root, run = trained
    tags, out = tmp_path / "tags.csv", tmp_path / "seeds"
    answer = medwsss("tags", root, "--dataset", name, "--list", "train", "--out", tags)
    assert answer.code == 0, answer.err
    if name == "voc":  # COCO's masks are made from the same annotations: no second source
        assert "tags agree on all 4 images: annotations, and masks" in answer.out
    else:
        assert "no masks to compare" in answer.out
    options = ["--tags", tags, "--source", "cams", "--crf", "--save", "cams", "--save", "uncertainty"]
    answer = medwsss("predict", run, root, "--list", "train", "--out", out, *options)
    assert answer.code == 0, answer.err
    image_set = IMAGE_SETS[name](root)
    with tags.open() as file:
        shown = {row["patient"]: row for row in csv.DictReader(file)}
    for image in image_set.names("train"):
        present = {i for i, label in enumerate(image_set.labels.names, start=1) if shown[image][label] == "1"}
        assert set(np.unique(read_label_image(out / f"{image}.png")).tolist()) <= {0} | present
        with np.load(out / "cams" / f"{image}.npz", allow_pickle=False) as stored:
            assert set(stored["labels"].tolist()) <= present
        assert (out / "uncertainty" / f"{image}.png").is_file()


def test_plain_folders_of_photographs_and_of_masks_will_do(trained: tuple[str, Path, Path], tmp_path: Path) -> None:
    name, root, run = trained
    image_set = IMAGE_SETS[name](root)
    for image in image_set.names("val"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy(image_set.image_path(image), tmp_path / "photos")
    assert medwsss("masks", root, "--dataset", name, "--list", "val", "--out", tmp_path / "masks").code == 0
    assert medwsss("predict", run, tmp_path / "photos", "--out", tmp_path / "out").code == 0
    answer = medwsss("evaluate", tmp_path / "out", tmp_path / "masks", "--dataset", name, "--out", tmp_path / "report")
    assert answer.code == 0, answer.err


def test_masks_against_themselves_are_perfect(trained: tuple[str, Path, Path], tmp_path: Path) -> None:
    name, root, _ = trained
    assert medwsss("masks", root, "--dataset", name, "--list", "val", "--out", tmp_path / "masks").code == 0
    answer = medwsss(
        "evaluate", tmp_path / "masks", root, "--dataset", name, "--list", "val", "--out", tmp_path / "report"
    )
    assert answer.code == 0, answer.err
    with (tmp_path / "report" / "per_class.csv").open() as file:
        scores = {row["class"]: row["iou"] for row in csv.DictReader(file)}
    assert {value for value in scores.values() if value != "nan"} == {"1"}


def test_training_goes_on_after_an_interruption(trained: tuple[str, Path, Path], tmp_path: Path) -> None:
    _, _, run = trained
    shutil.copytree(run, tmp_path / "run")
    answer = medwsss("train", "--resume", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "images are there already" in answer.out


def test_a_mask_that_cannot_be_compared_with_the_tags_is_said(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    first = IMAGE_SETS["voc"](root).names("train")[0]
    (root / "SegmentationClass" / f"{first}.png").write_bytes(b"")
    answer = medwsss("tags", root, "--dataset", "voc", "--list", "train", "--out", tmp_path / "tags.csv")
    assert answer.code == 0
    assert "tags agree on all 3 images" in answer.out
    assert f"1 images could not be compared with masks, first {first}" in answer.err
