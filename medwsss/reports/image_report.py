"""The report on label images as files: one self-contained HTML page, the same in Markdown, numbers as CSV and JSON."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from medwsss.metrics.image_results import IMAGE_METRICS, ImageEvaluation, ImageSummary
from medwsss.reports.html import encoded_pictures, render_page, replaced_report
from medwsss.reports.image_figures import iou_figure
from medwsss.reports.image_tables import DEFINITIONS, ImageContent, bullets, image_content
from medwsss.reports.summary import versions
from medwsss.reports.tables import markdown_page

IMAGE_REPORT_FILES = ("per_class.csv", "summary.json", "report.md", "report.html")
_PICTURE = "iou.png"
_TEMPLATE = "image_report.html.j2"
_CAPTION = (
    "Each bar is the union of prediction and reference of a class: what both say (IoU, as number), what only the "
    "prediction says (FP), what only the reference says (FN)."
)


def write_image_report(
    evaluation: ImageEvaluation,
    out_dir: Path,
    *,
    title: str,
    notes: Mapping[str, str] | None = None,
    selected: Sequence[str] = (),
    beside: Mapping[str, ImageEvaluation] | None = None,
) -> Path:
    """Write per_class.csv, summary.json, report.md with its picture, and report.html, which needs no other file.

    An earlier report is replaced when this one is complete. Returns the path of report.html.

    Args:
        evaluation: what to report.
        out_dir: folder for the report; other files in it stay.
        title: of the page.
        notes: printed as they are, such as the method or the run folder.
        selected: classes whose confusion ratio and IoU stand in a table of their own (UniA, Table VI).
        beside: other methods in that table, by their names.

    Raises:
        ValueError: a selected class is none of the label set, or a method beside has another label set.
        OutputError: ``out_dir`` cannot be written or is a file.
    """
    notes, beside = notes or {}, beside or {}
    _check(evaluation, selected, beside)
    content = image_content(evaluation, title=title, notes=notes, selected=selected, beside=beside)
    picture = iou_figure(evaluation)
    numbers = json.dumps(image_json(evaluation, notes, beside), indent=2, ensure_ascii=False, allow_nan=False)
    with replaced_report(out_dir, (_PICTURE, *IMAGE_REPORT_FILES)) as folder:
        (folder / _PICTURE).write_bytes(picture)
        per_class_frame(evaluation).to_csv(
            folder / "per_class.csv", index=False, na_rep="nan", float_format="%.9g", lineterminator="\n"
        )
        (folder / "summary.json").write_text(numbers + "\n", encoding="utf-8")
        (folder / "report.md").write_text(image_markdown(content), encoding="utf-8")
        (folder / "report.html").write_text(image_html(content, picture), encoding="utf-8")
    return out_dir / "report.html"


def per_class_frame(evaluation: ImageEvaluation) -> pd.DataFrame:
    """A row per class, background first: scores as fractions, then the pixel counts they come from."""
    return pd.DataFrame(
        {
            "label": range(evaluation.labels.num_classes),
            "class": evaluation.class_names,
            **{metric: evaluation.per_class[metric] for metric in IMAGE_METRICS if metric in evaluation.per_class},
            "tp": evaluation.matrix.diagonal(),
            "fp": evaluation.false_positives,
            "fn": evaluation.false_negatives,
            "undecided": evaluation.undecided,
        }
    )


def image_json(
    evaluation: ImageEvaluation, notes: Mapping[str, str], beside: Mapping[str, ImageEvaluation]
) -> dict[str, Any]:
    """All numbers, ready for strict JSON: undefined and infinite ones are null, and counted beside it."""
    sources = evaluation.sources
    return {
        "labels": evaluation.labels.name,
        "classes": list(evaluation.class_names),
        "images": evaluation.images,
        **_scores(evaluation),
        "beside": {name: _scores(other) for name, other in beside.items()},
        "sources": {"predictions": sources.predictions, "references": sources.references, "list": sources.part},
        "unmatched": {
            "predictions": list(sources.unmatched_predictions),
            "references": list(sources.unmatched_references),
        },
        "absent": list(evaluation.absent),
        "device": evaluation.device,
        "versions": versions(),
        "notes": dict(notes),
    }


def image_markdown(content: ImageContent) -> str:
    """The page in Markdown; its picture is a file beside it."""
    return markdown_page(_markdown_parts(content))


def image_html(content: ImageContent, picture: bytes) -> str:
    """The page, with its style and picture inside."""
    png = encoded_pictures({_PICTURE: picture})[_PICTURE]
    return render_page(_TEMPLATE, content=content, picture_png=png, caption=_CAPTION, definitions=DEFINITIONS)


def _markdown_parts(content: ImageContent) -> Iterator[str]:
    yield from (f"# {content.title}", content.kicker, " ".join(content.sentences))
    yield f"**{content.undecided}**" if content.undecided else ""
    yield bullets(content.remarks)
    yield from ("## Summary", content.summary.markdown())
    if content.comparison is not None:
        yield from ("## Confusion ratio and IoU", content.comparison.markdown())
    yield from ("## Classes", content.per_class.markdown(), f"![IoU of every class]({_PICTURE})", _CAPTION)
    yield from ("## Where the numbers come from", content.about.markdown())
    yield from (f"{what} ({len(names)}): {', '.join(names)}" for what, names in content.unmatched.items())
    yield from ("## What the numbers mean", bullets(f"**{name}**: {meaning}" for name, meaning in DEFINITIONS.items()))


def _scores(evaluation: ImageEvaluation) -> dict[str, Any]:
    return {
        "with_background": _summary(evaluation.with_background),
        "without_background": _summary(evaluation.without_background),
        "per_class": {
            name: {metric: _finite(float(values[row])) for metric, values in evaluation.per_class.items()}
            for row, name in enumerate(evaluation.class_names)
        },
        "pixels": evaluation.pixels,
        "undecided_pixels": int(evaluation.undecided.sum()),
        "undecided_share": _finite(evaluation.undecided_share),
    }


def _summary(summary: ImageSummary) -> dict[str, float | int | None]:
    return {name: _finite(value) for name, value in (asdict(summary) | {"j_and_f": summary.j_and_f}).items()}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _check(evaluation: ImageEvaluation, selected: Sequence[str], beside: Mapping[str, ImageEvaluation]) -> None:
    unknown = [name for name in selected if name not in evaluation.class_names]
    if unknown:
        raise ValueError(f"selected holds {unknown[0]!r}, which is no class of {evaluation.labels.name}")
    others = [name for name, other in beside.items() if other.labels != evaluation.labels]
    if others:
        raise ValueError(f"beside: {others[0]} has another label set than {evaluation.labels.name}")
