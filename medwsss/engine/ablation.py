"""Ablations: every row of a grid with every seed is an ordinary run folder, and what is done is not done again."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import yaml
from pydantic import ValidationError

from medwsss.config.ablation_grid import Cell, Grid, Part, explained, refuse_seeds
from medwsss.config.loading import differences, read_layer
from medwsss.config.schema import RunConfig
from medwsss.engine.run_folder import RunFolder, check_unused, config_hash, open_run
from medwsss.errors import CheckpointError, ConfigError, OutputError
from medwsss.methods import check_trainable
from medwsss.writing import written_whole

_DIFFERENCES_SHOWN = 3

Resolve = Callable[[str | None, Sequence[str]], RunConfig]
"""The configuration of a method (None: the one that is ablated) with these assignments."""


@dataclass(frozen=True)
class PlannedRun:
    """One row with one seed."""

    cell: Cell
    seed: int
    config: RunConfig
    run: RunFolder

    def __str__(self) -> str:
        return f"row '{self.cell.name}', seed {self.seed}"


class Standing(Enum):
    """How far a planned run is."""

    NEW = "not begun"
    STOPPED = "stopped before its first checkpoint"
    BEGUN = "has a checkpoint to go on from"
    DONE = "has its report"


class AblationRecord(Part):
    """What the folder of an ablation says about itself: enough to make its table again."""

    title: str
    note: str
    seeds: tuple[int, ...]
    vary: tuple[str, ...]
    """Settings that a seed sets."""
    columns: tuple[str, ...]
    rows: tuple[Cell, ...]
    shown: tuple[tuple[str, ...], ...]
    """For every row, the values of the columns."""
    about: dict[str, str]
    """Where the numbers come from, in words."""


def run_folder(out: Path, cell: Cell, seed: int) -> RunFolder:
    """Where a row with that seed is trained."""
    return RunFolder(out / cell.folder / f"seed-{seed}")


def planned_runs(
    grid: Grid, seeds: Sequence[int], out: Path, resolve: Resolve, *, vary: Sequence[str]
) -> list[PlannedRun]:
    """Every row with every seed, all rows of the first seed first, each with its validated configuration.

    ``vary`` are the settings that a seed sets.

    Raises:
        ConfigError: an assignment does not fit the schema, sets a seed, or changes the data set, or the method cannot
            be trained so; the message names the row.
    """
    runs = []
    for seed, cell in itertools.product(seeds, grid.rows):
        try:
            refuse_seeds(cell.set, vary)
            config = resolve(cell.method, [*cell.set, *(f"{key}={seed}" for key in vary)])
            check_trainable(config)
        except ConfigError as error:
            raise ConfigError(f"row '{cell.name}': {error}") from None
        runs.append(PlannedRun(cell, seed, config, run_folder(out, cell, seed)))
    others = [planned for planned in runs if planned.config.data.name != runs[0].config.data.name]
    if others:
        raise ConfigError(f"row '{others[0].cell.name}': a table compares runs on one data set")
    return runs


def standing(planned: PlannedRun) -> Standing:
    """How far a run is.

    Raises:
        OutputError: its folder was made with other settings, or holds something that is no run; the message names the
            row.
    """
    run = planned.run
    if not run.config.is_file():
        try:
            check_unused(run.path)
        except OutputError:
            raise OutputError(f"{planned}: {run.path} holds something that is no run: move it away") from None
        return Standing.NEW
    stored = open_run(run.path)[1]
    if config_hash(stored) != config_hash(planned.config):
        changed = _changed(stored, planned.config)
        raise OutputError(f"{planned}: {run.path} was made with other settings (now {changed}): choose another --out")
    if is_done(run):
        return Standing.DONE
    return Standing.BEGUN if run.checkpoint("last").is_file() else Standing.STOPPED


def summary_file(run: RunFolder) -> Path:
    """The numbers of a run's report; a run that has it is done."""
    return run.report / "summary.json"


def is_done(run: RunFolder) -> bool:
    """Whether the run has its report."""
    return summary_file(run).is_file()


def clear_stopped(run: RunFolder) -> None:
    """Remove what a run has left that stopped before its first checkpoint, so that it can begin again.

    Only files that training writes go; anything else stays, and then nothing is trained over it.
    """
    for file in (run.config, run.versions, run.split, run.tags, run.pseudo, run.metrics, run.validation):
        file.unlink(missing_ok=True)
    folders = (run.tensorboard, run.pictures, run.checkpoint("last").parent)
    for folder in (folder for folder in folders if not folder.is_symlink()):  # training makes no links
        with suppress(OSError):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()


def read_record(out: Path) -> AblationRecord:
    """The description of an ablation.

    Raises:
        CheckpointError: the folder has none.
        ConfigError: it is damaged.
    """
    path = _record_file(out)
    if not path.is_file():
        raise CheckpointError(f"{out} is not the folder of an ablation: it has no {path.name}")
    try:
        return AblationRecord.model_validate(read_layer(path))
    except ValidationError as error:
        raise ConfigError(f"{path} is damaged: {explained(error)}") from None


def write_record(record: AblationRecord, out: Path) -> None:
    """Write the description of an ablation into its folder.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with written_whole(_record_file(out)) as path:
            text = yaml.safe_dump(record.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror}; choose another --out") from None


def earlier_seeds(out: Path, title: str) -> tuple[int, ...]:
    """Seeds of the same ablation that the folder already has; none where it is new.

    Raises:
        OutputError: the folder holds another ablation, or something else.
    """
    if not _record_file(out).is_file():
        try:
            check_unused(out)
        except OutputError:
            raise OutputError(f"{out} holds something that is no ablation: choose another --out") from None
        return ()
    record = read_record(out)
    if record.title != title:
        raise OutputError(f"{out} holds the ablation '{record.title}': choose another --out")
    return record.seeds


def _record_file(out: Path) -> Path:
    return out / "ablation.yaml"


def _changed(stored: RunConfig, planned: RunConfig) -> str:
    """What the plan sets otherwise than the run that is there."""
    if (stored.method.name, stored.data.name) != (planned.method.name, planned.data.name):
        return f"{planned.method.name} on {planned.data.name}"
    words = [f"{key}={value}" for key, value in differences(planned, stored).items()]
    more = [f"{len(words) - _DIFFERENCES_SHOWN} more"] if len(words) > _DIFFERENCES_SHOWN else []
    return ", ".join([*words[:_DIFFERENCES_SHOWN], *more])
