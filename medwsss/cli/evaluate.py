"""``medwsss evaluate``: compare label files with their references and write the report."""

from pathlib import Path
from typing import Annotated

import typer


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
    from medwsss.cli.evaluate_volumes import evaluate_volumes, refuse_photographs
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
    refuse_options(f"data set {dataset} (photographs need --dataset voc or coco)", photographs_only)
    refuse_photographs(predictions)
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
