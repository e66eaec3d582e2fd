"""Two reports side by side, paired volume by volume: as a page, as Markdown, and all numbers as CSV and JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medwsss.metrics.paired import PairedDifference, paired_difference
from medwsss.metrics.results import METRICS
from medwsss.reports.figures import FAINT, INK, class_colours, panels, png, titled
from medwsss.reports.html import encoded_pictures, render_page, replaced_report
from medwsss.reports.report_folder import StoredReport
from medwsss.reports.summary import NOT_A_DEVICE, plain_json, versions
from medwsss.reports.tables import TITLES, Cell, Table, markdown_page, number
from medwsss.spreadsheets import without_formulas

COMPARISON_FILES = ("comparison.html", "comparison.md", "comparison.csv", "comparison.json", "comparison.png")
LOWER_IS_BETTER = ("confusion_ratio", "hd95_mm", "assd_mm")
SIGNIFICANT = 0.05
_TEMPLATE = "comparison.html.j2"
_HOW = (
    "Every number is of the volumes that both reports have. Difference: B minus A, with its 95 % bootstrap interval "
    "over patients. p: Wilcoxon signed-rank test, two-sided, on the mean difference of each patient; not corrected for "
    "the number of rows. Effect: rank-biserial correlation, 1 if every patient is higher in B and −1 if lower."
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two reports say of the same volumes."""

    first: StoredReport
    second: StoredReport
    pairs: pd.DataFrame
    """One row per volume and class of both: case, patient, class, and each metric as ``dice_a`` and ``dice_b``."""
    differences: Mapping[tuple[str, str], PairedDifference]
    """By class and metric."""
    resamples: int

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for name, _ in self.differences))


def compare_reports(
    first: StoredReport, second: StoredReport, pairs: pd.DataFrame, *, resamples: int = 2000, seed: int = 0
) -> Comparison:
    """Every metric of every class that both have; ``pairs`` as ``report_folder.paired`` makes them."""
    differences = {
        (str(name), metric): paired_difference(
            rows[f"{metric}_a"].to_numpy(np.float64), rows[f"{metric}_b"].to_numpy(np.float64),
            rows["patient"].tolist(), generator=np.random.default_rng(seed), resamples=resamples,
        )
        for name, rows in pairs.groupby("class", sort=False)
        for metric in METRICS
    }  # fmt: skip
    return Comparison(first, second, pairs, differences, resamples)


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """Write the five files, in place of earlier ones; returns the path of comparison.html, which needs no other file.

    Raises:
        OutputError: ``out`` cannot be written or is a file.
    """
    picture = slope_figure(comparison)
    with replaced_report(out, COMPARISON_FILES) as folder:
        (folder / "comparison.png").write_bytes(picture)
        without_formulas(comparison.pairs).to_csv(
            folder / "comparison.csv", index=False, na_rep="nan", float_format="%.9g"
        )
        numbers = json.dumps(comparison_json(comparison), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "comparison.json").write_text(numbers + "\n", encoding="utf-8")
        (folder / "comparison.md").write_text(comparison_markdown(comparison), encoding="utf-8")
        (folder / "comparison.html").write_text(_html(comparison, picture), encoding="utf-8")
    return out / "comparison.html"


def sentences(comparison: Comparison) -> tuple[str, ...]:
    """Which volumes were compared, and for each class how their Dice differs."""
    pairs, (first, second) = comparison.pairs, (comparison.first, comparison.second)
    count = f"{pairs['case'].nunique()} volumes of {pairs['patient'].nunique()} patients"
    common = f"A is {first.name}, B is {second.name}: {count}"
    left = [len(report.cases - set(pairs["case"])) for report in (first, second)]
    alone = f"; {left[0]} volumes are in A alone and {left[1]} in B alone, and are left out" if any(left) else ""
    return (f"{common}{alone}.", *(_dice_sentence(name, comparison) for name in comparison.classes))


def remarks(comparison: Comparison) -> tuple[str, ...]:
    """What stands between the two beside the method."""
    return tuple(
        f"{what} differ: {ours} (A), {theirs} (B)."
        for what, ours, theirs in zip(
            ("Splits", "Image-level labels at prediction time"),
            (comparison.first.split, comparison.first.tags),
            (comparison.second.split, comparison.second.tags),
            strict=True,
        )
        if ours and theirs and ours != theirs
    )


def comparison_table(comparison: Comparison) -> Table:
    """Classes and metrics down."""
    rows = tuple(_row(name, metric, found) for (name, metric), found in comparison.differences.items())
    return Table(("Class", "Metric", "A", "B", "B − A", "p", "Effect", "Patients better in B"), rows)


def comparison_markdown(comparison: Comparison) -> str:
    parts = [
        "# A against B",
        f"medwsss {versions()['medwsss']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        _bullets(sentences(comparison)),
        _bullets(remarks(comparison)),
        f"> {NOT_A_DEVICE}",
        *("## Differences", _HOW, comparison_table(comparison).markdown()),
        "![Dice of each patient](comparison.png)",
        *("## What was compared", _about(comparison).markdown()),
    ]
    return markdown_page(parts)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """All numbers, ready for strict JSON: undefined ones are null."""
    plain: dict[str, Any] = plain_json(
        {
            "a": comparison.first.about,
            "b": comparison.second.about,
            "volumes": int(comparison.pairs["case"].nunique()),
            "differences": [
                {"class": name, "metric": metric, **asdict(found)}
                for (name, metric), found in comparison.differences.items()
            ],
            "remarks": list(remarks(comparison)),
            "bootstrap": {"resamples": comparison.resamples, "level": 0.95, "unit": "patient"},
            "versions": versions(),
        }
    )
    return plain


def slope_figure(comparison: Comparison) -> bytes:
    """Dice of each patient in A and in B, one panel a class; the thick line is the mean."""
    figure, axes = panels(1, len(comparison.classes), size=(10.0, 3.6), sharey=True)
    for axis, (name, own) in zip(axes, class_colours(comparison.classes).items(), strict=True):
        rows = comparison.pairs[comparison.pairs["class"] == name]
        means = 100 * rows.groupby("patient")[["dice_a", "dice_b"]].mean().dropna()
        for first, second in means.to_numpy(np.float64):
            colour = own if second >= first else FAINT
            axis.plot([0, 1], [first, second], color=colour, linewidth=0.9)
        axis.plot([0, 1], means.mean().to_numpy(np.float64), color=INK, linewidth=2.2, marker="o", markersize=4)
        axis.set_xticks([0, 1], ["A", "B"])
        axis.set_xlim(-0.25, 1.25)
        titled(axis, name)
    axes[0].set_ylabel("Dice [%], mean of each patient", color=INK, fontsize=9)
    return png(figure)


def _html(comparison: Comparison, picture: bytes) -> str:
    content = {
        "title": "A against B",
        "kicker": f"medwsss {versions()['medwsss']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "sentences": sentences(comparison),
        "remarks": remarks(comparison),
        "how": _HOW,
        "table": comparison_table(comparison),
        "about": _about(comparison),
        "picture": encoded_pictures({"slopes": picture})["slopes"],
        "not_a_device": NOT_A_DEVICE,
    }
    return render_page(_TEMPLATE, content=content)


def _dice_sentence(name: str, comparison: Comparison) -> str:
    found = comparison.differences[name, "dice"]
    gap = found.difference
    if math.isnan(gap.estimate):
        return f"{name}: no volume has a Dice both ways."
    size = f"{number(abs(gap.estimate), 'dice')} points {'higher' if gap.estimate > 0 else 'lower'}"
    low, high = (number(end, "dice", signed=True) for end in (gap.low, gap.high))
    sure = math.isfinite(found.p_value) and found.p_value < SIGNIFICANT
    verdict = "" if sure else " This may be chance."
    return f"{name}: the mean Dice of B is {size} ({low} to {high}, p {_p(found.p_value)}).{verdict}"


def _row(name: str, metric: str, found: PairedDifference) -> tuple[Cell, ...]:
    values = (number(value, metric) for value in (found.first, found.second))
    return (
        *map(Cell, (name, TITLES[metric], *values)),
        _difference_cell(found, metric),
        *map(Cell, (_p(found.p_value), _effect(found.effect))),
        _better(found, metric),
    )


def _difference_cell(found: PairedDifference, metric: str) -> Cell:
    gap = found.difference
    known = math.isfinite(gap.low) and math.isfinite(gap.high)
    ends = " to ".join(number(end, metric, signed=True) for end in (gap.low, gap.high))
    left_out = gap.undefined + gap.infinite
    remark = f"{left_out} left out" if left_out else ""
    return Cell(number(gap.estimate, metric, signed=True), f"({ends})" if known else "", remark)


def _better(found: PairedDifference, metric: str) -> Cell:
    return Cell(f"{found.lower if metric in LOWER_IS_BETTER else found.higher} of {found.patients}")


def _p(value: float) -> str:
    if math.isnan(value):
        return "undefined"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _effect(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:+.2f}".replace("-", "−")


def _about(comparison: Comparison) -> Table:
    first, second = comparison.first.about, comparison.second.about
    names = dict.fromkeys([*first, *second])
    rows = tuple((Cell(name), Cell(first.get(name, "–")), Cell(second.get(name, "–"))) for name in names)
    return Table(("What", "A", "B"), rows, words=True)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
