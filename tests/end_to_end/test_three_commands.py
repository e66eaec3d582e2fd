"""A folder of twenty studies and a spreadsheet go to a report with three commands and no configuration."""

import csv
import json
from pathlib import Path

import pytest
from fakes.command_line import medwsss

from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.image_labels import labels_of_stack
from medwsss.data.phantom import write_phantom
from medwsss.data.study import case_id
from medwsss.volumes.io import load_label_volume
from medwsss.volumes.slicing import slices_of

CLASSES = ("RV", "MYO", "LV")


def write_studies(folder: Path, drawn: Path) -> None:
    """ED and ES of the phantom under other names, and a table: odd patients slice by slice, even ones as a whole."""
    masks, rows = reference_masks(drawn), []
    folder.mkdir()
    for number, study in enumerate(find_studies(drawn)):
        for phase, frame in study.frames.items():
            name = f"{number:02d}_{phase}.nii.gz"
            (folder / name).write_bytes(frame.path.read_bytes())
            stack = slices_of(load_label_volume(masks[case_id(study, phase)])).array
            tags = labels_of_stack(stack, len(CLASSES))
            about = (f"H{number:02d}", name, phase, study.group)
            if number % 2:
                rows += [(*about, index, *row) for index, row in enumerate(tags.tolist())]
            else:
                rows.append((*about, "", *tags.max(axis=0).tolist()))
    with (folder / "studies.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows([("Patient", "File", "Phase", "Group", "Slice", *CLASSES), *rows])


@pytest.mark.slow
def test_train_predict_and_report(tmp_path: Path) -> None:
    write_phantom(tmp_path / "drawn", patients=20, seed=5)
    data, run = tmp_path / "my studies", tmp_path / "run"
    write_studies(data, tmp_path / "drawn")
    short = ("--set", "training.iterations=20", "--set", "training.validate_every=20")
    for command in (
        ("train", "--dataset", "folder", "--root", data, "--out", run, "--device", "cpu", *short),
        ("predict", run, data, "--out", tmp_path / "pred", "--device", "cpu"),
        ("report", tmp_path / "pred", "--images", data, "--out", tmp_path / "report"),
    ):
        answer = medwsss(*command)
        assert answer.code == 0, answer.err
    summary = json.loads((tmp_path / "report" / "summary.json").read_text(encoding="utf-8"))
    assert summary["counts"] == {"cases": 40, "patients": 20}
    assert summary["classes"] == list(CLASSES)
    assert {row["phase"] for row in summary["volumes"]} == {"ED", "ES"}
    assert (run / "report" / "report.html").is_file()
