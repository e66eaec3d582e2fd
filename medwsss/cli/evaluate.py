"""``medwsss evaluate``: compare label volumes with their references and write the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from medwsss.metrics.results import Evaluation, Sources

_NAMES_SHOWN = 10


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(metavar="PRED", help="Folder of label files from any program, or one volume.")
    ],
    truth: Annotated[
        Path,
        typer.Argument(metavar="TRUTH", help="Folder of the data set, or of label files named like the predictions."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report.")],
    dataset: Annotated[str, typer.Option(help="acdc (any NIfTI files), voc or coco (any label PNGs).")] = "acdc",
    device: Annotated[str, typer.Option(help="Where pixels are counted: auto, cpu or cuda.")] = "auto",
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Segmentation report",
    task: Annotated[
        str | None, typer.Option(help="Volumes: heart, lv or multi; found from the predictions when not given.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Volumes: ACDC folder or folder of images, for pictures and baselines.")
    ] = None,
    prediction_codes: Annotated[
        str | None, typer.Option(help='Volumes: what the numbers in the predictions mean, such as "1=LV,2=MYO,3=RV".')
    ] = None,
    truth_codes: Annotated[
        str | None, typer.Option(help="Volumes: the same for the references, which hold ACDC codes otherwise.")
    ] = None,
    part: Annotated[
        str | None, typer.Option("--list", help="Photographs: list of images, such as val; every one must be there.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Photographs: classes for a table of FP/TP and IoU, such as bird,boat (UniA, Table VI)."),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="Photographs: predictions of another method in that table; repeatable."),
    ] = None,
    no_contours: Annotated[
        bool, typer.Option("--no-contours", help="Photographs: leave out contour quality, the slow part.")
    ] = False,
) -> None:
    """Compare predictions with references: overlap, confusion ratio, surfaces or contours, and a report."""
    from medwsss.cli.evaluate_images import evaluate_images_command
    from medwsss.cli.options import check_folder, chosen, chosen_task, refuse_options
    from medwsss.data import DATASETS, IMAGE_SETS
    from medwsss.engine.device import resolve_device

    found = resolve_device(device)
    chosen("data set", dataset, DATASETS)
    if dataset in IMAGE_SETS:
        volumes_only = {
            "--task": task,
            "--images": images,
            "--prediction-codes": prediction_codes,
            "--truth-codes": truth_codes,
        }
        refuse_options(f"data set {dataset}", volumes_only)
        check_folder(out)
        evaluate_images_command(
            predictions,
            truth,
            dataset=dataset,
            part=part,
            out=out,
            device=found,
            classes=classes,
            beside=beside or [],
            contours=not no_contours,
            title=title,
        )
        return
    photographs_only = {"--list": part, "--classes": classes, "--beside": beside, "--no-contours": no_contours}
    refuse_options(f"data set {dataset}", photographs_only)
    if task is not None:
        chosen_task(task)
    check_folder(out)
    evaluate_volumes(
        predictions,
        truth,
        out=out,
        task=task,
        images=images,
        prediction_codes=prediction_codes,
        truth_codes=truth_codes,
        device=found,
        title=title,
    )


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
    from medwsss.reports.html import write_report

    pairing = pair_cases(
        predictions, truth, task=task, images=images, prediction_codes=prediction_codes, truth_codes=truth_codes
    )
    evaluation = evaluate_cases(pairing.cases, pairing.task, device=device)
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
