"""The report as files: one self-contained HTML page, the same in Markdown, and all numbers as CSV and JSON."""

import base64
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from medwsss.errors import OutputError
from medwsss.metrics.results import AGGREGATIONS, PER_CASE_COLUMNS, Evaluation, Overlay, Sources
from medwsss.reports.clinical import CLINICAL_CAPTION, CLINICAL_DEFINITIONS, bland_altman_figure, clinical_frame
from medwsss.reports.content import Content, report_content
from medwsss.reports.figures import baseline_figure, class_colours, dice_figure, volume_figure
from medwsss.reports.group_figure import GROUPS_CAPTION, group_figure, groups_of
from medwsss.reports.markdown import report_markdown
from medwsss.reports.model_card import LIMITS
from medwsss.reports.overlay_figure import overlay_figure
from medwsss.reports.summary import NOT_A_DEVICE, summary_json
from medwsss.reports.tables import DEFINITIONS, number
from medwsss.reports.trust import TRUST_CAPTION, TRUST_TITLE, trust_figure, trust_sentence
from medwsss.spreadsheets import without_formulas

REPORT_FILES = ("per_case.csv", "clinical.csv", "summary.json", "report.md", "report.html")
_PICTURES = (
    "dice.png", "volumes.png", "baselines.png", "clinical.png", "trust.png", "groups.png",
    "overlay_best.png", "overlay_median.png", "overlay_worst.png",
)  # fmt: skip
_TEMPLATE = "report.html.j2"


def write_report(
    evaluation: Evaluation, out_dir: Path, *, sources: Sources, title: str, notes: Mapping[str, str] | None = None
) -> Path:
    """Write per_case.csv, summary.json, report.md with its pictures, and report.html, which needs no other file.

    clinical.csv is written where there are clinical numbers.

    Everything is made in a temporary folder beside ``out_dir`` and moved when it is complete: an earlier report is
    replaced only then, and other files in ``out_dir`` stay. ``notes`` are printed as they are, such as the method, the
    run folder or the split. Returns the path of report.html.

    Raises:
        OutputError: ``out_dir`` cannot be written or is a file.
    """
    with replaced_report(out_dir, (*_PICTURES, *REPORT_FILES)) as partial:
        _write_files(partial, evaluation, sources, title, notes or {})
    return out_dir / "report.html"


@contextmanager
def replaced_report(out_dir: Path, names: Sequence[str]) -> Iterator[Path]:
    """A temporary folder to write a report in, that takes the place of the one in ``out_dir`` if the block ends well.

    ``names`` are all files that such a report may have: those that were written replace the earlier ones, those that
    were not are removed, and other files in ``out_dir`` stay.

    Raises:
        OutputError: ``out_dir`` cannot be written or is a file, or the block raised ``OSError``.
    """
    folder = out_dir.resolve()
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{out_dir} is a file: choose a folder for the report")
    blocked = [name for name in names if (folder / name).is_dir()]
    if blocked:  # found before the first file is moved, so that no report is half old and half new
        raise OutputError(f"{out_dir / blocked[0]} is a folder where a report has a file: choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as partial:
            yield Path(partial)
            _move(Path(partial), folder, names)
    except OSError as error:
        raise OutputError(
            f"cannot write the report to {out_dir} ({error.strerror or error}): choose another folder"
        ) from error


def _write_files(folder: Path, evaluation: Evaluation, sources: Sources, title: str, notes: Mapping[str, str]) -> None:
    pictures = report_pictures(evaluation)
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
    frame = evaluation.per_case[list(PER_CASE_COLUMNS)]
    without_formulas(frame).to_csv(folder / "per_case.csv", index=False, na_rep="nan", float_format="%.9g")
    if evaluation.clinical.agreement:
        clinical = clinical_frame(evaluation.clinical)
        without_formulas(clinical).to_csv(folder / "clinical.csv", index=False, na_rep="nan", float_format="%.9g")
    summary = json.dumps(summary_json(evaluation, sources, notes), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")
    content = report_content(evaluation, sources, title=title, notes=notes)
    (folder / "report.md").write_text(report_markdown(content, pictures), encoding="utf-8")
    (folder / "report.html").write_text(report_html(content, evaluation, pictures), encoding="utf-8")


def _move(partial: Path, folder: Path, names: Sequence[str]) -> None:
    """Files of this report take the place of an earlier one's; pictures that this one lacks go."""
    folder.mkdir(exist_ok=True)
    for name in names:
        if (partial / name).exists():
            (partial / name).replace(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def report_pictures(evaluation: Evaluation) -> dict[str, bytes]:
    """PNG files of a report by name."""
    pictures = {"dice.png": dice_figure(evaluation), "volumes.png": volume_figure(evaluation)}
    if evaluation.clinical.agreement:
        pictures["clinical.png"] = bland_altman_figure(evaluation.clinical)
    if trust_sentence(evaluation):
        pictures["trust.png"] = trust_figure(evaluation)
    if len(groups_of(evaluation)) > 1:
        pictures["groups.png"] = group_figure(evaluation)
    if evaluation.baselines:
        pictures["baselines.png"] = baseline_figure(evaluation)
    overlays = {_overlay_name(overlay): overlay_figure(overlay, evaluation.classes) for overlay in evaluation.overlays}
    return pictures | overlays


def _overlay_name(overlay: Overlay) -> str:
    return f"overlay_{overlay.rank}.png"


def report_html(content: Content, evaluation: Evaluation, pictures: Mapping[str, bytes]) -> str:
    """The page, with its style and pictures inside."""
    encoded = encoded_pictures(pictures)
    overlays = [
        {
            "rank": overlay.rank,
            "case": overlay.case,
            "dice": number(overlay.dice, "dice"),
            "png": encoded[_overlay_name(overlay)],
        }
        for overlay in evaluation.overlays
    ]
    return render_page(
        _TEMPLATE,
        content=content,
        pictures=encoded,
        overlays=overlays,
        colours=class_colours(evaluation.classes),
        groups_caption=GROUPS_CAPTION,
        meaning=AGGREGATIONS,
        limits=LIMITS,
        trust_title=TRUST_TITLE,
        trust_caption=TRUST_CAPTION,
        clinical_caption=CLINICAL_CAPTION,
        clinical_definitions=CLINICAL_DEFINITIONS,
        definitions=DEFINITIONS,
        not_a_device=NOT_A_DEVICE,
    )


def encoded_pictures(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """PNG files as a page holds them."""
    return {name: base64.b64encode(png).decode("ascii") for name, png in pictures.items()}


def render_page(template: str, **values: Any) -> str:
    """A template of this package with these values, escaped; a value that is missing is an error."""
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page: str = environment.get_template(template).render(**values)
    return page


def _template(name: str) -> str:
    return resources.files("medwsss.reports").joinpath(name).read_text(encoding="utf-8")
