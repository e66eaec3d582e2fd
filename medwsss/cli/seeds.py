"""``medwsss seeds``: labels from cardiac motion and anatomy, as a folder that ``--method retrain`` learns from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.config.schema import RunConfig
    from medwsss.data.loading import VolumeData
    from medwsss.data.pseudo_folder import PseudoFolder, PseudoRecord


def seeds(
    root: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="ACDC folder; without it, a phantom stands in.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for labels, confidence maps and pictures.")] = None,
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
    DIR/sheet.png shows all patients with their labels.
    """
    from medwsss.cli.options import check_folder, chosen_task
    from medwsss.cli.progress import progress
    from medwsss.cli.train import given
    from medwsss.config.loading import load_config, override_layer
    from medwsss.data.pseudo_folder import RECORD
    from medwsss.engine.seed_folder import write_seed_folder
    from medwsss.errors import ConfigError
    from medwsss.writing import sole_writer

    if out is None:
        raise ConfigError("seeds need a folder: pass --out DIR")
    chosen_task(task)
    flags = {"data": given(root=root, task=task, tags=tags)}
    config = load_config([flags, override_layer(set_ or [])])
    check_folder(out)
    data = loaded_volumes(config, tagged=not no_tags)
    with sole_writer(out), progress() as bar:
        folder = write_seed_folder(
            data,
            data.studies,
            config.cine,
            out,
            image_labels=None if no_tags else data.image_labels,
            resume=resume,
            watched=lambda made, count: bar.track(made, count, description="seeding"),
        )
        pages = draw_sheets(data, folder)
    typer.echo(f"seeds of {len(data.studies)} patients in {out} ({RECORD} says of what, {pages} shows them)")
    tell_left_out(data, folder.record)


def loaded_volumes(config: "RunConfig", *, tagged: bool) -> "VolumeData":
    """The data set, which must be ACDC or laid out like it; where it is not ``tagged``, no mask and no table is opened.

    Raises:
        ConfigError: it is another one.
    """
    from medwsss.cli.train import data_root, loaded_data
    from medwsss.config.data import AcdcDataConfig, FolderDataConfig
    from medwsss.data.loading import VolumeData, load_untagged_acdc
    from medwsss.errors import ConfigError

    if isinstance(config.data, FolderDataConfig):
        raise ConfigError("medwsss seeds knows ACDC: of your own studies, medwsss train --with cine makes cine seeds")
    if not isinstance(config.data, AcdcDataConfig):
        raise ConfigError("cine seeds need volumes: data.name must be acdc")
    if not tagged:
        return load_untagged_acdc(config.data, data_root(config.data))
    data = loaded_data(config.data, data_root(config.data), tags=None)
    assert isinstance(data, VolumeData)
    return data


def draw_sheets(data: "VolumeData", folder: "PseudoFolder") -> str:
    """Draw every patient with the labels in the folder; the name of the picture, or the names of the first and last."""
    from medwsss.data.study import PHASES, case_id
    from medwsss.data.transforms import working_labels
    from medwsss.reports.seed_sheet import SeedTile, write_sheets
    from medwsss.volumes.io import load_label_volume

    grid, tiles = data.config.grid, []
    for study in data.studies:
        images = tuple(data.cache.stack(study.frames[phase], grid) for phase in PHASES)
        volumes = [load_label_volume(folder.labels_file(case_id(study, phase))) for phase in PHASES]
        labels = tuple(
            working_labels(volume, (image.shape[1], image.shape[2]))
            for volume, image in zip(volumes, images, strict=True)
        )
        left_out = folder.record.left_out.get(case_id(study, PHASES[0]), ())
        tiles.append(SeedTile(study.patient, images, labels, left_out))
    pages = write_sheets(
        tiles, folder.root, phases=PHASES, classes=data.labels.names, spacing_mm=grid.spacing_mm
    )  # fmt: skip
    return pages[0].name if len(pages) == 1 else f"{pages[0].name} to {pages[-1].name}"


def tell_left_out(data: "VolumeData", record: "PseudoRecord") -> None:
    """Name every patient without seeds, those of an earlier call, too."""
    from medwsss.data.study import PHASES, case_id

    without = [study.patient for study in data.studies if case_id(study, PHASES[0]) in record.left_out]
    if without:
        typer.echo(f"without seeds: {len(without)} of {len(data.studies)}: {', '.join(without)}")
