"""``medwsss train``: from image-level labels to a trained run, its predictions on held-out patients and a report."""

import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from medwsss.config.schema import DataConfig, RunConfig
    from medwsss.data.loading import AcdcData
    from medwsss.engine.run_folder import RunFolder
    from medwsss.methods.method import Method


def train(
    dataset: Annotated[str, typer.Option(help="Data set: acdc.")] = "acdc",
    root: Annotated[
        Path | None, typer.Option(help="Folder of the data set; a phantom is generated without it.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="heart, lv or multi (RV, MYO, LV); heart by default.")] = None,
    method: Annotated[str | None, typer.Option(help="unia, or cam, the plain baseline; unia by default.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML of settings instead of the shipped one.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.")
    ] = None,
    tags: Annotated[
        Path | None,
        typer.Option(help="CSV of image-level labels; masks, if there are any, only score held-out patients."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Local encoder weights (.safetensors, .pth).")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[Path | None, typer.Option(help="Continue this run; all settings come from it.")] = None,
) -> None:
    """Train from image-level labels; then segment the held-out patients and write a report."""
    from medwsss.cli.options import check_folder, chosen, chosen_task
    from medwsss.data import DATASETS
    from medwsss.engine.device import resolve_device
    from medwsss.engine.run_folder import RunFolder, check_unused, open_run
    from medwsss.errors import ConfigError

    found = resolve_device(device)
    chosen("data set", dataset, DATASETS)
    if resume is not None:
        if any((root, task, method, config, set_, tags, weights, out)):
            raise ConfigError("--resume takes all settings from the run: leave the other options out")
        run, settings = open_run(resume)
    else:
        if task is not None:
            chosen_task(task)
        flags = {"data": _given(root=root, task=task, tags=tags), "encoder": _given(weights=weights)}
        settings = resolved_config(dataset, method, config, set_ or [], flags, cpu=found.type == "cpu")
        run = RunFolder(out or _default_out(settings))
        check_unused(run.path)
        check_folder(run.path)
    train_and_report(settings, run, resume=resume is not None, device_name=found.type)


def resolved_config(
    dataset: str, method: str | None, file: Path | None, assignments: list[str], flags: Mapping[str, Any], *, cpu: bool
) -> "RunConfig":
    """Defaults, then the shipped configuration for this machine or ``file``, then options, then ``--set``.

    A ``method`` that is given wins over the one that ``file`` names; settings of another method are left out then.

    Raises:
        ConfigError: an unknown method or setting, or a value out of range.
    """
    from medwsss.cli.options import chosen
    from medwsss.config.loading import load_config, override_layer, preset_path, read_layer
    from medwsss.config.schema import METHOD_NAMES

    name = chosen("method", method or METHOD_NAMES[0], METHOD_NAMES)
    path = file or preset_path(dataset, f"{name}-cpu" if cpu else name)
    named = {"method": {"name": name}} if method else {}
    return load_config([read_layer(path), named, flags, override_layer(assignments)])


def train_and_report(config: "RunConfig", run: "RunFolder", *, resume: bool, device_name: str) -> None:
    """Everything after the settings are known; the run folder is touched once data, weights and checkpoint are good."""
    import torch

    from medwsss.cli.observer import RunObserver
    from medwsss.data.acdc import reference_masks
    from medwsss.engine.run_folder import check_split_unchanged, new_run, resumable_state, without_foreign_weights
    from medwsss.engine.seeding import derived_seed
    from medwsss.engine.train import train as run_training
    from medwsss.engine.validate import check_references, validation_scores
    from medwsss.methods import build_method

    device = torch.device(device_name)
    state = resumable_state(run, config) if resume else None
    root = config.data.root or phantom_root(config)
    data = loaded_data(config.data, root, tags=run.tags if resume else None)
    references = reference_masks(root)
    check_references(data, references)
    typer.echo(f"data: {data.source}; split {data.split_source}, hash {data.split.hash}")
    typer.echo(f"tags: {data.tags_source}; {positives(data)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(config.training.seed, "initialisation"))
        method = build_method(config if state is None else without_foreign_weights(config), data.labels)
    typer.echo(f"{method.encoder.weights_note}; run folder {run.path}; device {device_name}")
    if state is not None:
        check_split_unchanged(run, state, data.split.hash)
    with new_run(run.path, config) if state is None else nullcontext():
        write_inputs(run, data)
        first_step = 0 if state is None else state.step
        with RunObserver(run, iterations=config.training.iterations, first_step=first_step) as observer:
            try:
                run_training(
                    method,
                    data.training_set(),
                    config,
                    run,
                    split_hash=data.split.hash,
                    device=device,
                    observer=observer,
                    validate=lambda current: validation_scores(current, data, references, config, device),
                    resume=resume,
                )
            except KeyboardInterrupt:
                if run.checkpoint("last").is_file():
                    typer.echo(f"stopped: continue with medwsss train --resume {run.path}", err=True)
                raise
    report_held_out(config, run, method.eval(), data, root, device)


def loaded_data(config: "DataConfig", root: Path, *, tags: Path | None) -> "AcdcData":
    """The data set, with the ``tags`` that a run has stored, so that going on with it opens no mask either.

    Tags derived from masks go through a table that lasts as long as the reading.
    """
    from medwsss.data import DATASETS
    from medwsss.data.loading import tags_source

    if tags is None:
        with tempfile.TemporaryDirectory(prefix="medwsss-") as scratch:
            return DATASETS[config.name](config, root, Path(scratch) / "tags.csv")
    stored = DATASETS[config.name](config.model_copy(update={"tags": tags}), root, tags)
    return replace(stored, tags_source=tags_source(config))


def write_inputs(run: "RunFolder", data: "AcdcData") -> None:
    """What the run learns from: its split and its tags."""
    from medwsss.data.image_labels import write_image_labels
    from medwsss.data.splits import write_split

    write_split(data.split, run.split)
    write_image_labels(data.image_labels, run.tags)


def report_held_out(
    config: "RunConfig", run: "RunFolder", method: "Method", data: "AcdcData", root: Path, device: "torch.device"
) -> None:
    """Segment the held-out patients with the last checkpoint, without tags, and compare with masks where there are."""
    from medwsss.cli.evaluate import terminal_lines
    from medwsss.cli.progress import progress
    from medwsss.data.acdc import reference_masks
    from medwsss.engine.cases import pair_cases
    from medwsss.engine.evaluate import evaluate_cases
    from medwsss.engine.predict import claim_outputs, predict_item, study_items, write_record
    from medwsss.reports.html import write_report

    items = study_items(data.held_out, frames="ed-es")
    claim_outputs(run.predictions, items, overwrite=True)
    with progress() as bar:
        for item in bar.track(items, description="held-out patients"):
            predict_item(method, item, run.predictions, config=config, labels=data.labels, device=device)
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
    if not any(item.name in reference_masks(root) for item in items):
        typer.echo(f"no masks of held-out patients: their segmentations are in {run.predictions}, without a report")
        return
    pairing = pair_cases(run.predictions, root, task=config.data.task)
    evaluation = evaluate_cases(pairing.cases, pairing.task, device=device)
    notes = report_notes(config, run, method, data)
    title = f"{config.method.name} on {data.source.rsplit('/', 1)[-1]}: {config.data.task}"
    sources = replace(pairing.sources, unmatched_references=())  # patients that trained are not missing
    page = write_report(evaluation, run.report, sources=sources, title=title, notes=notes)
    for line in terminal_lines(evaluation, sources):
        typer.echo(line)
    typer.echo(f"Report: {page}")


def positives(data: "AcdcData") -> str:
    """How many training slices show each class: tags that never or always say yes teach nothing."""
    tags = data.image_labels.array([key for key in data.image_labels.tags if key.patient in data.split.train])
    counts = zip(data.labels.names, tags.sum(axis=0).tolist(), strict=True)
    shown = ", ".join(f"{name} in {count} ({100 * count / len(tags):.0f} %)" for name, count in counts)
    return f"{len(tags)} training slices, {shown}"


def unlike_defaults(config: "RunConfig") -> str:
    """Settings of method and encoder that differ from the defaults, which are the paper's."""
    from medwsss.config.loading import differences

    return ", ".join(
        f"{key}={value}" for key, value in differences(config).items() if key.startswith(("method.", "encoder."))
    )


def report_notes(config: "RunConfig", run: "RunFolder", method: "Method", data: "AcdcData") -> dict[str, str]:
    """What a reader must know about the run."""
    from medwsss.engine.run_folder import versions

    return {
        "method": config.method.name,
        "training": f"{config.training.iterations} iterations, batch {config.training.batch_size}, "
        f"seed {config.training.seed}, from image-level labels only",
        "data": f"{data.source} ({len(data.training)} patients train, {len(data.held_out)} held out)",
        "image-level labels": f"{data.tags_source}; {positives(data)}",
        "encoder": method.encoder.weights_note,
        "settings unlike the paper's": unlike_defaults(config) or "none",
        "split": f"{data.split_source}, by patient, hash {data.split.hash}",
        "run folder": str(run.path),
        "commit": versions()["commit"],
    }


def phantom_root(config: "RunConfig") -> Path:
    """The generated data set, written once to the user's cache folder."""
    from medwsss.data.phantom import PHANTOM_VERSION, write_phantom
    from medwsss.data.slice_cache import user_cache_dir

    phantom = config.data.phantom
    root = user_cache_dir() / f"phantom-v{PHANTOM_VERSION}-{phantom.patients}-patients-seed-{phantom.seed}"
    if not root.is_dir():
        typer.echo(f"no --root given: generating a phantom of {phantom.patients} patients")
        write_phantom(root, patients=phantom.patients, seed=phantom.seed)
    typer.echo(f"no --root given: using the generated phantom, not real patients ({root})")
    return root


def _default_out(config: "RunConfig") -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{config.data.name}-{config.data.task}-{config.method.name}-{stamp}"


def _given(**values: Any) -> dict[str, Any]:
    """Options that were given, as settings; paths become absolute, so that a run can go on from anywhere."""
    return {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in values.items()
        if value is not None
    }
