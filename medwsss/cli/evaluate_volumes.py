"""``medwsss evaluate`` on volumes: NIfTI label files against their references, and the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from medwsss.cli.lines import one_line

if TYPE_CHECKING:
    import torch

    from medwsss.metrics.results import Evaluation, Sources

_NAMES_SHOWN = 10


def evaluate_volumes(
    predictions: Path,
    truth: Path,
    *,
    out: Path,
    task: str | None,
    images: Path | None,
    prediction_codes: str | None,
    truth_codes: str | None,
    device: "torch.device",
    title: str,
) -> None:
    """Dice, confusion ratio, surfaces and volumes, beside masks without training."""
    from medwsss.engine.cases import pair_cases
    from medwsss.engine.evaluate import evaluate_cases
    from medwsss.engine.quality import read_quality
    from medwsss.reports.html import write_report

    pairing = pair_cases(
        predictions, truth, task=task, images=images, prediction_codes=prediction_codes, truth_codes=truth_codes
    )
    estimates = read_quality(predictions)
    evaluation = evaluate_cases(pairing.cases, pairing.task, device=device, estimates=estimates)
    page = write_report(evaluation, out, sources=pairing.sources, title=title)
    for line in terminal_lines(evaluation, pairing.sources):
        typer.echo(line)
    typer.echo(f"Report: {page}")


def terminal_lines(evaluation: "Evaluation", sources: "Sources") -> list[str]:
    """The report in a few lines: summary, verdicts, and every file that was not compared."""
    from medwsss.reports.summary import summary_sentences, verdicts

    lines = [*summary_sentences(evaluation), *(verdict.sentence for verdict in verdicts(evaluation))]
    unmatched = {
        "predictions without reference": sources.unmatched_predictions,
        "references without prediction": sources.unmatched_references,
    }
    lines += [f"Not compared, {what}: {_listed(names)}" for what, names in unmatched.items() if names]
    return [*map(one_line, lines), f"Numbers in the predictions: {sources.prediction_codes}."]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    rest = f" and {more} more, all named in the report" if more > 0 else ""
    return f"{len(names)} ({', '.join(names[:_NAMES_SHOWN])}{rest})"


def refuse_photographs(predictions: Path) -> None:
    """Volumes are the default: who forgot ``--dataset`` is told so.

    Raises:
        ConfigError: the folder holds label PNGs and no volume.
    """
    from medwsss.errors import ConfigError
    from medwsss.volumes.io import ITK_SUFFIXES, NIFTI_SUFFIXES

    volumes = (path for path in predictions.rglob("*") if path.name.lower().endswith((*NIFTI_SUFFIXES, *ITK_SUFFIXES)))
    pictures = (path for path in predictions.glob("*") if path.name.lower().endswith(".png"))
    if any(pictures) and not any(volumes):
        raise ConfigError(f"{predictions} holds label PNGs: pass --dataset voc or --dataset coco")
