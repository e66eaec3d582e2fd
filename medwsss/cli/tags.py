"""``medwsss tags``: image-level labels from masks or annotations, so that training needs those no more."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.data.image_labels import ImageLabels
    from medwsss.data.image_set import ImageSet

SOURCES = ("annotations", "masks")


def tags(
    root: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    dataset: Annotated[str, typer.Option(help="acdc, voc or coco.")] = "acdc",
    task: Annotated[str | None, typer.Option(help="Volumes: heart, lv or multi; heart by default.")] = None,
    part: Annotated[str | None, typer.Option("--list", help="Photographs: list of images, such as train_aug.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Photographs: annotations (of objects; the default), masks, or a table.")
    ] = None,
) -> None:
    """Write which classes each slice or photograph shows as CSV (patient, phase, slice, one column per class)."""
    from medwsss.cli.options import chosen, refuse_options, required
    from medwsss.data import DATASETS, IMAGE_SETS
    from medwsss.data.image_labels import write_image_labels
    from medwsss.errors import ConfigError

    chosen("data set", dataset, DATASETS)
    if dataset == "folder":
        raise ConfigError("a folder of your own studies has its table of tags already: pass it to medwsss train --tags")
    if dataset in IMAGE_SETS:
        refuse_options(f"data set {dataset}", {"--task": task})
        labels = photograph_tags(IMAGE_SETS[dataset](root), required("--list", part), source or SOURCES[0])
    else:
        refuse_options(f"data set {dataset}", {"--list": part, "--source": source})
        labels = slice_tags(root, task or "heart")
    write_image_labels(labels, out)
    what = "images" if dataset in IMAGE_SETS else "slices"
    typer.echo(f"tags of {len(labels.tags)} {what} are in {out}; train with --tags {out}")


def slice_tags(root: Path, task: str) -> "ImageLabels":
    """Image-level labels of every slice, from the reference masks."""
    from medwsss.cli.options import chosen_task
    from medwsss.data.acdc import find_studies, reference_masks
    from medwsss.data.image_labels import image_labels_from_masks

    return image_labels_from_masks(find_studies(root), reference_masks(root), chosen_task(task))


def photograph_tags(image_set: "ImageSet", part: str, source: str) -> "ImageLabels":
    """Image-level labels of a list from one source, after a word on what every other source says."""
    names = image_set.names(part)
    found = tags_from(image_set, names, source)
    for other in SOURCES:
        if other != source:
            compare_with(image_set, names, found, source=source, other=other)
    return found


def compare_with(
    image_set: "ImageSet", names: "tuple[str, ...]", found: "ImageLabels", *, source: str, other: str
) -> None:
    """Say on how many images a second source differs, and how many could not be compared."""
    from medwsss.data.photograph_labels import compared, tags_where_possible

    if other == "masks":  # masks made from annotations are no second source
        names = tuple(name for name in names if image_set.has_drawn_mask(name))
    second, failed = tags_where_possible(lambda some: tags_from(image_set, tuple(some), other), names, image_set.labels)
    if not second.tags:
        typer.echo(f"there are no {other} to compare the tags with")
        return
    typer.echo(compared(found, second, source=source, other=other))
    if failed:
        name, reason = next(iter(failed.items()))
        typer.echo(f"{len(failed)} images could not be compared with {other}, first {name}: {reason}", err=True)


def tags_from(image_set: "ImageSet", names: tuple[str, ...], source: str) -> "ImageLabels":
    """Image-level labels from annotations, masks, or a table of that name."""
    from medwsss.cli.options import chosen
    from medwsss.data.photograph_labels import read_photograph_tags, tags_from_masks

    if source == "annotations":
        return image_set.annotated_tags(names)
    if source == "masks":
        return tags_from_masks(image_set, names)
    if not (Path(source).suffix or Path(source).exists()):
        chosen("source or table", source, SOURCES)
    return read_photograph_tags(Path(source), image_set.labels, names)
