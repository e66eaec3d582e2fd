"""The report on predictions without references: volumes, clinical numbers, and what to review first."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from medwsss.metrics.clinical import QUANTITIES, Quantity
from medwsss.metrics.results import Unscored
from medwsss.reports.clinical import CLINICAL_DEFINITIONS
from medwsss.reports.figures import class_colours
from medwsss.reports.html import encoded_pictures, render_page, replaced_report
from medwsss.reports.model_card import LIMITS, citations
from medwsss.reports.overlay_figure import maps_caption, overlay_figure
from medwsss.reports.summary import NOT_A_DEVICE, plain_json, versions
from medwsss.reports.tables import Cell, Table, markdown_page
from medwsss.spreadsheets import without_formulas

UNSCORED_FILES = ("volumes.csv", "clinical.csv", "summary.json", "report.md", "report.html")
_PICTURES = ("overlay_lowest.png", "overlay_median.png", "overlay_highest.png")
_TEMPLATE = "unscored.html.j2"
_OF_ONE_PATIENT = ("EDV, ESV", "SV, EF", "LV mass", "per m²")
MOST_SHOWN = 15
"""Volumes in the list of those to review first; quality.csv has all."""
ESTIMATE = (
    "The estimate is the Dice that the probabilities expect. It is too high as a number, since networks are surer than "
    "they should be; its order says what to look at first. The lowest come first."
)


def write_unscored(found: Unscored, out: Path, *, title: str, notes: Mapping[str, str]) -> Path:
    """Write volumes.csv, clinical.csv, summary.json, report.md and report.html, in place of earlier ones.

    ``notes`` say where the predictions come from. Returns the path of report.html, which needs no other file.

    Raises:
        OutputError: ``out`` cannot be written or is a file.
    """
    pictures = {f"overlay_{overlay.rank}.png": overlay_figure(overlay, found.classes) for overlay in found.overlays}
    content = unscored_content(found, title=title, notes=notes)
    with replaced_report(out, (*_PICTURES, *UNSCORED_FILES)) as folder:
        for name, png in pictures.items():
            (folder / name).write_bytes(png)
        without_formulas(found.volumes).to_csv(folder / "volumes.csv", index=False, float_format="%.9g")
        if content["clinical"].rows:
            without_formulas(found.clinical.dropna(axis="columns", how="all").reset_index()).to_csv(
                folder / "clinical.csv", index=False, na_rep="nan", float_format="%.9g"
            )
        numbers = json.dumps(unscored_json(found, notes), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(numbers + "\n", encoding="utf-8")
        (folder / "report.md").write_text(_markdown(content, pictures), encoding="utf-8")
        page = render_page(_TEMPLATE, content=content, pictures=encoded_pictures(pictures))
        (folder / "report.html").write_text(page, encoding="utf-8")
    return out / "report.html"


def unscored_content(found: Unscored, *, title: str, notes: Mapping[str, str]) -> dict[str, Any]:
    """What the report says, in order, but the pictures."""
    about = {**notes, "versions": ", ".join(f"{name} {version}" for name, version in versions().items())}
    return {
        "title": title,
        "kicker": f"medwsss {versions()['medwsss']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "sentence": f"{found.cases} volumes of {found.patients} patients were segmented, task {found.task} "
        f"({', '.join(found.classes)}). No reference was compared: nothing on this page says how good they are, but it "
        "says which of them to look at first.",
        "not_a_device": NOT_A_DEVICE,
        "review": review_table(found),
        "estimate": ESTIMATE,
        "clinical": clinical_table(found.clinical),
        "implausible": found.implausible,
        "clinical_definitions": {name: CLINICAL_DEFINITIONS[name] for name in _OF_ONE_PATIENT},
        "overlays": [{"rank": o.rank, "case": o.case, "estimate": f"{o.dice:.2f}"} for o in found.overlays],
        "maps": maps_caption(found.overlays),
        "colours": class_colours(found.classes),
        "about": Table(("What", "Value"), tuple((Cell(k), Cell(v)) for k, v in about.items()), words=True),
        "limits": LIMITS,
        "citations": citations(notes.get("method", "")),
    }


def review_table(found: Unscored) -> Table:
    """The volumes of lowest estimate, with what was found in them."""
    rows = tuple(
        (Cell(str(row["case"])), Cell(f"{row['estimate']:.2f}"), Cell(str(row["findings"]) or "–"))
        for row in found.estimates.head(MOST_SHOWN).to_dict("records")
    )
    return Table(("Volume", "Estimate", "Findings"), rows, words=True)


def clinical_table(values: pd.DataFrame) -> Table:
    """A line per patient with the quantities that some patient has; per square metre where any surface is known."""
    shown = [(quantity.title, quantity.name) for quantity in QUANTITIES if _known(values, quantity.name)]
    shown += [(_indexed(quantity), f"{quantity.name} per m2") for quantity in QUANTITIES if quantity.indexed
              and quantity.name.endswith(("EDV", "mass")) and _known(values, f"{quantity.name} per m2")]  # fmt: skip
    if not shown:
        return Table(("Patient",), ())
    rows = tuple(
        (Cell(str(patient)), *(Cell(_number(row[column])) for _, column in shown)) for patient, row in values.iterrows()
    )
    return Table(("Patient", *(title for title, _ in shown)), rows)


def unscored_json(found: Unscored, notes: Mapping[str, str]) -> dict[str, Any]:
    """All numbers, ready for strict JSON: undefined ones are null."""
    plain: dict[str, Any] = plain_json(
        {
            "task": found.task,
            "classes": list(found.classes),
            "counts": {"cases": found.cases, "patients": found.patients},
            "volumes": found.volumes.to_dict("records"),
            "clinical": {str(patient): row.to_dict() for patient, row in found.clinical.iterrows()},
            "estimates": found.estimates.to_dict("records"),
            "implausible": list(found.implausible),
            "notes": dict(notes),
            "versions": versions(),
        }
    )
    return plain


def _known(values: pd.DataFrame, column: str) -> bool:
    return column in values and bool(values[column].notna().any())


def _indexed(quantity: Quantity) -> str:
    return f"{quantity.name} [{quantity.unit}/m²]"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}".replace("-", "−")


def _markdown(content: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    parts = [f"# {content['title']}", content["kicker"], content["sentence"], f"> {content['not_a_device']}"]
    if content["review"].rows:
        parts += ["## Review these first", content["estimate"], content["review"].markdown()]
    parts += [content["maps"]] if content["maps"] else []
    parts += [f"![{name.removesuffix('.png')}]({name})" for name in pictures]
    if content["clinical"].rows:
        definitions = "\n".join(f"- **{name}**: {meaning}" for name, meaning in content["clinical_definitions"].items())
        parts += ["## Clinical numbers", content["clinical"].markdown(), definitions]
    if content["implausible"]:
        parts += ["To be looked at, because no heart does it:", "\n".join(f"- {one}" for one in content["implausible"])]
    parts += ["## Where the numbers come from", content["about"].markdown()]
    parts += ["## Intended use and limits", "\n".join(f"- {limit}" for limit in content["limits"])]
    parts += ["## How to cite", "\n".join(f"- {citation}" for citation in content["citations"])]
    return markdown_page(parts)
