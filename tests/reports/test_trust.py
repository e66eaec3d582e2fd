from dataclasses import replace
from pathlib import Path

import pandas as pd
from reports.example import SOURCES, evaluation

from medwsss.metrics.results import METRICS, PER_CASE_COLUMNS, Evaluation
from medwsss.reports.html import write_report
from medwsss.reports.trust import estimates_and_dice, trust_figure, trust_sentence


def trusted(dice: list[float], estimates: list[float]) -> Evaluation:
    rows = [
        dict.fromkeys(METRICS, 0.5)
        | {"case": f"c{index}", "patient": f"p{index}", "phase": "", "group": "", "class": "heart", "dice": value}
        | {"volume_ml": 1.0, "reference_volume_ml": 1.0}
        for index, value in enumerate(dice)
    ]
    frame = pd.DataFrame(rows, columns=list(PER_CASE_COLUMNS))
    return replace(
        evaluation(), per_case=frame, estimates={f"c{index}": value for index, value in enumerate(estimates)}
    )


def test_the_sentence_says_what_reviewing_the_lowest_fifth_brings() -> None:
    # without the lowest estimate, whose Dice is 0.5, the other four have a mean of 0.9
    found = trusted([0.9, 0.9, 0.5, 0.9, 0.9], [0.8, 0.81, 0.1, 0.82, 0.83])
    sentence = trust_sentence(found)
    assert "over 5 volumes: 0.71" in sentence
    assert "Mean Dice is 82.0 % over all of them and 90.0 % without the 20 % of lowest estimate." in sentence


def test_only_volumes_with_an_estimate_take_part() -> None:
    assert len(estimates_and_dice(trusted([0.1, 0.2, 0.3, 0.4], [0.5, 0.6]))) == 2


def test_without_estimates_the_report_says_nothing(tmp_path: Path) -> None:
    page = write_report(evaluation(), tmp_path, sources=SOURCES, title="x").read_text(encoding="utf-8")
    assert "without masks?" not in page
    assert not (tmp_path / "trust.png").exists()


def test_with_estimates_the_report_has_sentence_and_figure(tmp_path: Path) -> None:
    found = trusted([0.9, 0.7, 0.5], [0.9, 0.8, 0.1])
    page = write_report(found, tmp_path, sources=SOURCES, title="x").read_text(encoding="utf-8")
    assert "over 3 volumes: 1.00" in page
    assert (tmp_path / "trust.png").read_bytes() == trust_figure(found)
    assert "![trust](trust.png)" in (tmp_path / "report.md").read_text(encoding="utf-8")
