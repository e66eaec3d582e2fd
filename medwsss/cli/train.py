"""``medwsss train``: from image-level labels to a trained run, its predictions on the held-out part and a report."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from medwsss.config.data import AcdcDataConfig, DataConfig
    from medwsss.config.schema import RunConfig
    from medwsss.data.prepared import PreparedData
    from medwsss.engine.run_folder import RunFolder


def train(
    dataset: Annotated[
        str | None, typer.Option(help="acdc, folder (your own studies), voc or coco; acdc by default.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the data set; without it, a phantom stands in for ACDC.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="For volumes: heart, lv or multi (RV, MYO, LV); heart by default.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="unia, usage, cam, retrain or seeds; unia by default.")] = None,
    with_: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="Add-ons to the method, such as isl,fsl,urn (HFPL's two losses, URN's weights) or cine (seeds).",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML of settings instead of the shipped one.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.")
    ] = None,
    tags: Annotated[
        Path | None,
        typer.Option(help="Table of image-level labels; masks, if there are any, only score the held-out part."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Local encoder weights (.safetensors, .pth).")] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Rounds of self-training on cine seeds, cross-fitted between folds of patients.")
    ] = None,
    pseudo: Annotated[
        Path | None, typer.Option(help="Folder of pseudo-labels, for --method retrain (see pseudo-label).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[Path | None, typer.Option(help="Continue this run; all settings come from it.")] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="With --resume, though config.yaml or the split has changed.")
    ] = False,
) -> None:
    """Train from image-level labels; then segment the held-out patients or images and write a report.

    Under torchrun, several processes share the batches, the validation and the predictions.
    """
    from medwsss.cli.options import chosen, chosen_task, refuse_options
    from medwsss.data import DATASETS, IMAGE_SETS
    from medwsss.engine.device import resolve_device
    from medwsss.engine.processes import joined
    from medwsss.engine.run_folder import RunFolder, open_run
    from medwsss.errors import ConfigError
    from medwsss.ranks import from_first_rank

    chosen_device = resolve_device(device)
    if dataset is not None:
        chosen("data set", dataset, DATASETS)
    run: RunFolder | None = None
    if resume is not None:
        if rounds is not None or any((dataset, root, task, method, with_, pseudo, config, set_, tags, weights, out)):
            raise ConfigError("--resume takes all settings from the run: leave the other options out")
        run, settings = open_run(resume)
    else:
        if accept_changes:
            raise ConfigError("--accept-changes is for a run that goes on: pass --resume with it")
        if task is not None:
            chosen_task(task)
            if dataset in IMAGE_SETS:
                refuse_options(f"data set {dataset}", {"--task": task})
        if pseudo is not None and method != "retrain" and config is None:
            raise ConfigError("--pseudo is what method retrain learns from: pass --method retrain with it")
        flags = {
            "data": given(root=root, task=task, tags=tags),
            "encoder": given(weights=weights),
            "method": given(pseudo=pseudo),
            "addons": chosen_add_ons(with_),
            "self_training": given(rounds=rounds),
        }
        settings = resolved_config(dataset, method, config, set_ or [], flags, cpu=chosen_device.type == "cpu")
    with joined(chosen_device) as found:
        run = run or from_first_rank(lambda: _unused_run(out or _default_out(settings)))
        train_and_report(settings, run, resume=resume is not None, changes_accepted=accept_changes, device=found)


def _unused_run(path: Path) -> "RunFolder":
    from medwsss.cli.options import check_folder
    from medwsss.engine.run_folder import RunFolder, check_unused

    check_unused(path)
    check_folder(path)
    return RunFolder(path)


def resolved_config(
    dataset: str | None,
    method: str | None,
    file: Path | None,
    assignments: list[str],
    flags: Mapping[str, Any],
    *,
    cpu: bool,
) -> "RunConfig":
    """Defaults, then the shipped configuration for this machine or ``file``, then options, then ``--set``.

    A ``method`` or ``dataset`` that is given wins over the one that ``file`` names; settings of another are left out
    then. Where no configuration is shipped for a machine without GPU, the one for a GPU is taken.

    Raises:
        ConfigError: an unknown method or setting, or a value out of range.
    """
    from medwsss.cli.options import chosen
    from medwsss.config.data import DATASET_NAMES
    from medwsss.config.loading import load_config, override_layer, preset_layer, read_layer
    from medwsss.config.methods import METHOD_NAMES

    name = chosen("method", method or METHOD_NAMES[0], METHOD_NAMES)
    presets = [f"{name}-cpu", name] if cpu else [name]
    layer = read_layer(file) if file else preset_layer(dataset or DATASET_NAMES[0], *presets)
    named = {"method": {"name": name}} if method else {}
    if dataset or not file:
        named |= {"data": {"name": dataset or DATASET_NAMES[0]}}
    return with_own_classes(load_config([named, layer, named, flags, override_layer(assignments)]))


def with_own_classes(config: "RunConfig") -> "RunConfig":
    """The configuration with the classes of a user's table in it, so that a run knows them without the table.

    Raises:
        ConfigError: there is no table.
        ImageLabelsError: it cannot be read.
    """
    from medwsss.config.data import FolderDataConfig
    from medwsss.data.folder import settled

    if not isinstance(config.data, FolderDataConfig):
        return config
    return config.model_copy(update={"data": settled(config.data)})


def chosen_add_ons(names: str | None) -> dict[str, Any]:
    """Settings that switch on add-ons given like ``isl,fsl``.

    Raises:
        ConfigError: an unknown add-on, with the nearest name.
    """
    from medwsss.cli.options import chosen
    from medwsss.config.addons import ADD_ON_NAMES

    listed = [name.strip() for name in names.split(",")] if names else []
    return {chosen("add-on", name, ADD_ON_NAMES): {"enabled": True} for name in listed}


def train_and_report(
    config: "RunConfig", run: "RunFolder", *, resume: bool, device: "torch.device", changes_accepted: bool = False
) -> None:
    """Everything after the settings are known; the run folder is touched once data, weights and checkpoint are good.

    With ``resume`` and ``changes_accepted`` the run goes on although its settings or its split have changed.

    Of several processes the first writes what the others read.
    """
    import torch

    from medwsss.cli.cine_stages import (
        check_first_stages,
        check_shared_stages,
        in_first_stages,
        note_labels,
        ready_seeds,
    )
    from medwsss.cli.held_out import report_held_out
    from medwsss.cli.observer import RunObserver
    from medwsss.cli.run_notes import positives
    from medwsss.engine.resuming import (
        accept_changes,
        check_split_unchanged,
        last_state,
        resumable_state,
        warn_of_other_versions,
    )
    from medwsss.engine.run_folder import new_run, without_foreign_weights
    from medwsss.engine.seeding import derived_seed
    from medwsss.engine.train import train as run_training
    from medwsss.engine.training_sets import training_samples, uses_seeds
    from medwsss.engine.validate import validation_of
    from medwsss.methods import build_method, check_trainable
    from medwsss.ranks import first_rank_first, rank
    from medwsss.writing import sole_writer

    check_trainable(config)
    check_shared_stages(config)
    first = rank() == 0
    state = None
    if resume:
        warn_of_other_versions(run)
    if resume and not in_first_stages(config, run):
        state = last_state(run) if changes_accepted else resumable_state(run, config)
    with first_rank_first():
        stored = resume and not changes_accepted and run.tags.is_file()
        data = loaded_data(config.data, data_root(config.data), tags=run.tags if stored else None)
    if uses_seeds(config):
        check_first_stages(config, data)
    else:
        samples = training_samples(config, data, None)
    validate = validation_of(data, config.inference, device)
    typer.echo(f"data: {data.source}; split {data.split_source}, hash {data.split.hash}")
    typer.echo(f"tags: {data.tags_source}; {positives(data)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(config.training.seed, "initialisation"))
        method = build_method(config if state is None else without_foreign_weights(config), data.labels)
    typer.echo(f"{method.encoder.weights_note}; run folder {run.path}; device {device}")
    if state is not None and not changes_accepted:
        check_split_unchanged(run, state, data.split)
    opened = sole_writer(run.path) if resume else new_run(run.path, config)
    with opened if first else nullcontext(), going_on_later(config, run):
        with first_rank_first():
            if first and state is not None and changes_accepted:
                accept_changes(run, config, data.split, method)
            if first:
                write_inputs(run, config, data)
            if uses_seeds(config):
                labels = ready_seeds(config, data, run, device)
                samples = training_samples(config, data, labels)
                if first:
                    note_labels(run, labels)
        observing = partial(
            RunObserver,
            run,
            class_names=data.labels.names,
            iterations=config.training.iterations,
            first_step=0 if state is None else state.step,
        )
        with observing() if first else nullcontext() as observer:
            run_training(
                method,
                samples,
                config,
                run,
                split=data.split,
                device=device,
                observer=observer,
                validate=partial(validate, method),
                resume=state is not None,
            )
        report_held_out(config, run, method.eval(), data, device)


@contextmanager
def going_on_later(config: "RunConfig", run: "RunFolder") -> Iterator[None]:
    """Say how to go on where the user stops the block and something of it is stored."""
    from medwsss.cli.cine_stages import in_first_stages

    try:
        yield
    except KeyboardInterrupt:
        if run.checkpoint("last").is_file() or in_first_stages(config, run):
            typer.echo(f"stopped: continue with medwsss train --resume {run.path}", err=True)
        raise


def loaded_data(config: "DataConfig", root: Path, *, tags: Path | None) -> "PreparedData":
    """The data set, with the ``tags`` that a run has stored, so that going on with it opens no mask either.

    Derived tags go through a table that lasts as long as the reading.
    """
    from medwsss.config.data import FolderDataConfig
    from medwsss.data import prepared_data
    from medwsss.data.image_labels import read_tag_table
    from medwsss.data.prepared import tags_source

    if isinstance(config, FolderDataConfig):  # its table names the studies, too
        data = prepared_data(config, root, root)
        return data if tags is None else replace(data, image_labels=read_tag_table(tags, data.labels))
    if tags is None:
        with tempfile.TemporaryDirectory(prefix="medwsss-") as scratch:
            return prepared_data(config, root, Path(scratch) / "tags.csv")
    stored = prepared_data(config.model_copy(update={"tags": tags}), root, tags)
    return replace(stored, tags_source=tags_source(config))


def write_inputs(run: "RunFolder", config: "RunConfig", data: "PreparedData") -> None:
    """What the run learns from: its split, its tags and, for ``retrain``, the record of its pseudo-labels."""
    from medwsss.config.segmenters import RetrainConfig, pseudo_root
    from medwsss.data.image_labels import write_image_labels
    from medwsss.data.pseudo_folder import RECORD, read_pseudo_record
    from medwsss.data.records import save_record
    from medwsss.data.splits import write_split

    write_split(data.split, run.split)
    write_image_labels(data.image_labels, run.tags)
    if isinstance(config.method, RetrainConfig):
        save_record(run.pseudo, asdict(read_pseudo_record(pseudo_root(config.method) / RECORD)))


def data_root(config: "DataConfig") -> Path:
    """The folder of the data set; without one, volumes are a phantom.

    Raises:
        ConfigError: photographs without a folder.
    """
    from medwsss.config.data import AcdcDataConfig
    from medwsss.errors import ConfigError

    if config.root is not None:
        return config.root
    if isinstance(config, AcdcDataConfig):
        return phantom_root(config)
    raise ConfigError(f"{config.name} needs the folder of the data set: pass --root")


def phantom_root(config: "AcdcDataConfig") -> Path:
    """The generated data set, written once to the user's cache folder."""
    from medwsss.data.phantom import PHANTOM_VERSION, write_phantom
    from medwsss.data.slice_cache import user_cache_dir

    phantom = config.phantom
    root = user_cache_dir() / f"phantom-v{PHANTOM_VERSION}-{phantom.patients}-patients-seed-{phantom.seed}"
    if not root.is_dir():
        typer.echo(f"no --root given: generating a phantom of {phantom.patients} patients")
        write_phantom(root, patients=phantom.patients, seed=phantom.seed)
    typer.echo(f"no --root given: using the generated phantom, not real patients ({root})")
    return root


def _default_out(config: "RunConfig") -> Path:
    from medwsss.config.data import AcdcDataConfig

    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    task = [config.data.task] if isinstance(config.data, AcdcDataConfig) else []
    return Path("runs") / "-".join([config.data.name, *task, config.method.name, stamp])


def given(**values: Any) -> dict[str, Any]:
    """Options that were given, as settings."""
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in values.items() if value is not None
    }
