"""``medwsss export``: what other programs read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.data.pseudo_folder import PseudoFolder
    from medwsss.export.nnunet import NnunetCase
    from medwsss.labels import LabelSet

export = typer.Typer(help="Hand data and models to other programs.", no_args_is_help=True, rich_markup_mode=None)


@export.callback()
def _several() -> None:
    """Hand data and models to other programs."""


@export.command()
def nnunet(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="Folder that medwsss seeds or pseudo-label wrote, of volumes.")
    ],
    root: Annotated[Path, typer.Option(help="ACDC folder with the images, or your studies with their table.")],
    out: Annotated[Path, typer.Option(help="Folder in which DatasetNNN_NAME appears, such as nnUNet_raw.")],
    number: Annotated[int, typer.Option(help="NNN, 1 to 999.")] = 501,
    name: Annotated[str, typer.Option(help="NAME, of letters and digits.")] = "Heart",
    confidence: Annotated[float, typer.Option(min=0.0, max=1.0, help="Pixels of less weight are ignored.")] = 0.5,
    tags: Annotated[
        Path | None, typer.Option(help="Table of image-level labels: slices that show no class become background.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts of splits_final.json, by patient.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the draw of the parts.")] = 0,
) -> None:
    """Write a training set for nnU-Net v2: confident pixels as classes, uncertain ones as its label "ignore"."""
    from medwsss.cli.options import check_folder
    from medwsss.cli.progress import progress
    from medwsss.data import VOLUME_SETS
    from medwsss.data.pseudo_folder import RECORD, PseudoFolder, read_pseudo_record
    from medwsss.errors import DatasetError
    from medwsss.export.nnunet import dataset_folder, write_nnunet

    if not (labels / RECORD).is_file():
        raise DatasetError(f"{labels} holds no complete pseudo-labels (no {RECORD}): make them with medwsss seeds")
    folder = PseudoFolder(labels, read_pseudo_record(labels / RECORD))
    if folder.record.dataset not in VOLUME_SETS:
        raise DatasetError(f"{labels} was made of {folder.record.dataset}: nnU-Net data sets are made of volumes")
    target = dataset_folder(out, number=number, name=name)
    check_folder(target)
    cases = nnunet_cases(folder, root, tags)
    with progress() as bar:
        ignored = write_nnunet(
            cases, label_set(folder), target, confidence=confidence, folds=folds, seed=seed,
            watched=lambda found, count: bar.track(found, count, description="exporting"),
        )  # fmt: skip
    left_out = len(folder.record.names) - len(cases)
    more = f"; {left_out} volumes without labels are left out" if left_out else ""
    typer.echo(f"{len(cases)} volumes in {target}, {100 * ignored:.1f} % of their voxels are ignored{more}")
    typer.echo(
        f"Next: nnUNetv2_plan_and_preprocess -d {number} --verify_dataset_integrity, and copy splits_final.json into "
        "the folder of the same name below nnUNet_preprocessed, so that no patient is on two sides."
    )


@export.command()
def bundle(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run on volumes.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle, not there yet or empty.")],
    checkpoint: Annotated[str, typer.Option(help="last or best.")] = "last",
) -> None:
    """Write a MONAI bundle, which runs with python -m monai.bundle run and gives what medwsss predict gives."""
    from medwsss.cli.options import check_folder
    from medwsss.config.data import VolumeDataConfig
    from medwsss.engine.run_folder import load_method, open_run
    from medwsss.errors import ConfigError
    from medwsss.export.bundle import write_bundle

    folder, config = open_run(run)
    if not isinstance(config.data, VolumeDataConfig):
        raise ConfigError("a bundle segments volumes: this run was trained on photographs")
    check_folder(out)
    labels = config.data.segmented.labels
    method = load_method(folder, config, labels, checkpoint=checkpoint)
    length = f"{config.training.iterations} iterations, batch {config.training.batch_size}"
    about = {
        "Method": config.method.name,
        "Training": f"{length}, from image-level labels",
        "Checkpoint": checkpoint,
        "Working grid": f"{config.data.grid.spacing_mm} mm in plane",
    }
    write_bundle(config, labels, method, out, about=about)
    typer.echo(f"MONAI bundle in {out}; docs/README.md says how to run it")


def nnunet_cases(folder: "PseudoFolder", root: Path, tags: Path | None) -> "list[NnunetCase]":
    """The volumes of a folder of pseudo-labels that have labels, with their images in ``root``.

    Raises:
        DatasetError: ``root`` lacks one of them, or none has labels.
        ImageLabelsError: the table of tags cannot be read.
    """
    from medwsss.data.acdc import find_studies
    from medwsss.data.layouts import study_set
    from medwsss.data.study import case_id
    from medwsss.errors import DatasetError
    from medwsss.export.nnunet import NnunetCase

    known = study_set(root)
    studies = find_studies(root) if known is None else known.studies
    images = {case_id(study, phase): (study, phase) for study in studies for phase in study.frames}
    names = [name for name in folder.record.names if name not in folder.record.left_out]
    missing = [name for name in names if name not in images]
    if missing:
        message = f"{root} lacks {len(missing)} volumes of {folder.root}, first {missing[0]}"
        raise DatasetError(f"{message}: pass the data set that the labels were made of as --root")
    if not names:
        raise DatasetError(f"no volume of {folder.root} has labels: see left_out in its pseudo.json")
    empty = {} if tags is None else _empty_slices(tags, label_set(folder))
    return [
        NnunetCase(
            name, study.patient, study.group, study.frames[phase], folder.labels_file(name), folder.weights_file(name),
            empty.get((study.patient, phase), ()),
        )
        for name in names
        for study, phase in [images[name]]
    ]  # fmt: skip


def label_set(folder: "PseudoFolder") -> "LabelSet":
    """The classes of a folder of pseudo-labels."""
    from medwsss.labels import LabelSet

    return LabelSet(folder.record.task, tuple(folder.record.classes))


def _empty_slices(tags: Path, labels: "LabelSet") -> Mapping[tuple[str, str], tuple[int, ...]]:
    """By patient and phase, the slices whose tags are all 0."""
    from medwsss.data.image_labels import read_tag_table

    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for key, shown in read_tag_table(tags, labels).tags.items():
        if not any(shown):
            found[key.patient, key.phase] = (*found.get((key.patient, key.phase), ()), key.index)
    return found
