"""The tables of a report: numbers become cells here, and pages are laid out elsewhere."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from medwsss.metrics.results import (
    AGGREGATIONS,
    DISTANCE_METRICS,
    METRICS,
    OVERLAP_METRICS,
    PER_CASE,
    BaselineResult,
    Evaluation,
    Scores,
)
from medwsss.metrics.statistics import Interval

TITLES: Mapping[str, str] = {
    "dice": "Dice [%]",
    "confusion_ratio": "FP/TP",
    "precision": "Precision [%]",
    "recall": "Recall [%]",
    "iou": "IoU [%]",
    "hd95_mm": "HD95 [mm]",
    "assd_mm": "ASSD [mm]",
}
DEFINITIONS: Mapping[str, str] = {
    "Dice": "2·TP / (2·TP + FP + FN), in voxels: 100 % is agreement in every voxel. Undefined where prediction and "
    "reference are both empty, 0 where only one is.",
    "FP/TP": "Confusion ratio: wrongly labelled voxels for each correctly labelled one; 0 is best. Infinite where "
    "something was predicted and none of it is right, undefined where nothing was predicted. A single volume that is "
    "nearly missed can rule the mean over volumes; it cannot rule the pooled value.",
    "Precision": "TP / (TP + FP), the share of the predicted voxels that is right. Undefined without prediction.",
    "Recall": "TP / (TP + FN), the share of the structure that was found. Undefined without reference.",
    "IoU": "TP / (TP + FP + FN), never above Dice. Undefined like Dice.",
    "HD95": "95th percentile of the distances between the two surfaces, the larger of both directions, in mm with the "
    "volume's own spacing. Infinite where only one of them is empty, undefined where both are.",
    "ASSD": "Average distance between the two surfaces, both directions, in mm. Infinite and undefined like HD95.",
    "Volume": "Number of voxels times voxel size, in mL.",
    "95 % interval": "Percentile bootstrap over patients: all volumes of a patient are drawn together.",
    "Pooled, per case, per slice": "; ".join(f"{name.replace('_', ' ')}: {what}" for name, what in AGGREGATIONS.items())
    + ". They answer different questions and are never mixed.",
}
PERCENT_METRICS = ("dice", "precision", "recall", "iou")


@dataclass(frozen=True)
class Cell:
    """A value with its interval and a remark on what is not in it."""

    value: str
    interval: str = ""
    remark: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.value, self.interval, self.remark) if part)


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: bool = False
    """Columns of text, not of numbers: aligned to the left."""

    def markdown(self) -> str:
        """The table in Markdown; numbers are aligned to the right."""
        rule = (":--", *(":--" if self.words else "--:" for _ in self.header[1:]))
        lines = [self.header, rule, *(map(str, row) for row in self.rows)]
        return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def markdown_page(parts: Iterable[str]) -> str:
    """Parts of a page in Markdown, a blank line between them; empty ones are left out.

    Names come from anybody: what would begin a tag of HTML is written so that it begins none.
    """
    return re.sub("<(?=[A-Za-z/!?])", "&lt;", "\n\n".join(part for part in parts if part)) + "\n"


def number(value: float, metric: str, *, signed: bool = False) -> str:
    """A value in the unit of its column: shares in percent and distances with one decimal, small ratios with two."""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    scaled, digits = (100 * value, 1) if metric in PERCENT_METRICS else (value, 1)
    if metric == "confusion_ratio":
        digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
    return f"{scaled:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def score_cell(score: Interval, metric: str, *, signed: bool = False) -> Cell:
    """Estimate, interval, and how many values are not in it."""
    has_interval = math.isfinite(score.low) and math.isfinite(score.high)
    interval = " to ".join(number(end, metric, signed=signed) for end in (score.low, score.high))
    left_out = {"undefined": score.undefined, "infinite": score.infinite}
    return Cell(
        number(score.estimate, metric, signed=signed),
        f"({interval})" if has_interval else "",
        ", ".join(f"{count} {what}" for what, count in left_out.items() if count),
    )


def spoken(name: str) -> str:
    """The name of an aggregation or class as a reader sees it."""
    return name.replace("_", " ")


def score_table(scores: Scores, metrics: Iterable[str]) -> Table:
    """Classes down, metrics across."""
    metrics = tuple(metrics)
    rows = tuple(
        (Cell(spoken(name)), *(score_cell(by_metric[metric], metric) for metric in metrics))
        for name, by_metric in scores.items()
    )
    return Table(("Class", *(TITLES[metric] for metric in metrics)), rows)


def aggregation_tables(evaluation: Evaluation) -> dict[str, Table]:
    """One table for each aggregation, which is its key; surface distances exist per case only."""
    return {
        name: score_table(scores, METRICS if name == PER_CASE else OVERLAP_METRICS)
        for name, scores in evaluation.scores.items()
    }


def strata_table(strata: Mapping[str, Scores], title: str) -> Table:
    """Phases or groups down, Dice, confusion ratio and distances per case across."""
    metrics = ("dice", "confusion_ratio", *DISTANCE_METRICS)
    rows = tuple(
        (
            Cell(stratum),
            Cell(spoken(name)),
            Cell(str(total(by_metric["dice"]))),
            *(score_cell(by_metric[m], m) for m in metrics),
        )
        for stratum, scores in strata.items()
        for name, by_metric in scores.items()
    )
    return Table((title, "Class", "Volumes", *(TITLES[metric] for metric in metrics)), rows)


def total(score: Interval) -> int:
    """Number of values, with the undefined and infinite ones."""
    return score.n + score.undefined + score.infinite


def baseline_table(evaluation: Evaluation, target: str) -> Table:
    """The predictions and, best first, every training-free mask against one structure, per case."""
    own = evaluation.targets[target]
    cells = (score_cell(own[metric], metric) for metric in ("dice", "confusion_ratio"))
    rows = [(Cell("these predictions"), *cells, Cell("–"), Cell("–"))]
    rows += [_baseline_row(baseline) for baseline in ranked(evaluation, target)]
    header = ("Mask", "Dice [%]", "FP/TP", "Difference [points]", "Beaten")
    return Table(header, tuple(rows))


def ranked(evaluation: Evaluation, target: str) -> list[BaselineResult]:
    """The baselines of one structure, highest mean Dice first."""
    chosen = [baseline for baseline in evaluation.baselines if baseline.target == target]
    return sorted(chosen, key=lambda baseline: -baseline.dice.estimate if baseline.dice.n else math.inf)


def _baseline_row(baseline: BaselineResult) -> tuple[Cell, ...]:
    return (
        Cell(baseline.title, remark="(from the masks of other patients)" if baseline.uses_masks else ""),
        score_cell(baseline.dice, "dice"),
        score_cell(baseline.confusion_ratio, "confusion_ratio"),
        score_cell(baseline.difference, "dice", signed=True),
        Cell("yes" if baseline.beaten else "no"),
    )


def undefined_table(per_case: pd.DataFrame) -> Table:
    """Every volume and class with a value that is undefined or infinite."""
    rows = []
    for record in per_case.to_dict("records"):
        odd = [metric for metric in METRICS if not math.isfinite(record[metric])]
        if odd:
            words = ", ".join(f"{TITLES[metric].split(' [')[0]} {number(record[metric], metric)}" for metric in odd)
            volumes = (Cell(f"{record[key]:.1f}") for key in ("volume_ml", "reference_volume_ml"))
            rows.append((Cell(str(record["case"])), Cell(str(record["class"])), *volumes, Cell(words)))
    header = ("Case", "Class", "Volume [mL]", "Reference [mL]", "What is undefined or infinite")
    return Table(header, tuple(rows), words=True)
