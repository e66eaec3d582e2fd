"""What comes before training where cine seeds teach: the seeds themselves, and rounds of self-training."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import torch

    from medwsss.config.schema import RunConfig
    from medwsss.data.loading import VolumeData
    from medwsss.data.prepared import PreparedData
    from medwsss.engine.run_folder import RunFolder


def in_first_stages(config: "RunConfig", run: "RunFolder") -> bool:
    """Whether a run was stopped among its seeds or rounds, before its own network had a checkpoint."""
    from medwsss.engine.training_sets import uses_seeds

    begun = run.seeds.is_dir() or run.round(1).is_dir()
    return uses_seeds(config) and begun and not run.checkpoint("last").is_file()


def check_first_stages(config: "RunConfig", data: "PreparedData") -> None:
    """Find what is wrong with given seeds, stored labels or folds before anything is written.

    Raises:
        MedwsssError: something is.
    """
    from medwsss.config.segmenters import RetrainConfig, pseudo_root
    from medwsss.data.loading import VolumeData
    from medwsss.data.pseudo_sets import pseudo_training_set
    from medwsss.engine.self_training import folds_of
    from medwsss.engine.training_sets import given_seeds, training_samples

    assert isinstance(data, VolumeData)  # the configuration refuses seeds of anything else
    _ = data.cine_task  # refuses what has no heart, or not both phases
    folds_of(config, data)
    if given_seeds(config) is not None:
        training_samples(config, data, given_seeds(config))
    elif isinstance(config.method, RetrainConfig):
        pseudo_training_set(data, pseudo_root(config.method))


def check_shared_stages(config: "RunConfig") -> None:
    """Refuse to share the rounds of self-training among processes: each is a training of its own.

    Raises:
        ConfigError: the run has rounds, and there are several processes.
    """
    from medwsss.errors import ConfigError
    from medwsss.ranks import ranks

    if ranks() > 1 and config.self_training.rounds > 0:
        raise ConfigError("rounds of self-training take one process: train without torchrun, or with --rounds 0")


def ready_seeds(config: "RunConfig", data: "PreparedData", run: "RunFolder", device: "torch.device") -> Path:
    """The folder of cine seeds that the run learns from, after all rounds of self-training.

    A run that goes on keeps the seeds and the rounds it has made.
    """
    from medwsss.cli.observer import RunObserver
    from medwsss.data.loading import VolumeData
    from medwsss.engine.self_training import self_trained_labels
    from medwsss.engine.training_sets import given_seeds

    assert isinstance(data, VolumeData)  # the configuration refuses seeds of anything else
    seeds = given_seeds(config)
    if seeds is None:
        seeds = run.seeds
        write_own_seeds(config, data, seeds)
    return self_trained_labels(
        config,
        data,
        run,
        seeds,
        device=device,
        observed=lambda fold, step: RunObserver(
            fold, class_names=data.labels.names, iterations=config.training.iterations, first_step=step
        ),
        tell=typer.echo,
    )


def note_labels(run: "RunFolder", labels: Path) -> None:
    """Store which folder of seeds or repaired ones teaches, after how many rounds, and which cases have no seeds."""
    from medwsss.data.pseudo_folder import RECORD, read_pseudo_record
    from medwsss.data.records import save_record
    from medwsss.engine.round_verdict import without_seeds

    record = read_pseudo_record(labels / RECORD)
    own_round = record.provenance.get("round", "").removeprefix("round-")
    rounds = int(own_round) if labels.is_relative_to(run.path) and own_round else 0
    tried = len(list(run.path.glob("round-*/labels/pseudo.json")))
    without = without_seeds(record)
    save_record(run.cine, {"labels": str(labels), "rounds": rounds, "rounds tried": tried, "left_out": without})


def write_own_seeds(config: "RunConfig", data: "VolumeData", root: Path) -> None:
    """Make the seeds of the training patients, but those that an interrupted run has made."""
    from medwsss.cli.progress import progress
    from medwsss.engine.seed_folder import write_seed_folder

    typer.echo(f"cine seeds of {len(data.training)} training patients: {root}")
    with progress() as bar:
        write_seed_folder(
            data,
            data.training,
            config.cine,
            root,
            image_labels=data.image_labels,
            resume=True,
            watched=lambda made, count: bar.track(made, count, description="seeding"),
        )
