import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from reports.example import SOURCES, evaluation

from medwsss.reports.ablation import (
    ablation_html,
    ablation_json,
    ablation_markdown,
    ablation_table,
    headline_words,
    write_ablation,
)
from medwsss.reports.ablation_scores import Ablation, Headline, Row, Score, headline, spread
from medwsss.reports.summary import summary_json


def volumes(dice: float, ratio: float, *, undefined: int = 0, infinite: int = 0) -> Headline:
    scores = {
        "dice": Score(dice),
        "confusion_ratio": Score(ratio, undefined, infinite),
        "precision": Score(0.5),
        "recall": Score(0.5),
    }
    return Headline("volumes", scores)


def ablation(*rows: Row, seeds: tuple[int, ...] = (0, 1, 2), vary: tuple[str, ...] = ("training.seed",)) -> Ablation:
    return Ablation("Table | of x", "As printed.", ("UIN",), seeds, vary, rows, {"data": "<phantom>"})


def example() -> Ablation:
    """Dice 0.2, 0.4, 0.6 against 0.5, 0.5; one confusion ratio of the first row is undefined."""
    first = {0: volumes(0.2, 1.0), 1: volumes(0.4, 3.0, infinite=2), 2: volumes(0.6, math.nan, undefined=4)}
    second = {0: volumes(0.5, 2.5), 1: volumes(0.5, 2.5)}
    return ablation(Row("off", ("",), ("a=1",), first), Row("on", ("✓",), (), second))


def image_summary(**changes: Any) -> dict[str, Any]:
    found = {
        "iou": 0.7, "confusion_ratio": 0.5, "precision": 0.8, "recall": 0.9, "j_and_f": 0.6, "undefined_ratios": 1,
        "infinite_ratios": 2, "undefined_precisions": 3,
    }  # fmt: skip
    return {"with_background": found | changes, "without_background": {}}


def test_mean_and_sample_deviation_of_three_values() -> None:
    found = spread([0.2, 0.4, 0.6])
    assert found.mean == pytest.approx(0.4)
    assert found.deviation == pytest.approx(math.sqrt((0.2**2 + 0 + 0.2**2) / 2))
    assert (found.n, found.undefined) == (3, 0)


def test_undefined_values_are_left_out_and_counted() -> None:
    found = spread([math.nan, 1.0, math.inf])
    assert (found.mean, found.n, found.undefined) == (1.0, 1, 2)
    assert math.isnan(found.deviation)
    nothing = spread([])
    assert math.isnan(nothing.mean)
    assert nothing.n == 0


def test_a_report_of_volumes_is_read_per_case_with_what_it_left_out() -> None:
    found = headline(json.loads(json.dumps(summary_json(evaluation(), SOURCES, {}))))
    assert found.unit == "volumes"
    assert found.scores == {
        "dice": Score(0.4),
        "confusion_ratio": Score(0.4),
        "precision": Score(0.8, undefined=1),
        "recall": Score(0.4),
    }


def test_with_several_classes_the_mean_over_classes_is_read() -> None:
    per_metric = {
        name: {"estimate": 0.3, "undefined": 0, "infinite": 0}
        for name in ("dice", "confusion_ratio", "precision", "recall")
    }
    mean = per_metric | {"dice": {"estimate": None, "undefined": 4, "infinite": 0}}
    found = headline({"per_case": {"LV": per_metric, "mean_of_classes": mean}})
    assert math.isnan(found.scores["dice"].value)
    assert found.scores["dice"].undefined == 4


def test_a_report_of_photographs_is_read_with_background() -> None:
    found = headline(image_summary(j_and_f=None))
    assert found.unit == "classes"
    assert found.scores["iou"] == Score(0.7)
    assert found.scores["confusion_ratio"] == Score(0.5, undefined=1, infinite=2)
    assert found.scores["precision"] == Score(0.8, undefined=3)
    assert math.isnan(found.scores["j_and_f"].value)
    assert headline_words(found).startswith("mIoU [%] 70.0, FP/TP 0.50, Precision [%] 80.0")


@pytest.mark.parametrize("summary", [{}, {"per_case": {}}, {"per_case": 3}, {"with_background": {"iou": 1.0}}])
def test_a_summary_without_the_numbers_is_refused(summary: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="summary"):
        headline(summary)


def test_the_table_has_mean_deviation_runs_and_the_best_mean_of_each_column_bold() -> None:
    assert ablation_table(example(), "**{}**".format).markdown().splitlines() == [
        "| Row | UIN | Dice [%] | FP/TP | Precision [%] | Recall [%] | Runs |",
        "| :-- | --: | --: | --: | --: | --: | --: |",
        # dice: mean of 20, 40, 60 and sqrt((400 + 0 + 400) / 2); ratio: of 1 and 3, sqrt((1 + 1) / 1)
        "| off |  | 40.0 ± 20.0 | **2.00** ± 1.41 (1 of 3 runs undefined, 4 volumes undefined, 2 volumes infinite) "
        "| **50.0** ± 0.0 | **50.0** ± 0.0 | 3 |",
        "| on | ✓ | **50.0** ± 0.0 | 2.50 ± 0.00 | **50.0** ± 0.0 | **50.0** ± 0.0 | 2 of 3 |",
    ]


def test_one_run_has_no_deviation_and_none_has_no_number() -> None:
    table = ablation_table(ablation(Row("a", ("",), (), {1: volumes(0.5, 1.0)}), Row("b", ("",), (), {})), str)
    assert [str(cell) for cell in table.rows[0]][2:4] == ["50.0", "1.00"]
    assert [str(cell) for cell in table.rows[1]][2:] == ["–", "–", "–", "–", "0 of 3"]


def test_the_caption_says_what_varies_and_what_is_missing() -> None:
    text = ablation_markdown(example())
    assert "A seed sets training.seed alone" in text
    assert "5 of 6 runs are finished" in text
    assert "As printed." in text
    varied = ablation(
        Row("a", ("",), (), {0: volumes(0.5, 1.0)}), seeds=(0,), vary=("training.seed", "data.split.seed")
    )
    assert "runs differ in their patients too" in ablation_markdown(varied)
    assert "No run is finished yet" in ablation_markdown(ablation(Row("a", ("",), (), {})))


def test_json_holds_every_run_and_null_where_a_value_is_undefined() -> None:
    found = json.loads(json.dumps(ablation_json(example()), allow_nan=False))
    off = found["rows"][0]
    assert off["scores"]["confusion_ratio"]["mean"] == 2.0
    assert off["runs"]["2"]["confusion_ratio"] == {"value": None, "undefined": 4, "infinite": 0}
    assert (off["settings"], off["shown"]) == (["a=1"], {"UIN": ""})


def test_the_page_is_escaped_and_its_best_numbers_are_bold() -> None:
    page = ablation_html(example())
    assert "<b>2.00</b>" in page
    assert "&lt;phantom&gt;" in page
    assert "src=" not in page


def test_the_files_are_replaced_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ablation.yaml").write_text("kept")
    write_ablation(ablation(Row("a", ("",), (), {})), tmp_path / "out")
    assert write_ablation(example(), tmp_path / "out").read_text().startswith("# Table | of x")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ablation.yaml", "table.csv", "table.html", "table.json", "table.md",
    ]  # fmt: skip
    frame = pd.read_csv(tmp_path / "out" / "table.csv")
    assert frame.dice_mean.tolist() == pytest.approx([0.4, 0.5])
    assert frame.confusion_ratio_undefined_runs.tolist() == [1, 0]


def compared(report: str) -> Ablation:
    """One run that says how it stands beside masks without training, and one that does not."""
    told = Headline("volumes", volumes(0.2, 1.0).scores, "It beats <none> of them.", report)
    return ablation(Row("off", ("",), (), {1: told}), Row("on", ("",), (), {1: volumes(0.5, 1.0)}), seeds=(1,))


def test_each_run_says_how_it_stands_beside_masks_without_training_and_links_its_report() -> None:
    assert "- off, seed 1: It beats &lt;none> of them. [Report](off/report/report.md)" in ablation_markdown(
        compared("off/report")
    )
    page = ablation_html(compared("off/report"))
    assert "off, seed 1: It beats &lt;none&gt; of them." in page
    assert '<a href="off/report/report.html">Report</a>' in page
    assert "on, seed 1:" not in page


def test_the_median_case_of_each_row_is_shown_where_its_report_has_one(tmp_path: Path) -> None:
    (tmp_path / "off/report").mkdir(parents=True)
    (tmp_path / "off/report/overlay_median.png").write_bytes(b"png")
    text = write_ablation(compared("off/report"), tmp_path).read_text(encoding="utf-8")
    assert "![off](off/report/overlay_median.png)" in text
    page = (tmp_path / "table.html").read_text(encoding="utf-8")
    assert 'src="data:image/png;base64,cG5n"' in page  # b"png"
    assert page.count("<img") == 1


def test_no_picture_no_heading(tmp_path: Path) -> None:
    assert "median case" not in write_ablation(compared("nowhere"), tmp_path).read_text(encoding="utf-8")


def test_the_headline_keeps_the_conclusion_of_a_report() -> None:
    summary = summary_json(evaluation(), SOURCES, {})
    found = headline(json.loads(json.dumps(summary)), report="a/report")
    assert found.conclusion == summary["conclusion"] != ""
    assert found.report == "a/report"
