"""``medwsss report``: what predictions say where there is no reference."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    predictions: Annotated[Path, typer.Argument(metavar="PRED", help="Folder of label files of volumes.")],
    out: Annotated[Path, typer.Option(help="Folder for the report.")],
    images: Annotated[
        Path | None,
        typer.Option(help="ACDC folder or folder of images: pictures, phases, groups, height and weight."),
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Segmentation report",
    task: Annotated[
        str | None, typer.Option(help="heart, lv or multi; found from the predictions when not given.")
    ] = None,
    prediction_codes: Annotated[
        str | None, typer.Option(help='What the numbers in the files mean, such as "1=LV,2=MYO,3=RV".')
    ] = None,
) -> None:
    """Volumes, clinical numbers per patient, and what to review first, without any mask."""
    from medwsss.cli.options import check_folder, chosen_task
    from medwsss.engine.unscored import describe_predictions
    from medwsss.reports.unscored import write_unscored

    if task is not None:
        chosen_task(task)
    check_folder(out)
    found = describe_predictions(predictions, images=images, task=task, codes=prediction_codes)
    notes = {"predictions": str(predictions), "images": "none" if images is None else str(images)}
    page = write_unscored(found, out, title=title, notes=notes)
    typer.echo(f"{found.cases} volumes of {found.patients} patients; nothing was compared with a reference")
    for doubt in found.implausible:
        typer.echo(f"to be looked at: {doubt}")
    typer.echo(f"Report: {page}")
