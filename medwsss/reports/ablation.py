"""The table of an ablation as files: Markdown, one self-contained HTML page, and all numbers as CSV and JSON."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from markupsafe import Markup

from medwsss.reports.ablation_scores import LOWER_IS_BETTER, Ablation, Headline, Row, Score, Spread
from medwsss.reports.html import encoded_pictures, render_page, replaced_report
from medwsss.reports.summary import versions
from medwsss.reports.tables import PERCENT_METRICS, Cell, Table, markdown_page, number

MEDIAN_CASE = "overlay_median.png"
"""In the report of a run on volumes."""
_COLOURS = "The reference in white, the prediction in colour; rows may have different median cases."
ABLATION_FILES = ("table.md", "table.csv", "table.json", "table.html")
_TEMPLATE = "ablation.html.j2"


def write_ablation(ablation: Ablation, out: Path) -> Path:
    """Write table.md, table.csv, table.json and table.html, which needs no other file; returns the path of table.md.

    Files of an earlier table are replaced when all of them are complete; other files in ``out`` stay.

    Raises:
        OutputError: ``out`` cannot be written.
    """
    numbers = json.dumps(ablation_json(ablation), indent=2, ensure_ascii=False, allow_nan=False)
    pictures = median_cases(ablation, out)
    with replaced_report(out, ABLATION_FILES) as folder:
        (folder / "table.md").write_text(ablation_markdown(ablation, pictures), encoding="utf-8")
        ablation_frame(ablation).to_csv(
            folder / "table.csv", index=False, na_rep="nan", float_format="%.9g", lineterminator="\n"
        )
        (folder / "table.json").write_text(numbers + "\n", encoding="utf-8")
        (folder / "table.html").write_text(ablation_html(ablation, pictures), encoding="utf-8")
    return out / "table.md"


def ablation_markdown(ablation: Ablation, pictures: Mapping[str, bytes] = MappingProxyType({})) -> str:
    """The table with its caption, every run, and where the numbers come from; ``pictures`` as ``median_cases``."""
    parts = [
        *(f"# {ablation.title}", caption(ablation)),
        *(ablation_table(ablation, "**{}**".format).markdown(), ablation.note),
        *("## Every run", run_table(ablation).markdown(), _verdicts_markdown(ablation)),
        *_pictures_markdown(ablation, pictures),
        *("## What every row sets", _settings_table(ablation).markdown()),
        *("## Where the numbers come from", _about_table(ablation).markdown()),
    ]
    return markdown_page(parts)


def ablation_html(ablation: Ablation, pictures: Mapping[str, bytes] = MappingProxyType({})) -> str:
    """The same as one page, with its pictures inside."""
    content = {
        "title": ablation.title,
        "kicker": f"medwsss {versions()['medwsss']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "caption": caption(ablation),
        "table": ablation_table(ablation, Markup("<b>{}</b>").format),
        "note": ablation.note,
        "runs": run_table(ablation),
        "verdicts": _verdicts(ablation),
        "pictures": encoded_pictures(pictures),
        "colours": _COLOURS,
        "settings": _settings_table(ablation),
        "about": _about_table(ablation),
    }
    return render_page(_TEMPLATE, content=content)


def median_cases(ablation: Ablation, out: Path) -> dict[str, bytes]:
    """The picture of the median case of each row's first run, by the name of the row; rows without one are left out.

    ``out`` is where the table lies.
    """
    files = {row.name: out / run.report / MEDIAN_CASE for row in ablation.rows for run in _first(row) if run.report}
    return {name: path.read_bytes() for name, path in files.items() if path.is_file()}


def ablation_table(ablation: Ablation, emphasised: Callable[[str], str]) -> Table:
    """Rows in the order of the grid, metrics across; the best mean of each column is ``emphasised``."""
    titles = ablation.metrics
    spreads = [row.spreads(titles) for row in ablation.rows]
    best = {metric: _best([found[metric] for found in spreads], metric) for metric in titles}
    rows = []
    for row, found in zip(ablation.rows, spreads, strict=True):
        cells = (_spread_cell(row, found[metric], metric, best[metric], emphasised) for metric in titles)
        finished, planned = len(row.runs), len(ablation.seeds)
        runs = Cell(f"{finished}" if finished == planned else f"{finished} of {planned}")
        rows.append((Cell(row.name), *map(Cell, row.shown), *cells, runs))
    return Table(("Row", *ablation.columns, *titles.values(), "Runs"), tuple(rows))


def run_table(ablation: Ablation) -> Table:
    """Every finished run with its own numbers."""
    rows = [
        (Cell(row.name), Cell(str(seed)), *(_score_cell(found.unit, metric, found.scores[metric]) for metric in titles))
        for titles in [ablation.metrics]
        for row in ablation.rows
        for seed, found in row.runs.items()
    ]
    return Table(("Row", "Seed", *ablation.metrics.values()), tuple(rows))


def _first(row: Row) -> list[Headline]:
    """The finished run of the smallest seed, if there is one."""
    return [row.runs[seed] for seed in sorted(row.runs)[:1]]


def _verdicts(ablation: Ablation) -> list[tuple[str, int, Headline]]:
    """Row, seed and run of those that were compared with masks that need no training."""
    return [(row.name, seed, run) for row in ablation.rows for seed, run in row.runs.items() if run.conclusion]


def _verdicts_markdown(ablation: Ablation) -> str:
    return "\n".join(
        f"- {name}, seed {seed}: {run.conclusion}" + (f" [Report]({run.report}/report.md)" if run.report else "")
        for name, seed, run in _verdicts(ablation)
    )


def _pictures_markdown(ablation: Ablation, pictures: Mapping[str, bytes]) -> list[str]:
    shown = [
        f"![{row.name}]({run.report}/{MEDIAN_CASE})"
        for row in ablation.rows
        if row.name in pictures
        for run in _first(row)
    ]
    return ["## The median case of each row", _COLOURS, *shown] if shown else []


def headline_words(found: Headline) -> str:
    """The numbers of one run in one line."""
    return ", ".join(f"{title} {_number(found.scores[metric].value, metric)}" for metric, title in found.titles.items())


def caption(ablation: Ablation) -> str:
    """What a number of the table is, what varies between runs, and how many runs are missing."""
    return " ".join(_sentences(ablation))


def ablation_frame(ablation: Ablation) -> pd.DataFrame:
    """A line per row of the table; scores are fractions, and n counts the runs in a mean."""
    lines = []
    for row in ablation.rows:
        line: dict[str, object] = {"row": row.name, **dict(zip(ablation.columns, row.shown, strict=True))}
        for metric, found in row.spreads(ablation.metrics).items():
            line |= {f"{metric}_mean": found.mean, f"{metric}_sd": found.deviation}
            line |= {f"{metric}_n": found.n, f"{metric}_undefined_runs": found.undefined}
        lines.append(line)
    return pd.DataFrame(lines)


def ablation_json(ablation: Ablation) -> dict[str, Any]:
    """All numbers with those of every run, ready for strict JSON: undefined ones are null."""
    rows = [
        {
            "name": row.name,
            "settings": list(row.settings),
            "shown": dict(zip(ablation.columns, row.shown, strict=True)),
            "scores": {metric: _plain(found) for metric, found in row.spreads(ablation.metrics).items()},
            "runs": {
                str(seed): {metric: _plain(score) for metric, score in run.scores.items()}
                for seed, run in row.runs.items()
            },
        }
        for row in ablation.rows
    ]
    return {
        "title": ablation.title,
        "note": ablation.note,
        "seeds": list(ablation.seeds),
        "vary": list(ablation.vary),
        "averaged_over": None if ablation.example is None else ablation.example.unit,
        "deviation": "sample standard deviation over runs (n - 1)",
        "rows": rows,
        "about": dict(ablation.about),
    }


def _sentences(ablation: Ablation) -> Iterator[str]:
    seeds = ", ".join(map(str, ablation.seeds))
    if ablation.example is None:
        yield f"No run is finished yet (seeds {seeds})."
        return
    yield f"Mean ± sample standard deviation over runs with the seeds {seeds}; the best mean of a column is bold."
    if len(ablation.vary) > 1:
        yield f"A seed sets {', '.join(ablation.vary)}: runs differ in their patients too."
    else:
        yield f"A seed sets {ablation.vary[0]} alone: all runs have the same data and the same split."
    yield {
        "volumes": "A run is scored per case: one value per held-out volume (its mean over classes, where there are "
        "several), then the mean over volumes.",
        "classes": "A run is scored on pixels summed over the held-out images, then averaged over classes, with "
        "background.",
    }[ablation.example.unit]
    yield "Undefined and infinite values enter no mean and are counted."
    planned, finished = len(ablation.rows) * len(ablation.seeds), sum(len(row.runs) for row in ablation.rows)
    if finished < planned:
        yield f"{finished} of {planned} runs are finished."


def _best(found: Sequence[Spread], metric: str) -> str:
    """The best mean as it is printed, so that rows that print alike are emphasised alike."""
    means = [one.mean for one in found if one.n]
    if not means:
        return ""
    return _number(min(means) if metric in LOWER_IS_BETTER else max(means), metric)


def _spread_cell(row: Row, found: Spread, metric: str, best: str, emphasised: Callable[[str], str]) -> Cell:
    if not row.runs:
        return Cell("–")
    mean = _number(found.mean, metric)
    scores = [run.scores[metric] for run in row.runs.values()]
    left_out = Score(found.mean, sum(score.undefined for score in scores), sum(score.infinite for score in scores))
    remarks = [f"{found.undefined} of {len(row.runs)} runs undefined"] if found.undefined else []
    remarks += _left_out(left_out, next(iter(row.runs.values())).unit)
    return Cell(
        emphasised(mean) if found.n and mean == best else mean,
        f"± {_number(found.deviation, metric)}" if found.n > 1 else "",
        f"({', '.join(remarks)})" if remarks else "",
    )


def _score_cell(unit: str, metric: str, score: Score) -> Cell:
    remarks = _left_out(score, unit)
    return Cell(_number(score.value, metric), remark=f"({', '.join(remarks)})" if remarks else "")


def _left_out(score: Score, unit: str) -> list[str]:
    counts = {"undefined": score.undefined, "infinite": score.infinite}
    return [f"{count} {unit} {what}" for what, count in counts.items() if count]


def _number(value: float, metric: str) -> str:
    """As in the other tables; scores that only photographs have are shares."""
    return number(value, metric if metric in LOWER_IS_BETTER else PERCENT_METRICS[0])


def _settings_table(ablation: Ablation) -> Table:
    rows = tuple((Cell(row.name), Cell(", ".join(row.settings) or "nothing")) for row in ablation.rows)
    return Table(("Row", "Settings"), rows, words=True)


def _about_table(ablation: Ablation) -> Table:
    about = {**ablation.about, "versions": ", ".join(f"{name} {version}" for name, version in versions().items())}
    return Table(("What", "Value"), tuple((Cell(name), Cell(value)) for name, value in about.items()), words=True)


def _plain(found: Spread | Score) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(found).items()}
