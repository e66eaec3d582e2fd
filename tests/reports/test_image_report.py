"""The report on label images says what was counted, what was left out, and holds the numbers it was given."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medwsss.errors import OutputError
from medwsss.labels import LabelSet
from medwsss.metrics.image_results import ImageEvaluation, ImageSources, ImageSummary
from medwsss.reports.image_figures import iou_figure
from medwsss.reports.image_report import IMAGE_REPORT_FILES, write_image_report
from medwsss.reports.image_tables import comparison_table, own_name

SUMMARY = ImageSummary(
    occurring=2,
    iou=0.741,
    precision=0.8,
    recall=0.9,
    false_positive_rate=0.1,
    false_negative_rate=0.159,
    confusion_ratio=0.247,
    pooled_confusion_ratio=0.05,
    finite_ratios=2,
    infinite_ratios=1,
    undefined_ratios=1,
    undefined_precisions=0,
    contour_f=0.501,
)
FOUND = ImageEvaluation(
    labels=LabelSet("pets", ("cat", "dog", "<fish>")),
    matrix=np.array([[90, 4, 0, 1], [2, 8, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    undecided=np.array([10, 5, 0, 0]),
    contours=np.ones((4, 4), dtype=np.int64),
    per_class={
        "iou": np.array([90 / 97, 8 / 14, math.nan, 0.0]),
        "precision": np.array([90 / 92, 8 / 12, math.nan, 0.0]),
        "recall": np.array([90 / 95, 8 / 10, math.nan, math.nan]),
        "confusion_ratio": np.array([2 / 90, 4 / 8, math.nan, math.inf]),
        "false_positive_rate": np.array([2 / 97, 4 / 14, math.nan, 1.0]),
        "false_negative_rate": np.array([5 / 97, 2 / 14, math.nan, 0.0]),
        "contour_f": np.array([0.5, 0.25, math.nan, 0.0]),
    },
    with_background=SUMMARY,
    without_background=replace(SUMMARY, iou=0.73, pooled_confusion_ratio=math.inf),
    images=3,
    sources=ImageSources("runs/UniA", "VOC2012", "val", unmatched_predictions=("stranger",)),
    device="cpu",
)
COMPLETE = replace(FOUND, undecided=np.zeros(4, dtype=np.int64), sources=ImageSources("toco", "VOC2012", "val"))


def write(out: Path, found: ImageEvaluation = FOUND) -> Path:
    return write_image_report(
        found, out, title="A <test>", notes={"run": "here"}, selected=("dog", "cat"), beside={"ToCo": COMPLETE}
    )


def test_all_files_are_written_and_the_page_needs_none_of_them(tmp_path: Path) -> None:
    page = write(tmp_path / "report")
    assert page == tmp_path / "report/report.html"
    assert {path.name for path in page.parent.iterdir()} == {*IMAGE_REPORT_FILES, "iou.png"}
    assert list(tmp_path.iterdir()) == [tmp_path / "report"]
    text = page.read_text()
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert text.count("data:image/png;base64,") == 1
    assert "A &lt;test&gt;" in text
    assert "&lt;fish&gt;" in text


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_both_pages_say_what_a_reader_must_know(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    text = (tmp_path / name).read_text()
    for words in (
        "3 images of the list val",
        "mIoU is 74.1 % (73.0 % without background)",
        "FP/TP is 0.25 as mean over the classes and 0.05 pooled",
        "contour quality F is 50.1 %, J&F 62.1 %".replace("&", "&amp;" if name.endswith("html") else "&"),
        "Pseudo-labels: 12.5 % of the pixels are undecided and left out",  # 15 of 105 + 15
        "Never predicted, so FP/TP is undefined and not in its mean: dog",
        "stranger",
        "not in the list",
        "1 infinite, 1 undefined",
        "runs/UniA",
        "here",
    ):
        assert words in text


def test_the_table_of_confusion_ratio_and_iou_is_that_of_the_paper() -> None:
    table = comparison_table([(own_name(FOUND), FOUND), ("ToCo", COMPLETE)], ("cat", "dog", "<fish>"))
    assert table.header == ("FP/TP (IoU [%])", "UniA", "ToCo")
    assert [[str(cell) for cell in row[:2]] for row in table.rows] == [
        ["cat", "0.50 (57.1)"],
        ["dog", "undefined (undefined)"],
        ["<fish>", "∞ (0.0)"],
        ["all classes", "0.25 (74.1) 1 infinite, 1 undefined"],
    ]


def test_without_selection_the_comparison_has_all_classes_and_without_methods_there_is_none(tmp_path: Path) -> None:
    assert len(comparison_table([("ours", FOUND)], ()).rows) == 3 + 1
    write_image_report(FOUND, tmp_path, title="plain")
    assert "Confusion ratio and IoU" not in (tmp_path / "report.html").read_text()


def test_the_csv_holds_counts_that_give_its_scores(tmp_path: Path) -> None:
    write(tmp_path)
    frame = pd.read_csv(tmp_path / "per_class.csv")
    assert frame["class"].tolist() == ["background", "cat", "dog", "<fish>"]
    assert frame[["tp", "fp", "fn", "undecided"]].to_numpy().tolist() == [
        [90, 2, 5, 10],
        [8, 4, 2, 5],
        [0, 0, 0, 0],
        [0, 1, 0, 0],
    ]
    assert (frame["tp"] / (frame["tp"] + frame["fp"] + frame["fn"])).tolist() == pytest.approx(
        frame["iou"].tolist(), nan_ok=True
    )
    assert frame["confusion_ratio"][3] == math.inf


def test_the_summary_is_strict_json_with_every_mean(tmp_path: Path) -> None:
    write(tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert summary["with_background"]["iou"] == 0.741
    assert summary["with_background"]["j_and_f"] == pytest.approx((0.741 + 0.501) / 2)
    assert summary["without_background"]["pooled_confusion_ratio"] is None
    assert summary["per_class"]["cat"]["precision"] == pytest.approx(8 / 12)
    assert summary["undecided_pixels"] == 15
    assert summary["beside"]["ToCo"]["undecided_share"] == 0
    assert summary["unmatched"]["predictions"] == ["stranger"]


def test_a_complete_prediction_has_no_word_on_undecided_pixels(tmp_path: Path) -> None:
    write_image_report(COMPLETE, tmp_path, title="complete")
    text = (tmp_path / "report.md").read_text()
    assert "Pseudo-labels" not in text
    assert "Undecided" not in text


def test_contours_that_were_not_measured_are_not_in_the_report(tmp_path: Path) -> None:
    bare = {metric: values for metric, values in FOUND.per_class.items() if metric != "contour_f"}
    means = replace(SUMMARY, contour_f=None)
    plain = replace(FOUND, contours=None, per_class=bare, with_background=means, without_background=means)
    write_image_report(plain, tmp_path, title="plain")
    assert "contour_f" not in (tmp_path / "per_class.csv").read_text()
    assert "| Contour F" not in (tmp_path / "report.md").read_text()


def test_the_figure_has_a_bar_for_many_classes_and_for_none() -> None:
    many = replace(
        FOUND,
        labels=LabelSet("many", tuple(f"class {index}" for index in range(80))),
        matrix=np.zeros((81, 81), dtype=np.int64),
        undecided=np.zeros(81, dtype=np.int64),
        contours=None,
        per_class={metric: np.full(81, 1 / 3) for metric in FOUND.per_class},
    )
    nothing = replace(many, per_class={metric: np.full(81, math.nan) for metric in FOUND.per_class})
    for evaluation in (many, nothing):
        assert iou_figure(evaluation).startswith(b"\x89PNG")


def test_a_new_report_replaces_the_old_one_and_a_failure_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "report")
    (tmp_path / "report/mine.txt").write_text("keep")
    write(tmp_path / "report", COMPLETE)
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert "mine.txt" in before

    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medwsss.reports.image_report.image_html", fail)
    with pytest.raises(OutputError, match="No space left"):
        write(tmp_path / "report")
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before


def test_classes_and_methods_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="selected holds 'bird'"):
        write_image_report(FOUND, tmp_path, title="", selected=("bird",))
    other = replace(FOUND, labels=LabelSet("others", ("a", "b", "c")))
    with pytest.raises(ValueError, match="beside: ToCo has another label set"):
        write_image_report(FOUND, tmp_path, title="", beside={"ToCo": other})
