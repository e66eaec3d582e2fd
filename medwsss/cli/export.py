"""``medwsss export``: what other programs read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.data.pseudo_folder import PseudoFolder
    from medwsss.data.study import Frame
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
    channel: Annotated[
        str, typer.Option(help="What the images are: nnU-Net normalises CT over all of them, anything else one by one.")
    ] = "MRI",
    confidence: Annotated[float, typer.Option(min=0.0, max=1.0, help="Pixels of less weight are ignored.")] = 0.5,
    tags: Annotated[
        Path | None,
        typer.Option(
            help="Table of image-level labels, of slices or of studies: slices that show no class become background."
        ),
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
            cases, label_set(folder), target, channel=channel, confidence=confidence, folds=folds, seed=seed,
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


@export.command("dicom-seg")
def dicom_seg(
    predictions: Annotated[Path, typer.Argument(metavar="PRED", help="Folder that medwsss predict wrote.")],
    images: Annotated[
        Path, typer.Argument(metavar="DATA", help="The DICOM studies: a folder with a table, or one series.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the .dcm files.")],
) -> None:
    """Write DICOM-SEG files beside DICOM images; like those, they name the patient in their headers."""
    from medwsss.cli.options import check_folder
    from medwsss.errors import DatasetError

    check_folder(out)
    sources = dicom_sources(images)
    classes = class_names(predictions)
    written = sum(write_case(predictions, name, source, out, classes) for name, source in sources.items())
    if not written:
        raise DatasetError(f"{predictions} holds no label of a DICOM study of {images} (such as {next(iter(sources))})")
    typer.echo(f"{written} DICOM-SEG files in {out}; their headers name patient and study, as the images' do")


def dicom_sources(images: Path) -> "dict[str, Frame]":
    """The frames of all DICOM studies by the name of their prediction.

    Raises:
        DatasetError: there is none.
    """
    from medwsss.data.layouts import study_set
    from medwsss.data.study import Frame, case_id, cine_case
    from medwsss.errors import DatasetError
    from medwsss.volumes.dicom import is_dicom_folder

    if is_dicom_folder(images):
        return {images.name: Frame(images, None)}
    known = study_set(images)
    studies = () if known is None else known.studies
    found = {case_id(study, phase): frame for study in studies for phase, frame in study.frames.items()}
    found |= {cine_case(study): Frame(study.cine, None) for study in studies if study.cine is not None}
    dicom = {name: frame for name, frame in found.items() if frame.path.is_dir()}
    if not dicom:
        raise DatasetError(f"{images} holds no DICOM study: DICOM-SEG belongs to DICOM images")
    return dicom


def class_names(predictions: Path) -> tuple[str, ...]:
    """The classes that a folder of predictions records.

    Raises:
        DatasetError: it is none of ours.
    """
    from medwsss.data.records import read_record
    from medwsss.engine.predict import RECORD
    from medwsss.errors import DatasetError

    classes = (read_record(predictions / RECORD) or {}).get("classes")
    if not isinstance(classes, list):
        raise DatasetError(f"{predictions} holds no {RECORD} that names classes: pass a folder of medwsss predict")
    return tuple(map(str, classes))


def write_case(predictions: Path, name: str, source: "Frame", out: Path, classes: tuple[str, ...]) -> int:
    """Write the DICOM-SEG of a prediction, one for each time point of a cine, and count them; 0 if there is none."""
    from medwsss.data.study import numbered_case
    from medwsss.export.dicom_seg import write_dicom_seg
    from medwsss.volumes.io import load_label_volume

    path = predictions / f"{name}.nii.gz"
    if not path.is_file():
        return 0
    labels, written = load_label_volume(path), 0
    for frame in range(labels.frames):
        if not labels.frame(frame).array.any():
            typer.echo(f"{name}: nothing was segmented at time point {frame + 1}, no DICOM-SEG", err=True)
            continue
        file = out / f"{numbered_case(name, frame + 1) if labels.frames > 1 else name}.dcm"
        time = frame if labels.frames > 1 else source.time_index or 0
        write_dicom_seg(labels.frame(frame), source.path, file, class_names=classes, frame=time)
        written += 1
    return written


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
    empty = {} if tags is None else _empty_slices(tags, label_set(folder), root)
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


def _empty_slices(tags: Path, labels: "LabelSet", root: Path) -> Mapping[tuple[str, str], tuple[int, ...]]:
    """By patient and phase, the slices whose tags are all 0."""
    from medwsss.data.folder_tags import tags_of_table

    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for key, shown in tags_of_table(tags, labels, root).tags.items():
        if not any(shown):
            found[key.patient, key.phase] = (*found.get((key.patient, key.phase), ()), key.index)
    return found
