"""``medwsss masks``: the reference masks of a data set of photographs as label PNGs, written once."""

import warnings
from pathlib import Path
from typing import Annotated

import typer


def masks(
    root: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder for the label PNGs.")],
    part: Annotated[str, typer.Option("--list", help="List of images, such as val.")],
    dataset: Annotated[str, typer.Option(help="coco or voc.")],
) -> None:
    """Write the masks of a list as label PNGs (COCO: rasterised from its annotations); those there are left alone."""
    from medwsss.cli.options import check_folder, chosen
    from medwsss.cli.progress import progress
    from medwsss.data import IMAGE_SETS
    from medwsss.data.image_files import write_label_image
    from medwsss.errors import DatasetError, MedwsssWarning

    chosen("data set", dataset, IMAGE_SETS)
    check_folder(out)
    image_set = IMAGE_SETS[dataset](root)
    listed = image_set.names(part)
    bare = {name for name in listed if not image_set.has_mask(name)}
    names = [name for name in listed if name not in bare]
    if not names:
        raise DatasetError(f"no image of list {part} has a mask in {image_set.root}: choose another list")
    if bare:
        message = f"{len(bare)} of {len(listed)} images of list {part} have no mask in {image_set.root}"
        warnings.warn(f"{message}, first {min(bare)}: left out", MedwsssWarning, stacklevel=2)
    missing = [name for name in names if not (out / f"{name}.png").exists()]
    with progress() as bar:
        for name in bar.track(missing, description="masks"):
            write_label_image(image_set.mask(name), out / f"{name}.png")
    typer.echo(f"{len(missing)} masks written to {out}, {len(names) - len(missing)} were there")
