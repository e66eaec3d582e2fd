import json
import re
from pathlib import Path

import pandas as pd
import pytest
from reports.example import SOURCES, baseline, evaluation

from medwsss.errors import OutputError
from medwsss.metrics.results import PER_CASE_COLUMNS, Evaluation
from medwsss.reports import html
from medwsss.reports.html import REPORT_FILES, write_report

FOUND = evaluation(baseline("disc 30 mm", 0.3, 0.1), baseline("motion", 0.6, -0.2, tags=True))


def write(out: Path, found: Evaluation = FOUND) -> Path:
    return write_report(found, out, sources=SOURCES, title="A <test>", notes={"checkpoint": "last"})


def test_all_files_are_written_with_the_pictures_of_the_markdown(tmp_path: Path) -> None:
    page = write(tmp_path / "report", evaluation(baseline("motion", 0.2, 0.2), clinicians=True))
    assert page == tmp_path / "report" / "report.html"
    names = {path.name for path in page.parent.iterdir()}
    assert set(REPORT_FILES) <= names
    assert set(re.findall(r"\]\((.*?\.png)\)", (page.parent / "report.md").read_text())) == names - set(REPORT_FILES)
    assert list(tmp_path.iterdir()) == [tmp_path / "report"]


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    text = write(tmp_path / "report").read_text()
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert text.count("data:image/png;base64,") == 5
    assert "A &lt;test&gt;" in text


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_both_pages_say_what_a_reader_must_know(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    text = (tmp_path / name).read_text()
    for words in (
        "does not beat: motion, true slice tags (60.0 %)",
        "not a medical device",
        "1 of 14 values per case are undefined and 1 infinite",
        "patient001_frame02",
        "stranger",
        "patient009_frame01",
        "a file had an odd header",
        "checkpoint",
        "labels of the task (1 heart)",
        "Percentile bootstrap over patients",
    ):
        assert words in text


def test_the_table_has_exactly_the_promised_columns_and_keeps_undefined_values(tmp_path: Path) -> None:
    write(tmp_path)
    frame = pd.read_csv(tmp_path / "per_case.csv")
    assert tuple(frame.columns) == PER_CASE_COLUMNS
    assert "nan" in (tmp_path / "per_case.csv").read_text()
    assert frame["hd95_mm"].tolist() == [0.8, float("inf")]


def test_the_summary_is_strict_json(tmp_path: Path) -> None:
    write(tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)["task"] == "heart"


def test_a_new_report_replaces_the_old_one_and_leaves_other_files(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / "overlay_median.png").write_text("of an earlier report")
    write(tmp_path, evaluation())
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert not (tmp_path / "overlay_median.png").exists()
    assert not (tmp_path / "baselines.png").exists()
    assert "No training-free baseline" in (tmp_path / "report.html").read_text()


def test_a_failure_leaves_the_old_report_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "report")
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}

    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(html, "report_html", fail)
    with pytest.raises(OutputError, match="No space left"):
        write(tmp_path / "report", evaluation())
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before
    assert list(tmp_path.iterdir()) == [tmp_path / "report"]


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        write(tmp_path / "report")
