"""``medwsss masks``: the reference masks of a data set of photographs as label PNGs, written once."""

from pathlib import Path
from typing import Annotated

import typer


def masks(
    root: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder for the label PNGs.")],
    part: Annotated[str, typer.Option("--list", help="List of images, such as val.")],
    dataset: Annotated[str, typer.Option(help="coco or voc.")] = "coco",
) -> None:
    """Write the masks of a list as label PNGs (COCO: rasterised from its annotations); those there are left alone."""
    from medwsss.cli.options import check_folder, chosen
    from medwsss.cli.progress import progress
    from medwsss.data import IMAGE_SETS
    from medwsss.data.image_files import write_label_image

    chosen("data set", dataset, IMAGE_SETS)
    check_folder(out)
    image_set = IMAGE_SETS[dataset](root)
    names = [name for name in image_set.names(part) if image_set.has_mask(name)]
    missing = [name for name in names if not (out / f"{name}.png").exists()]
    with progress() as bar:
        for name in bar.track(missing, description="masks"):
            write_label_image(image_set.mask(name), out / f"{name}.png")
    typer.echo(f"{len(missing)} masks written to {out}, {len(names) - len(missing)} were there")
