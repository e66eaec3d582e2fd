"""What training ends with: predictions on the held-out part, without tags, compared with masks where there are any."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import torch

    from medwsss.config.schema import RunConfig
    from medwsss.data.loading import VolumeData
    from medwsss.data.photographs import PhotographData
    from medwsss.data.prepared import PreparedData
    from medwsss.engine.predict import Item
    from medwsss.engine.run_folder import RunFolder
    from medwsss.methods.method import Method
    from medwsss.metrics.results import Overlay


def report_held_out(
    config: "RunConfig", run: "RunFolder", method: "Method", data: "PreparedData", device: "torch.device"
) -> None:
    """Segment the held-out part with the last checkpoint and write the report."""
    from medwsss.data.loading import VolumeData
    from medwsss.data.photographs import PhotographData

    match data:
        case VolumeData():
            report_volumes(config, run, method, data, device)
        case PhotographData():
            report_photographs(config, run, method, data, device)


def report_volumes(
    config: "RunConfig", run: "RunFolder", method: "Method", data: "VolumeData", device: "torch.device"
) -> None:
    """Both phases of the held-out patients."""
    from medwsss.cli.evaluate_volumes import terminal_lines
    from medwsss.cli.progress import progress
    from medwsss.cli.run_notes import described_method, report_notes
    from medwsss.config.data import FolderDataConfig
    from medwsss.engine.cases import pair_cases
    from medwsss.engine.evaluate import evaluate_cases
    from medwsss.engine.predict import claim_outputs, predict_item, study_items, write_record
    from medwsss.engine.quality import read_quality, review_lines, write_quality
    from medwsss.engine.unscored import describe_predictions
    from medwsss.ranks import from_first_rank, over_ranks, rank
    from medwsss.reports.html import write_report
    from medwsss.reports.unscored import write_unscored

    items = study_items(data.held_out, frames="ed-es")
    from_first_rank(lambda: claim_outputs(run.predictions, items, overwrite=True))
    predict = partial(
        predict_item,
        method,
        out=run.predictions,
        grid=data.config.grid,
        inference=config.inference,
        labels=data.labels,
        device=device,
    )
    with progress() as bar:
        found = over_ranks(predict, items, watched=partial(bar.track, description="held-out patients"))
    if rank() > 0:  # the first process writes and tells for all
        return
    qualities = [quality for of_item in found for quality in of_item]
    write_quality(qualities, data.labels, run.predictions)
    write_record(
        run.predictions,
        items,
        config=config,
        labels=data.labels,
        run=run.path,
        checkpoint="last",
        tags=None,
        failed={},
    )
    if not any(item.name in data.references for item in items):
        notes = report_notes(config, run, method, data)
        described = describe_predictions(run.predictions, studies=data.studies)
        overlays = explained(described.overlays, items, run, predict, data.labels.names)
        page = write_unscored(
            replace(described, overlays=overlays),
            run.report,
            title=f"{described_method(config)}: {data.labels.described}",
            notes=notes,
        )
        typer.echo("no masks of held-out patients: the report says what was segmented, not how well")
        for line in review_lines(qualities):
            typer.echo(line)
        typer.echo(f"Report: {page}")
        return
    pairing = pair_cases(
        run.predictions,
        data.root,
        task=data.labels.name,
        truth_codes=data.config.mask_codes if isinstance(data.config, FolderDataConfig) else None,
        studies=data.studies,
        references=data.references,
    )
    estimates = read_quality(run.predictions)
    evaluation = evaluate_cases(pairing.cases, pairing.task, device=device, estimates=estimates)
    evaluation = replace(evaluation, overlays=explained(evaluation.overlays, items, run, predict, data.labels.names))
    notes = report_notes(config, run, method, data)
    title = f"{described_method(config)} on {data.source.rsplit('/', 1)[-1]}: {data.labels.described}"
    sources = replace(pairing.sources, unmatched_references=())  # patients that trained are not missing
    page = write_report(evaluation, run.report, sources=sources, title=title, notes=notes)
    for line in terminal_lines(evaluation, sources):
        typer.echo(line)
    typer.echo(f"Report: {page}")


def explained(
    overlays: "Sequence[Overlay]",
    items: "Sequence[Item]",
    run: "RunFolder",
    predict: "Callable[..., object]",
    classes: Sequence[str],
) -> "tuple[Overlay, ...]":
    """The overlays with uncertainty and activation, which are saved for these few volumes alone."""
    from medwsss.engine.overlay_maps import with_maps

    shown = {overlay.case: run.predictions / f"{overlay.case}.nii.gz" for overlay in overlays}
    for item in items:
        if item.name in shown:
            predict(item, maps=("uncertainty", "cams"))
    return with_maps(overlays, shown, classes)


def report_photographs(
    config: "RunConfig", run: "RunFolder", method: "Method", data: "PhotographData", device: "torch.device"
) -> None:
    """The images of the held-out list; those that an interrupted prediction has left are taken over.

    Images that cannot be read are named, the others reported, and the exit code is 2.
    """
    from medwsss.cli.lines import one_line
    from medwsss.cli.predict_photographs import predict_list
    from medwsss.engine.predict_images import ImageItem
    from medwsss.ranks import rank

    part, names = data.config.held_out, data.split.held_out
    failed = predict_list(
        method,
        [ImageItem(name, data.image_set.image_path(name)) for name in names],
        run.predictions,
        config=config,
        labels=data.labels,
        device=device,
        origin={"run": str(run.path), "checkpoint": "last", "list": part, "tags": "none"},
        weights=run.checkpoint("last"),
        resume=True,
    )
    if rank() > 0:
        return
    for name, reason in failed.items():
        typer.echo(one_line(f"error: {name}: {reason}"), err=True)
    scored = [name for name in names if name not in failed and data.image_set.has_mask(name)]
    if scored:
        report_scores(config, run, method, data, device, scored, failed=len(failed))
    else:
        typer.echo(f"no masks of held-out images: their segmentations are in {run.predictions}, without a report")
    if failed:
        raise typer.Exit(2)


def report_scores(
    config: "RunConfig",
    run: "RunFolder",
    method: "Method",
    data: "PhotographData",
    device: "torch.device",
    scored: Sequence[str],
    *,
    failed: int,
) -> None:
    """Compare the predictions of held-out images that have masks; ``failed`` images could not be predicted."""
    from medwsss.cli.evaluate_images import image_lines
    from medwsss.cli.progress import progress
    from medwsss.cli.run_notes import described_method, report_notes
    from medwsss.engine.evaluate_images import evaluate_images
    from medwsss.engine.image_pairs import pair_images
    from medwsss.reports.image_report import write_image_report

    part, names = data.config.held_out, data.split.held_out
    pairing = pair_images(run.predictions, data.image_set, scored, part=part)
    with progress() as bar:
        task = bar.add_task("evaluating", total=len(scored))
        evaluation = evaluate_images(
            pairing, data.labels, device=device, progress=lambda done: bar.update(task, completed=done)
        )
    notes = report_notes(config, run, method, data)
    if len(scored) < len(names):
        notes["images not scored"] = (
            f"{len(names) - len(scored)} of {len(names)} in list {part}: "
            f"{failed} could not be predicted, the others have no mask"
        )
    title = f"{described_method(config)} on {config.data.name}: list {part}"
    page = write_image_report(evaluation, run.report, title=title, notes=notes)
    for line in image_lines(evaluation):
        typer.echo(line)
    typer.echo(f"Report: {page}")
