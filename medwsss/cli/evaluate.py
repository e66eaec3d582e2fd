"""``medwsss evaluate``: compare label volumes with their references and write the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.metrics.results import Evaluation, Sources

_NAMES_SHOWN = 10


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(metavar="PRED", help="Folder of NIfTI label files from any program, or one file.")
    ],
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="ACDC folder, or a folder of NIfTI label files of the same names.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report.")],
    task: Annotated[
        str | None, typer.Option(help="heart, lv or multi; found from the predictions when not given.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where voxels are counted: auto, cpu or cuda.")] = "auto",
    images: Annotated[
        Path | None, typer.Option(help="ACDC folder or folder of images, for pictures and baselines.")
    ] = None,
    prediction_codes: Annotated[
        str | None, typer.Option(help='What the numbers in the predictions mean, such as "1=LV,2=MYO,3=RV".')
    ] = None,
    truth_codes: Annotated[
        str | None, typer.Option(help="The same for the references, which hold ACDC codes otherwise.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Segmentation report",
) -> None:
    """Compare predictions with references: Dice, confusion ratio, surfaces, volumes, beside masks without training."""
    from medwsss.cli.options import check_folder, chosen_task
    from medwsss.engine.cases import pair_cases
    from medwsss.engine.device import resolve_device
    from medwsss.engine.evaluate import evaluate_cases
    from medwsss.reports.html import write_report

    found = resolve_device(device)
    if task is not None:
        chosen_task(task)
    check_folder(out)
    pairing = pair_cases(
        predictions, truth, task=task, images=images, prediction_codes=prediction_codes, truth_codes=truth_codes
    )
    evaluation = evaluate_cases(pairing.cases, pairing.task, device=found)
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
    return [*lines, f"Numbers in the predictions: {sources.prediction_codes}."]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    rest = f" and {more} more, all named in the report" if more > 0 else ""
    return f"{len(names)} ({', '.join(names[:_NAMES_SHOWN])}{rest})"
