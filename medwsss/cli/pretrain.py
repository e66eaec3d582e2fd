"""``medwsss pretrain``: an encoder learns from the images of a data set alone, for ``medwsss train --weights``."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.config.pretraining import PretrainConfig
    from medwsss.engine.run_folder import RunFolder


def pretrain(
    dataset: Annotated[str | None, typer.Option(help="acdc, voc or coco; acdc by default.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the data set; without it, a phantom stands in for ACDC.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML of settings instead of the shipped one.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.")
    ] = None,
    all_patients: Annotated[
        bool, typer.Option("--all-patients", help="Learn from held-out patients, or images, too; no label is used.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Run folder to write.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[Path | None, typer.Option(help="Continue this run; all settings come from it.")] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="With --resume, though config.yaml or the split has changed.")
    ] = False,
) -> None:
    """Train the encoder without labels, tags or masks, and without a download; start train with its --weights.

    The patients that train holds out by the same settings stay unseen here as well.
    """
    from medwsss.cli.options import check_folder, chosen
    from medwsss.data import DATASETS
    from medwsss.engine.device import resolve_device
    from medwsss.engine.run_folder import RunFolder, check_unused, open_pretraining
    from medwsss.errors import ConfigError

    found = resolve_device(device)
    if dataset is not None:
        chosen("data set", dataset, DATASETS)
    if resume is not None:
        if any((dataset, root, config, set_, all_patients, out)):
            raise ConfigError("--resume takes all settings from the run: leave the other options out")
        run, settings = open_pretraining(resume)
    else:
        if accept_changes:
            raise ConfigError("--accept-changes is for a run that goes on: pass --resume with it")
        settings = pretraining_config(dataset, root, config, set_ or [], all_patients, cpu=found.type == "cpu")
        run = RunFolder(out or Path("runs") / f"{settings.data.name}-pretrain-{datetime.now():%Y%m%d-%H%M%S}")
        check_unused(run.path)
        check_folder(run.path)
    pretrain_encoder(settings, run, resume=resume is not None, changes_accepted=accept_changes, device_name=found.type)


def pretraining_config(
    dataset: str | None, root: Path | None, file: Path | None, assignments: list[str], all_patients: bool, *, cpu: bool
) -> "PretrainConfig":
    """Defaults, then the shipped configuration for this machine or ``file``, then options, then ``--set``.

    Raises:
        ConfigError: an unknown setting, a value out of range, or no shipped configuration for this data set.
    """
    from medwsss.cli.train import given
    from medwsss.config.data import DATASET_NAMES
    from medwsss.config.loading import load_pretraining, override_layer, preset_layer, read_layer

    name = dataset or DATASET_NAMES[0]
    presets = ["pretrain-cpu", "pretrain"] if cpu else ["pretrain"]
    layer = read_layer(file) if file else preset_layer(name, *presets)
    named = {"data": {"name": name}} if dataset or not file else {}
    flags = {"data": given(root=root), "pretraining": given(all_patients=all_patients or None)}
    return load_pretraining([named, layer, named, flags, override_layer(assignments)])


def pretrain_encoder(
    config: "PretrainConfig", run: "RunFolder", *, resume: bool, changes_accepted: bool, device_name: str
) -> None:
    """Everything after the settings are known; the run folder is touched once data and checkpoint are good."""
    import torch

    from medwsss.cli.observer import PretrainingObserver
    from medwsss.cli.train import data_root
    from medwsss.data.splits import write_split
    from medwsss.data.unlabelled import unlabelled_data
    from medwsss.engine.pretraining import build_pretraining, store_encoder
    from medwsss.engine.resuming import (
        accept_changes,
        check_split_unchanged,
        last_state,
        resumable_state,
        warn_of_other_versions,
    )
    from medwsss.engine.run_folder import new_run
    from medwsss.engine.train import train as run_training
    from medwsss.writing import sole_writer

    state = None
    if resume:
        warn_of_other_versions(run)
        state = last_state(run) if changes_accepted else resumable_state(run, config)
    learner = build_pretraining(config, restored=resume)
    data = unlabelled_data(config.data, data_root(config.data), config.pretraining)
    typer.echo(f"data: {data.source}; split {data.split_source}, hash {data.split.hash}")
    typer.echo(f"learns from {data.seen}; no labels, tags or masks are read")
    typer.echo(f"{learner.encoder.weights_note}; run folder {run.path}; device {device_name}")
    if state is not None and not changes_accepted:
        check_split_unchanged(run, state, data.split)
    with new_run(run.path, config) if state is None else sole_writer(run.path):
        if state is not None and changes_accepted:
            accept_changes(run, config, data.split, learner)
        write_split(data.split, run.split)
        first_step = 0 if state is None else state.step
        with PretrainingObserver(run, iterations=config.training.iterations, first_step=first_step) as observer:
            try:
                run_training(
                    learner,
                    data.samples,
                    config,
                    run,
                    split=data.split,
                    device=torch.device(device_name),
                    observer=observer,
                    validate=None,
                    resume=resume,
                )
            except KeyboardInterrupt:
                if run.checkpoint("last").is_file():
                    typer.echo(f"stopped: continue with medwsss pretrain --resume {run.path}", err=True)
                raise
        store_encoder(run, learner, config, data)
    typer.echo(f"encoder: {run.weights} (medwsss train --weights {run.weights})")
