"""What a report says, in order, before it becomes HTML or Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from medwsss.metrics.results import Evaluation, Sources
from medwsss.reports.clinical import clinical_table
from medwsss.reports.model_card import citations
from medwsss.reports.overlay_figure import maps_caption
from medwsss.reports.summary import Verdict, left_out_sentence, summary_sentences, verdicts, versions
from medwsss.reports.tables import (
    Cell,
    Table,
    aggregation_tables,
    baseline_table,
    strata_table,
    undefined_table,
)
from medwsss.reports.trust import trust_sentence


@dataclass(frozen=True)
class Content:
    """Sentences and tables of one report."""

    title: str
    kicker: str
    """Program and time."""
    sentences: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    remarks: tuple[str, ...]
    aggregations: Mapping[str, Table]
    baselines: Mapping[str, Table]
    """By structure."""
    clinical: Table
    """Empty where the task has no left ventricle or no patient has both phases."""
    trust: str
    """How well estimates without masks order the volumes; empty without estimates."""
    strata: Mapping[str, Table]
    """By phase and by group, where they are known."""
    maps: str
    """What the rows below the contours are; empty where there are none."""
    left_out: str
    undefined: Table
    about: Table
    citations: tuple[str, ...]
    unmatched: Mapping[str, tuple[str, ...]]


def report_content(evaluation: Evaluation, sources: Sources, *, title: str, notes: Mapping[str, str]) -> Content:
    """Everything but the pictures."""
    strata = {"Phase": evaluation.by_phase, "Group": evaluation.by_group}
    found = verdicts(evaluation)
    return Content(
        title=title,
        kicker=f"medwsss {versions()['medwsss']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        sentences=summary_sentences(evaluation),
        verdicts=found,
        remarks=evaluation.remarks,
        aggregations=aggregation_tables(evaluation),
        baselines={verdict.target: baseline_table(evaluation, verdict.target) for verdict in found},
        clinical=clinical_table(evaluation.clinical),
        trust=trust_sentence(evaluation),
        strata={name: strata_table(scores, name) for name, scores in strata.items() if scores},
        maps=maps_caption(evaluation.overlays),
        left_out=left_out_sentence(evaluation),
        undefined=undefined_table(evaluation.per_case),
        about=about_table(evaluation, sources, notes),
        citations=citations(notes.get("method", "")),
        unmatched={
            "Predictions without reference, not evaluated": sources.unmatched_predictions,
            "References without prediction, not evaluated": sources.unmatched_references,
        },
    )


def about_table(evaluation: Evaluation, sources: Sources, notes: Mapping[str, str]) -> Table:
    """Files, codes, tags, notes and versions: what a reader needs to judge or repeat the numbers."""
    about = {
        **notes,
        "predictions": sources.predictions,
        "references": sources.references,
        "numbers in the predictions": sources.prediction_codes,
        "numbers in the references": sources.reference_codes,
        "image-level labels used at prediction time": sources.tags,
        "checkpoint that predicted": sources.checkpoint,
        "predictions without reference": str(len(sources.unmatched_predictions)),
        "references without prediction": str(len(sources.unmatched_references)),
        "intervals": f"95 %, {evaluation.resamples} bootstrap resamples of {evaluation.patients} patients",
        "counted on": evaluation.device,
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    return Table(("What", "Value"), tuple((Cell(name), Cell(value)) for name, value in about.items()), words=True)
