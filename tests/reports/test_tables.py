import math

import pytest
from reports.example import baseline, evaluation, interval, per_case

from medwsss.metrics.results import METRICS, OVERLAP_METRICS
from medwsss.reports.tables import (
    Cell,
    Table,
    aggregation_tables,
    baseline_table,
    number,
    score_cell,
    strata_table,
    undefined_table,
)


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.8766, "dice", "87.7"),
        (0.2149, "confusion_ratio", "0.21"),
        (12.34, "confusion_ratio", "12.3"),
        (1234.5, "confusion_ratio", "1234"),
        (4.56, "hd95_mm", "4.6"),
        (math.nan, "dice", "undefined"),
        (math.inf, "hd95_mm", "∞"),
    ],
)
def test_numbers_have_the_unit_of_their_column(value: float, metric: str, text: str) -> None:
    assert number(value, metric) == text


def test_a_difference_shows_its_sign() -> None:
    assert (number(0.05, "dice", signed=True), number(-0.05, "dice", signed=True)) == ("+5.0", "−5.0")


def test_a_cell_says_what_is_not_in_its_number() -> None:
    cell = score_cell(interval(0.5, n=3, undefined=2, infinite=1), "confusion_ratio")
    assert cell == Cell("0.50", "(0.40 to 0.60)", "2 undefined, 1 infinite")


def test_a_number_without_interval_has_no_brackets() -> None:
    assert score_cell(interval(0.5, width=math.nan), "dice") == Cell("50.0")


def test_markdown_escapes_bars_and_aligns_numbers() -> None:
    table = Table(("a|b", "n"), ((Cell("x"), Cell("1", "(0 to 2)")),))
    assert table.markdown() == "| a\\|b | n |\n| :-- | --: |\n| x | 1 (0 to 2) |"


def test_surface_distances_stand_per_case_only() -> None:
    tables = aggregation_tables(evaluation())
    assert [len(table.header) for table in tables.values()] == [1 + len(METRICS), *[1 + len(OVERLAP_METRICS)] * 2]


def test_baselines_follow_the_predictions_best_first() -> None:
    table = baseline_table(evaluation(baseline("disc", 0.3, 0.1), baseline("motion", 0.6, -0.2, tags=True)), "heart")
    assert [row[0].value for row in table.rows] == ["these predictions", "motion, true slice tags", "disc, no tags"]
    assert [row[-1].value for row in table.rows] == ["–", "no", "yes"]


def test_strata_count_their_volumes_with_the_undefined_ones() -> None:
    table = strata_table({"ED": {"heart": evaluation().scores["pooled"]["heart"]}}, "Phase")
    assert [cell.value for cell in table.rows[0]][:3] == ["ED", "heart", "2"]


def test_only_volumes_with_undefined_or_infinite_values_are_listed() -> None:
    (row,) = undefined_table(per_case()).rows
    assert row[0].value == "patient001_frame02"
    assert row[-1].value == "FP/TP undefined, Precision undefined, HD95 ∞, ASSD ∞"
