"""``medwsss tags``: image-level labels from masks, so that training needs the masks no more."""

from pathlib import Path
from typing import Annotated

import typer


def tags(
    root: Annotated[Path, typer.Argument(help="ACDC folder with masks.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    task: Annotated[str, typer.Option(help="heart, lv or multi.")] = "heart",
) -> None:
    """Write which classes each slice shows as CSV (patient, phase, slice, one column per class)."""
    from medwsss.cli.options import chosen_task
    from medwsss.data.acdc import find_studies, reference_masks
    from medwsss.data.image_labels import image_labels_from_masks, write_image_labels

    labels = image_labels_from_masks(find_studies(root), reference_masks(root), chosen_task(task))
    write_image_labels(labels, out)
    typer.echo(f"tags of {len(labels.tags)} slices are in {out}; train with --tags {out}")
