"""Prediction of volumes: NIfTI files in, label volumes of the same geometry out."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from medwsss.cli.lines import one_line

if TYPE_CHECKING:
    import torch

    from medwsss.config.schema import RunConfig
    from medwsss.data.image_labels import ImageLabels
    from medwsss.engine.predict import Item
    from medwsss.engine.run_folder import RunFolder
    from medwsss.labels import LabelSet
    from medwsss.methods.method import Predictor


def predict_volumes(
    run: "RunFolder",
    config: "RunConfig",
    inputs: Sequence[Path],
    out: Path,
    *,
    frames: str,
    tags: Path | None,
    maps: Sequence[str],
    checkpoint: str,
    device: "torch.device",
    overwrite: bool,
    also: Sequence[Path] = (),
) -> dict[str, str]:
    """Segment every input, with the mean of the run and ``also``; answers the items that failed, with the reason."""
    from medwsss.cli.progress import progress
    from medwsss.config.data import VolumeDataConfig
    from medwsss.engine.predict import claim_outputs, predict_item, write_record
    from medwsss.engine.quality import CaseQuality, review_lines, write_quality
    from medwsss.errors import MedwsssError
    from medwsss.ranks import from_first_rank, over_ranks, rank

    assert isinstance(config.data, VolumeDataConfig)
    labels = config.data.segmented.labels
    items = [item for path in inputs for item in find_items(path, frames)]
    image_labels = read_tags(tags, items, labels, inputs[0]) if tags else None
    method = ensemble([(run, config), *(fitting_run(path, config) for path in also)], labels, checkpoint, device)
    grid, inference = config.data.grid, config.inference
    from_first_rank(lambda: claim_outputs(out, items, overwrite=overwrite))

    def predicted(item: "Item") -> "tuple[CaseQuality, ...] | str":
        """How far to trust each frame, or why there is none."""
        try:
            return predict_item(
                method, item, out, grid=grid, inference=inference, labels=labels, device=device,
                image_labels=image_labels, maps=maps,
            )  # fmt: skip
        except MedwsssError as error:
            return str(error)

    with progress() as bar:
        answers = over_ranks(predicted, items, watched=partial(bar.track, description="predicting"))
    failed = {item.name: answer for item, answer in zip(items, answers, strict=True) if isinstance(answer, str)}
    qualities = [quality for answer in answers if not isinstance(answer, str) for quality in answer]
    if rank() > 0:  # the first process writes and tells for all
        return {}
    write_record(
        out,
        items,
        config=config,
        labels=labels,
        run=run.path,
        checkpoint=checkpoint,
        tags=tags,
        failed=failed,
        also=also,
    )
    typer.echo(f"{len(items) - len(failed)} volumes segmented, in {out}")
    if qualities:
        write_quality(qualities, labels, out)
    for line in review_lines(qualities):
        typer.echo(one_line(line))
    return failed


def fitting_run(path: Path, config: "RunConfig") -> "tuple[RunFolder, RunConfig]":
    """A further run for the mean.

    Raises:
        CheckpointError: the folder is not a run.
        ConfigError: it segments something else, or on another grid.
    """
    from medwsss.config.data import VolumeDataConfig
    from medwsss.engine.run_folder import open_run
    from medwsss.errors import ConfigError

    assert isinstance(config.data, VolumeDataConfig)
    run, other = open_run(path)
    labels = config.data.segmented.labels
    if not isinstance(other.data, VolumeDataConfig) or other.data.segmented.labels != labels:
        raise ConfigError(f"--also {path} was not trained for task {labels.described}: average runs of one task")
    if other.data.grid.model_copy(update={"crop": config.data.grid.crop}) != config.data.grid:
        raise ConfigError(f"--also {path} sees slices on another grid (data.grid): average runs of one grid")
    return run, other


def ensemble(
    runs: "Sequence[tuple[RunFolder, RunConfig]]", labels: "LabelSet", checkpoint: str, device: "torch.device"
) -> "Predictor":
    """The method of a run, or of several as one."""
    from medwsss.engine.run_folder import load_method
    from medwsss.methods.ensemble import Ensemble

    members = [load_method(run, config, labels, checkpoint=checkpoint).to(device) for run, config in runs]
    return members[0] if len(members) == 1 else Ensemble(members)


def find_items(path: Path, frames: str) -> "list[Item]":
    """What one input stands for: a file, the files of a folder, or the volumes of ACDC or of a folder with a table.

    Raises:
        DatasetError: nothing is there.
    """
    from medwsss.data.layouts import study_set
    from medwsss.engine.predict import file_items, study_items
    from medwsss.errors import DatasetError

    if not path.exists():
        raise DatasetError(f"{path} does not exist")
    known = study_set(path) if path.is_dir() else None
    if known is not None:
        return study_items(known.studies, frames="all" if frames == "all" else "ed-es")
    return file_items(path)


def read_tags(path: Path, items: "list[Item]", labels: "LabelSet", root: Path) -> "ImageLabels":
    """Image-level labels of slices; plain files are looked up by name, with an empty phase.

    A table of studies may be used, too: its files lie in the folder ``root``, or beside it.

    The table may name more patients than are predicted; a ``MedwsssWarning`` counts them. Slices that it lacks are an
    error of the item they belong to.
    """
    from medwsss.data.folder_tags import tags_of_table
    from medwsss.errors import MedwsssWarning

    table = tags_of_table(path, labels, root if root.is_dir() else path.parent)
    others = sorted({key.patient for key in table.tags} - {item.patient for item in items})
    if others:
        message = f"{path} names {len(others)} patients that are not among the inputs, first {others[0]}: not used"
        warnings.warn(message, MedwsssWarning, stacklevel=2)
    return table
