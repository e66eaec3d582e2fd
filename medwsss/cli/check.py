"""``medwsss check``: how much image-level tags can teach, and what the data are like, before hours of training."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.data.image_labels import ImageLabels
    from medwsss.engine.survey import Surveyor
    from medwsss.metrics.survey import Finding, Preview, Survey
    from medwsss.metrics.tag_statistics import TagTable
    from medwsss.reports.check_content import Check

PREVIEWS = 5
"""Patients on the picture sheet."""


def check(
    root: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Folder of the data set; without it, a phantom stands in.")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="heart, lv or multi; may be repeated. All that there are tags for by default."),
    ] = None,
    tags: Annotated[
        Path | None, typer.Option(help="Table of image-level labels; by default derived from the masks (research).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for check.json, check.md and pictures in check.png.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON instead of text.")] = False,
    dataset: Annotated[str, typer.Option(help="acdc, voc or coco; of photographs only the tags are checked.")] = "acdc",
    part: Annotated[str | None, typer.Option("--list", help="Photographs: list of images; train by default.")] = None,
) -> None:
    """Say what the tags can teach and what is suspicious about the data, before hours are spent on training.

    Tags can teach a task if every class is missing on at least 10 % of the slices, there and missing on at least 10
    slices and in at least 5 patients, and if no two classes come together on more than 95 % of the slices that show
    either. A task without tags is not taught.

    Exit code: 0 if the tags can teach every task asked for; 1 if the data are fine and the tags cannot; 2 for bad
    input, that is whatever training would refuse: it is listed, and the rest is checked all the same.
    """
    from medwsss.cli.options import check_folder, chosen, chosen_task, refuse_options
    from medwsss.data import DATASETS, IMAGE_SETS
    from medwsss.errors import ConfigError, DatasetError
    from medwsss.reports.check_report import check_json_text, check_text, write_check

    chosen("data set", dataset, DATASETS)
    if dataset == "folder":
        raise ConfigError(
            "check knows ACDC and photographs: of your own studies, medwsss train says what the tags show"
        )
    tasks = tuple(dict.fromkeys(task or ()))
    for name in tasks:
        chosen_task(name)
    if out is not None:
        check_folder(out)
    with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
        if dataset in IMAGE_SETS:
            refuse_options(f"data set {dataset}", {"--task": task})
            found = check_photographs(dataset, root, tags, part or "train")
        else:
            refuse_options(f"data set {dataset}", {"--list": part})
            found = check_volumes(root, tags, tasks, pictures=out is not None)
    typer.echo(check_json_text(found) if json else check_text(found), nl=False)
    if out is not None:
        write_check(found, out)
        typer.echo(f"the same as check.json and check.md, and pictures, are in {out}", err=json)
    if found.refused:
        raise DatasetError(f"{len(found.refused)} findings would stop training, first: {found.refused[0]}")
    if not found.teaches:
        raise typer.Exit(1)


def check_volumes(root: Path | None, tags: Path | None, tasks: Sequence[str], *, pictures: bool) -> "Check":
    """The check of a folder of cine studies."""
    from medwsss.cli.progress import progress
    from medwsss.cli.train import data_root, given
    from medwsss.config.data import VolumeDataConfig
    from medwsss.config.loading import load_config
    from medwsss.data.acdc import patient_folders, reference_masks
    from medwsss.data.image_labels import read_tag_table
    from medwsss.data.slice_cache import SliceCache
    from medwsss.engine.survey import Surveyor
    from medwsss.engine.tag_tables import tasks_of_table
    from medwsss.labels import ACDC_TASKS
    from medwsss.metrics.survey import survey_of
    from medwsss.metrics.tag_statistics import tag_statistics
    from medwsss.reports.check_content import Check

    config = load_config([{"data": given(root=root, tags=tags)}])
    assert isinstance(config.data, VolumeDataConfig)
    names = tasks or (tuple(ACDC_TASKS) if tags is None else tasks_of_table(tags))
    read = {} if tags is None else {name: read_tag_table(tags, ACDC_TASKS[name].labels) for name in names}
    folder = data_root(config.data)
    folders = {path.name: path for path in patient_folders(folder)}
    masks = {} if tags is not None else reference_masks(folder)
    surveyor = Surveyor(SliceCache(config.data.cache_dir), config.data.grid, config.cine, masks)
    with progress() as bar:
        patients = [surveyor.patient(path) for path in bar.track(folders.values(), description="looking")]
    survey = survey_of(str(folder), patients)
    tables, findings = tables_from_csv(survey, read, tags) if tags else tables_from_masks(survey, names)
    return Check(
        source=str(folder),
        tags_source=source_of_tags(tags, masks),
        unit="slices",
        tables=tables,
        statistics=tuple(map(tag_statistics, tables)),
        findings=(*survey.findings, *findings),
        survey=survey,
        least_change=config.cine.doubt.least_change,
        previews=previews(survey, surveyor, folders) if pictures else (),
    )


def tables_from_csv(
    survey: "Survey", read: "Mapping[str, ImageLabels]", tags: Path
) -> "tuple[tuple[TagTable, ...], tuple[Finding, ...]]":
    """The rows of a table for every task, and what does not match the slices."""
    from medwsss.engine.tag_tables import table_from_rows

    made = [table_from_rows(labels, survey, name=name, source=str(tags)) for name, labels in read.items()]
    findings = dict.fromkeys(finding for _, found in made for finding in found)
    return tuple(table for table, _ in made), tuple(findings)


def tables_from_masks(survey: "Survey", names: Sequence[str]) -> "tuple[tuple[TagTable, ...], tuple[Finding, ...]]":
    """The tags of every task from the masks, and which patients lack them where others do not."""
    from medwsss.engine.tag_tables import table_from_masks, without_mask
    from medwsss.labels import ACDC_TASKS
    from medwsss.metrics.survey import Finding

    tables = tuple(table_from_masks(survey, ACDC_TASKS[name]) for name in names)
    bare = without_mask(survey)
    if not bare or not any(patient.present for patient in survey.patients):
        return tables, ()
    text = f"no mask of {len(bare)} patients that fits, first {bare[0]}: their slices have no tags"
    return tables, (Finding("tags", text),)


def source_of_tags(tags: Path | None, masks: Mapping[str, Path]) -> str:
    """Where tags come from, in words."""
    if tags is not None:
        return f"table {tags}"
    if not masks:
        return "neither a mask nor a table (pass --tags CSV); geometry and motion were checked"
    return "derived from the reference masks (research)"


def previews(survey: "Survey", surveyor: "Surveyor", folders: Mapping[str, Path]) -> "tuple[Preview, ...]":
    """Middle slices of a handful of patients, from the one that moves most to the one that moves least."""
    from medwsss.metrics.survey import shown_patients

    return tuple(surveyor.preview(folders[patient]) for patient in shown_patients(survey, PREVIEWS))


def check_photographs(dataset: str, root: Path | None, tags: Path | None, part: str) -> "Check":
    """The check of the tags of a list of photographs; no image is opened."""
    from medwsss.cli.tags import SOURCES, tags_from
    from medwsss.data import IMAGE_SETS
    from medwsss.engine.tag_tables import table_of_photographs
    from medwsss.errors import ConfigError
    from medwsss.metrics.tag_statistics import tag_statistics
    from medwsss.reports.check_content import Check

    if root is None:
        raise ConfigError(f"{dataset} needs the folder of the data set: pass DATA")
    image_set = IMAGE_SETS[dataset](root)
    names = image_set.names(part)
    labels = tags_from(image_set, names, SOURCES[0] if tags is None else str(tags.absolute()))
    table = table_of_photographs(labels, names, dataset)
    return Check(
        source=f"{len(names)} images of list {part} in {image_set.root}",
        tags_source=f"table {tags}" if tags is not None else "annotations of objects",
        unit="images",
        tables=(table,),
        statistics=(tag_statistics(table),),
        findings=(),
    )
