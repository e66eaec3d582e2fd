"""``medwsss seeds``: labels from cardiac motion and anatomy, as a folder that ``--method retrain`` learns from."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.config.cine import CineConfig
    from medwsss.config.schema import RunConfig
    from medwsss.data.acdc import Study
    from medwsss.data.image_labels import ImageLabels
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
    from medwsss.cli.train import given
    from medwsss.config.loading import load_config, override_layer
    from medwsss.data.pseudo_folder import RECORD, claim_pseudo_folder, write_pseudo_record
    from medwsss.errors import ConfigError

    if out is None:
        raise ConfigError("seeds need a folder: pass --out DIR")
    chosen_task(task)
    flags = {"data": given(root=root, task=task, tags=tags)}
    config = load_config([flags, override_layer(set_ or [])])
    check_folder(out)
    data = loaded_volumes(config)
    record = record_of(config, data, tagged=not no_tags)
    folder = claim_pseudo_folder(out, record, maps=(), resume=resume)
    folder = seeded(data, folder, config.cine, image_labels=None if no_tags else data.image_labels)
    pages = draw_sheets(data, folder)
    write_pseudo_record(out, folder.record)
    typer.echo(f"seeds of {len(data.studies)} patients in {out} ({RECORD} says of what, {pages} shows them)")
    tell_left_out(data, folder.record)


def loaded_volumes(config: "RunConfig") -> "VolumeData":
    """The data set, which must be one of volumes.

    Raises:
        ConfigError: it is one of photographs.
    """
    from medwsss.cli.train import data_root, loaded_data
    from medwsss.data.loading import VolumeData
    from medwsss.errors import ConfigError

    data = loaded_data(config.data, data_root(config.data), tags=None)
    if not isinstance(data, VolumeData):
        raise ConfigError("cine seeds need volumes: data.name must be acdc")
    return data


def record_of(config: "RunConfig", data: "VolumeData", *, tagged: bool) -> "PseudoRecord":
    """What is going to be made."""
    from medwsss.data.acdc import PHASES, case_id
    from medwsss.data.pseudo_folder import PseudoRecord

    return PseudoRecord(
        dataset=config.data.name,
        task=data.labels.name,
        classes=data.labels.names,
        split_hash=None,
        suffix=".nii.gz",
        names=tuple(case_id(study, phase) for study in data.studies for phase in PHASES),
        provenance={
            "source": "cine",
            "data": data.source,
            "tags": data.tags_source if tagged else "none",
            "settings": config.cine.model_dump(mode="json"),
        },
    )


def seeded(
    data: "VolumeData", folder: "PseudoFolder", config: "CineConfig", *, image_labels: "ImageLabels | None"
) -> "PseudoFolder":
    """The folder with the seeds of every study that it did not hold yet; a reason is noted before its labels."""
    from medwsss.cli.progress import progress
    from medwsss.data.acdc import PHASES, case_id
    from medwsss.data.pseudo_folder import note_left_out
    from medwsss.engine.seeds import seed_maker, write_study_seeds
    from medwsss.engine.workers import available_cores, spread
    from medwsss.errors import MedwsssWarning

    left = [study for study in data.studies if not _complete(study, folder)]
    make = seed_maker(left, data, config, image_labels=image_labels)
    with progress() as bar:
        results = bar.track(spread(make, len(left), available_cores(), forked=True), len(left), description="seeding")
        for study, made in zip(left, results, strict=True):
            for reason in made.doubts:
                warnings.warn(f"{study.patient} gets no cine seeds: {reason}", MedwsssWarning, stacklevel=1)
            if made.doubts:
                folder = note_left_out(folder, [case_id(study, phase) for phase in PHASES], made.doubts)
            write_study_seeds(made, study, folder)
    return folder


def draw_sheets(data: "VolumeData", folder: "PseudoFolder") -> str:
    """Draw every patient with the labels in the folder; the name of the picture, or the names of the first and last."""
    from medwsss.data.acdc import PHASES, case_id
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
    from medwsss.data.acdc import PHASES, case_id

    without = [study.patient for study in data.studies if case_id(study, PHASES[0]) in record.left_out]
    if without:
        typer.echo(f"without seeds: {len(without)} of {len(data.studies)}: {', '.join(without)}")


def _complete(study: "Study", folder: "PseudoFolder") -> bool:
    from medwsss.data.acdc import PHASES, case_id

    return all(folder.labels_file(case_id(study, phase)).is_file() for phase in PHASES)
