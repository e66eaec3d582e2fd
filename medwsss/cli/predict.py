"""``medwsss predict``: segment volumes with a trained run."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.data.image_labels import ImageLabels
    from medwsss.engine.predict import Item
    from medwsss.labels import LabelSet


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT", help="NIfTI files, folders of them, or ACDC folders.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the label volumes.")],
    frames: Annotated[str, typer.Option(help="For ACDC folders: ed-es, or all frames of the 4D files.")] = "ed-es",
    tags: Annotated[Path | None, typer.Option(help="CSV of image-level labels; not needed.")] = None,
    save: Annotated[
        list[str] | None,
        typer.Option(metavar="MAP", help="Also write probabilities, cams or uncertainty; may be repeated."),
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="last or best.")] = "last",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results of these inputs.")] = False,
) -> None:
    """Segment volumes: label files with the shape, affine and units of the inputs, one per input."""
    from medwsss.cli.options import check_folder, chosen
    from medwsss.cli.progress import progress
    from medwsss.engine.device import resolve_device
    from medwsss.engine.predict import MAPS, claim_outputs, predict_item, write_record
    from medwsss.engine.run_folder import load_method, open_run
    from medwsss.errors import MedwsssError
    from medwsss.labels import ACDC_TASKS

    chosen("frames", frames, ("ed-es", "all"))
    chosen("checkpoint", checkpoint, ("last", "best"))
    maps = [chosen("map", name, MAPS) for name in save or []]
    folder, config = open_run(run)
    found = resolve_device(device)
    check_folder(out)
    labels = ACDC_TASKS[config.data.task].labels
    items = [item for path in inputs for item in find_items(path, frames)]
    image_labels = read_tags(tags, items, labels) if tags else None
    method = load_method(folder, config, labels, checkpoint=checkpoint).to(found)
    claim_outputs(out, items, overwrite=overwrite)
    failed: dict[str, str] = {}
    with progress() as bar:
        for item in bar.track(items, description="predicting"):
            try:
                predict_item(
                    method,
                    item,
                    out,
                    config=config,
                    labels=labels,
                    device=found,
                    image_labels=image_labels,
                    maps=maps,
                )
            except MedwsssError as error:
                failed[item.name] = str(error)
    write_record(out, items, config=config, labels=labels, run=run, checkpoint=checkpoint, tags=tags, failed=failed)
    typer.echo(f"{len(items) - len(failed)} volumes segmented, in {out}")
    for name, reason in failed.items():
        typer.echo(f"error: {name}: {reason}", err=True)
    if failed:
        raise typer.Exit(2)


def find_items(path: Path, frames: str) -> "list[Item]":
    """What one input stands for: a file, the files of a folder, or the frames of an ACDC folder.

    Raises:
        DatasetError: nothing is there.
    """
    from medwsss.data.acdc import find_studies
    from medwsss.engine.predict import file_items, study_items
    from medwsss.errors import DatasetError

    if not path.exists():
        raise DatasetError(f"{path} does not exist")
    is_acdc = path.is_dir() and any(next(path.glob(f"{part}patient*/Info.cfg"), None) for part in ("", "*/"))
    if is_acdc:
        return study_items(find_studies(path), frames="all" if frames == "all" else "ed-es")
    return file_items(path)


def read_tags(path: Path, items: "list[Item]", labels: "LabelSet") -> "ImageLabels":
    """Image-level labels of slices; plain files are looked up by name, with an empty phase.

    The table may name more patients than are predicted; a ``MedwsssWarning`` counts them. Slices that it lacks are an
    error of the item they belong to.
    """
    from medwsss.data.image_labels import read_tag_table
    from medwsss.errors import MedwsssWarning

    table = read_tag_table(path, labels)
    others = sorted({key.patient for key in table.tags} - {item.patient for item in items})
    if others:
        message = f"{path} names {len(others)} patients that are not among the inputs, first {others[0]}: not used"
        warnings.warn(message, MedwsssWarning, stacklevel=2)
    return table
