"""The command on label PNGs, from files to the report."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.voc import write_voc

from medwsss.cli.evaluate_images import evaluate_images_command
from medwsss.data.image_files import write_label_image
from medwsss.data.voc import Voc
from medwsss.errors import ConfigError, EvaluationError


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A tiny VOC, the masks of its val list as predictions in ``same``, and nothing but background in ``empty``."""
    root = write_voc(tmp_path)
    data = Voc(root)
    for name in data.names("val"):
        write_label_image(data.mask(name), tmp_path / f"same/{name}.png")
        write_label_image(np.zeros_like(data.mask(name)), tmp_path / f"empty/{name}.png")
    return root


def run(predictions: Path, truth: Path, out: Path, **options: object) -> dict[str, object]:
    options = {"dataset": "voc", "part": None, "device": torch.device("cpu"), **options}
    evaluate_images_command(predictions, truth, out=out, **options)  # type: ignore[arg-type]
    summary: dict[str, object] = json.loads((out / "summary.json").read_text())
    return summary


def test_a_list_of_a_data_set_is_scored_beside_another_method(
    voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"part": "val", "classes": "dog, person", "beside": [f"Empty={tmp_path / 'empty'}"], "title": "Ours"}
    summary = run(tmp_path / "same", voc, tmp_path / "report", **options)
    assert summary["with_background"]["iou"] == 1.0  # type: ignore[index]
    page = (tmp_path / "report/report.md").read_text()
    assert "| FP/TP (IoU [%]) | same | Empty |" in page
    assert "| dog | 0.00 (100.0) | undefined (0.0) |" in page
    told = capsys.readouterr().out
    assert "images of the list val were compared" in told
    assert "Pseudo-labels: " not in told  # masks hold 255 only where they are the reference
    assert f"Report: {tmp_path / 'report/report.html'}" in told


def test_a_plain_folder_of_label_images_is_a_reference_as_well(voc: Path, tmp_path: Path) -> None:
    summary = run(tmp_path / "empty", tmp_path / "same", tmp_path / "report", contours=False)
    assert summary["with_background"]["contour_f"] is None  # type: ignore[index]
    assert summary["sources"]["list"] is None  # type: ignore[index]
    with pytest.raises(ConfigError, match="--list val needs the folder of the data set"):
        run(tmp_path / "empty", tmp_path / "same", tmp_path / "report", part="val")


def test_the_record_of_the_prediction_is_in_the_report(voc: Path, tmp_path: Path) -> None:
    (tmp_path / "same/prediction.json").write_text(json.dumps({"source": "cams", "tags": None, "checkpoint": "last"}))
    notes = run(tmp_path / "same", voc, tmp_path / "report")["notes"]
    assert notes == {"predictions, checkpoint": "last", "predictions, source": "cams", "predictions, tags": "none"}
    (tmp_path / "same/prediction.json").write_text("of another program")
    assert run(tmp_path / "same", voc, tmp_path / "report")["notes"] == {}


def test_bad_options_end_before_anything_is_counted(voc: Path, tmp_path: Path) -> None:
    same, out = tmp_path / "same", tmp_path / "report"
    with pytest.raises(ConfigError, match="unknown class 'pesron'; did you mean 'person'"):
        run(same, voc, out, classes="dog,pesron")
    with pytest.raises(ConfigError, match="--beside ToCo cannot be read"):
        run(same, voc, out, beside=["ToCo"])
    with pytest.raises(ConfigError, match="has A twice"):
        run(same, voc, out, beside=["A=x", "A=y"])
    next((tmp_path / "empty").iterdir()).unlink()
    with pytest.raises(EvaluationError, match=r"1 of the .* images to compare have no prediction in .*empty"):
        run(same, voc, out, beside=[f"Empty={tmp_path / 'empty'}"])
    assert not out.exists()
