"""``medwsss seeds``: labels from cardiac motion and anatomy, as a folder that ``--method retrain`` learns from."""

from pathlib import Path
from typing import Annotated

import typer


def seeds(
    root: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="ACDC folder; without it, a phantom stands in.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for labels and confidence maps.")] = None,
    task: Annotated[str, typer.Option(help="heart, lv or multi (RV, MYO, LV).")] = "multi",
    tags: Annotated[
        Path | None, typer.Option(help="Table of image-level labels; by default derived from the masks (research).")
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Clear no class by its tag.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting (cine.wall.lung=0.3)."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interruption stopped.")] = False,
) -> None:
    """Label the heart of every patient from its ED and ES frames: it moves, blood is bright, muscle is conserved.

    No mask and no network takes part. A study that the prior does not fit is named, and its labels are 255.
    """
    from medwsss.cli.options import check_folder, chosen_task
    from medwsss.cli.progress import progress
    from medwsss.cli.train import data_root, given, loaded_data
    from medwsss.config.loading import load_config, override_layer
    from medwsss.data.loading import VolumeData
    from medwsss.data.pseudo_folder import RECORD
    from medwsss.engine.seed_folder import write_seed_folder
    from medwsss.errors import ConfigError

    if out is None:
        raise ConfigError("seeds need a folder: pass --out DIR")
    chosen_task(task)
    flags = {"data": given(root=root, task=task, tags=tags)}
    config = load_config([flags, override_layer(set_ or [])])
    check_folder(out)
    data = loaded_data(config.data, data_root(config.data), tags=None)
    if not isinstance(data, VolumeData):
        raise ConfigError("cine seeds need volumes: data.name must be acdc")
    with progress() as bar:
        without = write_seed_folder(
            data,
            data.studies,
            config.cine,
            out,
            image_labels=None if no_tags else data.image_labels,
            resume=resume,
            watched=lambda studies: bar.track(studies, description="seeding"),
        )
    left_out = f"; without seeds: {', '.join(without)}" if without else ""
    typer.echo(f"seeds of {len(data.studies)} patients in {out} ({RECORD} says of what){left_out}")
