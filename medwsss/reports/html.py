"""The report as files: one self-contained HTML page, the same in Markdown, and all numbers as CSV and JSON."""

import base64
import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from medwsss.errors import OutputError
from medwsss.metrics.results import AGGREGATIONS, PER_CASE_COLUMNS, Evaluation, Overlay, Sources
from medwsss.reports.figures import (
    COLOURS,
    REFERENCE_COLOUR,
    baseline_figure,
    dice_figure,
    overlay_figure,
    volume_figure,
)
from medwsss.reports.summary import (
    NOT_A_DEVICE,
    left_out_sentence,
    summary_json,
    summary_sentences,
    verdicts,
    versions,
)
from medwsss.reports.tables import (
    DEFINITIONS,
    Cell,
    Table,
    aggregation_tables,
    baseline_table,
    number,
    strata_table,
    undefined_table,
)

REPORT_FILES = ("per_case.csv", "summary.json", "report.md", "report.html")
_PICTURES = ("dice.png", "volumes.png", "baselines.png", "overlay_best.png", "overlay_median.png", "overlay_worst.png")


def write_report(
    evaluation: Evaluation, sources: Sources, out_dir: Path, *, title: str, notes: Mapping[str, str] | None = None
) -> Path:
    """Write per_case.csv, summary.json, report.md with its pictures, and report.html, which needs no other file.

    Everything is made in a temporary folder beside ``out_dir`` and moved when it is complete: an earlier report is
    replaced only then, and other files in ``out_dir`` stay. ``notes`` are printed as they are, such as the method, the
    run folder or the split. Returns the path of report.html.

    Raises:
        OutputError: ``out_dir`` cannot be written or is a file.
    """
    notes = notes or {}
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out_dir.name}.", dir=out_dir.parent) as partial:
            _write_files(Path(partial), evaluation, sources, title, notes)
            _move(Path(partial), out_dir)
    except OSError as error:
        raise OutputError(f"cannot write the report to {out_dir} ({error.strerror}): choose another folder") from error
    return out_dir / "report.html"


def _write_files(folder: Path, evaluation: Evaluation, sources: Sources, title: str, notes: Mapping[str, str]) -> None:
    pictures = report_pictures(evaluation)
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
    frame = evaluation.per_case[list(PER_CASE_COLUMNS)]
    frame.to_csv(folder / "per_case.csv", index=False, na_rep="nan", float_format="%.6g")
    summary = json.dumps(summary_json(evaluation, sources, notes), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")
    markdown = report_markdown(evaluation, sources, title=title, notes=notes, pictures=list(pictures))
    (folder / "report.md").write_text(markdown, encoding="utf-8")
    page = report_html(evaluation, sources, title=title, notes=notes, pictures=pictures)
    (folder / "report.html").write_text(page, encoding="utf-8")


def _move(partial: Path, out_dir: Path) -> None:
    out_dir.mkdir(exist_ok=True)
    for name in (*_PICTURES, *REPORT_FILES):
        if (partial / name).exists():
            (partial / name).replace(out_dir / name)
        else:
            (out_dir / name).unlink(missing_ok=True)


def report_pictures(evaluation: Evaluation) -> dict[str, bytes]:
    """PNG files of a report by name."""
    pictures = {"dice.png": dice_figure(evaluation), "volumes.png": volume_figure(evaluation)}
    if evaluation.baselines:
        pictures["baselines.png"] = baseline_figure(evaluation)
    overlays = {_overlay_name(overlay): overlay_figure(overlay, evaluation.classes) for overlay in evaluation.overlays}
    return pictures | overlays


def _overlay_name(overlay: Overlay) -> str:
    return f"overlay_{overlay.rank}.png"


def report_html(
    evaluation: Evaluation, sources: Sources, *, title: str, notes: Mapping[str, str], pictures: Mapping[str, bytes]
) -> str:
    """The page, with its style and pictures inside."""
    encoded = {name: base64.b64encode(png).decode("ascii") for name, png in pictures.items()}
    overlays = [
        {
            "rank": overlay.rank,
            "case": overlay.case,
            "dice": number(overlay.dice, "dice"),
            "png": encoded[_overlay_name(overlay)],
        }
        for overlay in evaluation.overlays
    ]
    source = resources.files("medwsss.reports").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source).render(
        _content(evaluation, sources, title, notes), pictures=encoded, overlays=overlays
    )


def _content(evaluation: Evaluation, sources: Sources, title: str, notes: Mapping[str, str]) -> dict[str, Any]:
    """Everything but pictures, in the words of both pages."""
    found = verdicts(evaluation)
    colours = {name: COLOURS.get(name, "#1f2933") for name in evaluation.classes}
    return {
        "title": title,
        "kicker": f"medwsss {versions()['medwsss']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "sentences": summary_sentences(evaluation),
        "verdicts": found,
        "not_a_device": NOT_A_DEVICE,
        "remarks": evaluation.remarks,
        "aggregations": aggregation_tables(evaluation),
        "meaning": AGGREGATIONS,
        "baselines": {verdict.target: baseline_table(evaluation, verdict.target) for verdict in found},
        "strata": _strata(evaluation),
        "left_out": left_out_sentence(evaluation),
        "undefined": undefined_table(evaluation.per_case),
        "about": about_table(evaluation, sources, notes),
        "unmatched": {
            "Predictions without reference, not evaluated": sources.unmatched_predictions,
            "References without prediction, not evaluated": sources.unmatched_references,
        },
        "definitions": DEFINITIONS,
        "colours": {**{f"{name} predicted": colour for name, colour in colours.items()}, "reference": "#b8bfc7"},
    }


def _strata(evaluation: Evaluation) -> dict[str, Table]:
    strata = {"Phase": evaluation.by_phase, "Group": evaluation.by_group}
    return {title: strata_table(scores, title) for title, scores in strata.items() if scores}


def about_table(evaluation: Evaluation, sources: Sources, notes: Mapping[str, str]) -> Table:
    """Files, codes, tags, notes and versions: what a reader needs to judge or repeat the numbers."""
    about = {
        **notes,
        "predictions": sources.predictions,
        "references": sources.references,
        "numbers in the predictions": sources.prediction_codes,
        "numbers in the references": sources.reference_codes,
        "image-level labels used at prediction time": sources.tags,
        "predictions without reference": str(len(sources.unmatched_predictions)),
        "references without prediction": str(len(sources.unmatched_references)),
        "intervals": f"95 %, {evaluation.resamples} bootstrap resamples of {evaluation.patients} patients",
        "counted on": evaluation.device,
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    return Table(("What", "Value"), tuple((Cell(name), Cell(value)) for name, value in about.items()))


def report_markdown(
    evaluation: Evaluation, sources: Sources, *, title: str, notes: Mapping[str, str], pictures: list[str]
) -> str:
    """The report in Markdown; the pictures are files beside it."""
    content = _content(evaluation, sources, title, notes)
    parts = [f"# {title}", content["kicker"], " ".join(content["sentences"])]
    parts += [f"**{verdict.sentence}**" for verdict in content["verdicts"]]
    parts += [f"- {remark}" for remark in content["remarks"]] + [f"> {NOT_A_DEVICE}", "## Agreement with the reference"]
    for name, table in content["aggregations"].items():
        parts += [f"### {name.replace('_', ' ').capitalize()}", f"{AGGREGATIONS[name].capitalize()}.", table.markdown()]
    for target, table in content["baselines"].items():
        parts += [f"## Beside masks that need no training: {target}", table.markdown()]
    for name, table in content["strata"].items():
        parts += [f"## By {name.lower()}", table.markdown()]
    parts += ["## Pictures", *(f"![{name}]({name})" for name in pictures)]
    parts += (
        [f"Contours: reference {REFERENCE_COLOUR}, predictions in the colour of their class."]
        if "overlay_best.png" in pictures
        else []
    )
    parts += ["## Undefined and infinite values", content["left_out"]]
    parts += [content["undefined"].markdown()] if content["undefined"].rows else []
    parts += ["## Where the numbers come from", content["about"].markdown()]
    parts += [f"{what} ({len(names)}): {', '.join(names)}" for what, names in content["unmatched"].items() if names]
    parts += ["## What the numbers mean", *(f"- **{name}**: {meaning}" for name, meaning in DEFINITIONS.items())]
    return "\n\n".join(parts) + "\n"
