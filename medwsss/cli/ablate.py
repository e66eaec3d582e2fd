"""``medwsss ablate``: the rows of a grid, each with several seeds, through the same code as ``medwsss train``."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.config.ablation_grid import Grid
    from medwsss.config.schema import RunConfig
    from medwsss.engine.ablation import PlannedRun, Standing

VARY = ("training", "data")
"""What a seed may change."""


def ablate(
    config: Annotated[
        str | None,
        typer.Argument(help="YAML of settings, or the name of a shipped one such as unia-cpu; as train by default."),
    ] = None,
    grid: Annotated[
        str | None, typer.Option(help="YAML of rows, or the name of a shipped one such as unia-table-4.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of every row.")] = "0,1,2",
    out: Annotated[
        Path | None, typer.Option(help="Folder of all runs and of the table; used again, it goes on.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="acdc, voc or coco; acdc by default.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the data set; without it, a phantom stands in for ACDC.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="For volumes: heart, lv or multi; heart by default.")] = None,
    method: Annotated[str | None, typer.Option(help="Method to ablate; the grid's own by default, else unia.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of all rows; repeatable.")
    ] = None,
    tags: Annotated[Path | None, typer.Option(help="Table of image-level labels.")] = None,
    vary: Annotated[
        str, typer.Option(help="What a seed changes: training, or data as well (volumes: split and phantom).")
    ] = "training",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    table_only: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Make the table in OUT again from its finished runs.")
    ] = None,
) -> None:
    """Train every row of a grid with every seed and write the table of mean ± standard deviation.

    The same command goes on where it was stopped; finished runs are not repeated. A grid file has a title and either
    rows (name, and set: a list of key=value) or grid (key: [values], all combinations).
    """
    from medwsss.cli.ablation_table import write_table
    from medwsss.cli.options import check_folder, chosen, chosen_task, refuse_options
    from medwsss.cli.train import given, resolved_config
    from medwsss.config.ablation_grid import DATA_SEED_KEYS, SEED_KEYS, parsed_seeds, read_grid, refuse_seeds
    from medwsss.data import DATASETS, IMAGE_SETS
    from medwsss.engine.ablation import earlier_seeds, planned_runs
    from medwsss.engine.device import resolve_device
    from medwsss.errors import ConfigError

    if table_only is not None:
        options = {"CONFIG": config, "--grid": grid, "--out": out, "--dataset": dataset, "--root": root, "--task": task}
        refuse_options("--table-only", {**options, "--method": method, "--set": set_, "--tags": tags})
        typer.echo(f"Table: {write_table(table_only)}")
        return
    if grid is None or out is None:
        raise ConfigError("an ablation needs --grid (a YAML of rows, or a shipped one) and --out")
    keys = {"training": SEED_KEYS, "data": DATA_SEED_KEYS}[chosen("choice for --vary", vary, VARY)]
    refuse_seeds(set_ or [], keys)
    if dataset is not None:
        chosen("data set", dataset, DATASETS)
    if task is not None:
        chosen_task(task)
        if dataset in IMAGE_SETS:
            refuse_options(f"data set {dataset}", {"--task": task})
    found, source = resolve_device(device), grid_file(grid)
    table = read_grid(source)
    ablated, file = ablated_method(method, table, source), config_file(config, dataset)
    flags = {"data": given(root=root, task=task, tags=tags)}

    def resolve(own_method: str | None, assignments: Sequence[str]) -> "RunConfig":
        """A row's configuration, as ``train`` would resolve it."""
        layers = [*(set_ or []), *assignments]
        return resolved_config(dataset, own_method or ablated, file, layers, flags, cpu=found.type == "cpu")

    base = resolve(None, [])  # so that what is wrong with it is not blamed on a row
    _check_varied(base, vary)
    requested = parsed_seeds(seeds)
    planned_seeds = sorted({*requested, *earlier_seeds(out, table.title)})
    with _naming_grid(source):
        runs = planned_runs(table, planned_seeds, out, resolve, vary=keys)
        shown = _shown(table, runs)
    about = _about(grid, config, base, set_ or [], found.type)
    check_folder(out)
    train_missing(table, runs, requested, out, keys=keys, shown=shown, about=about, device_name=found.type)


def train_missing(
    table: "Grid",
    runs: "Sequence[PlannedRun]",
    requested: Sequence[int],
    out: Path,
    *,
    keys: tuple[str, ...],
    shown: tuple[tuple[str, ...], ...],
    about: dict[str, str],
    device_name: str,
) -> None:
    """Train what is not done of the requested seeds; the table is written again after every run.

    A run whose loss diverges, and images that cannot be read, are named; the others go on, and the exit code is 2.
    """
    from medwsss.cli.ablation_table import run_headline, write_table
    from medwsss.engine.ablation import AblationRecord, Standing, is_done, standing, write_record
    from medwsss.reports.ablation import headline_words

    standings = [standing(planned) for planned in runs]  # of all runs, so that nothing is trained in vain
    seeds = tuple(dict.fromkeys(planned.seed for planned in runs))
    missing = [
        (planned, how)
        for planned, how in zip(runs, standings, strict=True)
        if how is not Standing.DONE and planned.seed in requested
    ]
    check_pseudo_labels(missing)
    record = AblationRecord(
        title=table.title, note=table.note, seeds=seeds, vary=keys, columns=tuple(table.columns), rows=table.rows,
        shown=shown, about=about,
    )  # fmt: skip
    write_record(record, out)
    path = write_table(out)
    done = standings.count(Standing.DONE)
    typer.echo(f"{table.title}: {done} of {len(runs)} runs are done, {len(missing)} to train; table {path}")
    failed = 0
    for number, (planned, how) in enumerate(missing, start=1):
        typer.echo(f"[{number}/{len(missing)}] {planned}")
        failed += not _trained(planned, how, device_name)
        if is_done(planned.run):
            write_table(out)
            typer.echo(f"[{number}/{len(missing)}] {planned}: {headline_words(run_headline(planned.run, out))}")
    typer.echo(f"Table: {path}")
    if failed:
        raise typer.Exit(2)


def check_pseudo_labels(runs: "Iterable[tuple[PlannedRun, Standing]]") -> None:
    """See that every run of ``retrain`` can learn from its folder, so that none of the others is trained in vain.

    Raises:
        MedwsssError: one cannot, as ``train`` would find; the message names the row.
    """
    from medwsss.cli.train import data_root, loaded_data
    from medwsss.config.segmenters import RetrainConfig
    from medwsss.engine.ablation import Standing
    from medwsss.engine.training_sets import training_samples

    opened = set()
    for planned, how in runs:
        config = planned.config
        if not isinstance(config.method, RetrainConfig) or (config.data, config.method.pseudo) in opened:
            continue
        with _naming_row(planned):
            tags = planned.run.tags if how is Standing.BEGUN else None
            training_samples(config, loaded_data(config.data, data_root(config.data), tags=tags), None)
        opened.add((config.data, config.method.pseudo))


def grid_file(name: str) -> Path:
    """A grid file by its path, or a shipped one by its name.

    Raises:
        ConfigError: it is neither; the nearest shipped name is offered.
    """
    from medwsss.cli.options import chosen
    from medwsss.config.loading import preset_path

    if Path(name).is_file() or name.endswith((".yaml", ".yml")):
        return Path(name)
    folder = preset_path("acdc", "unia").parents[1] / "ablations"
    shipped = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return shipped[chosen("grid", name, shipped)]


def config_file(name: str | None, dataset: str | None) -> Path | None:
    """A configuration by its path, or by the name of one that is shipped for the data set.

    Raises:
        ConfigError: none of that name is shipped.
    """
    from medwsss.config.data import DATASET_NAMES
    from medwsss.config.loading import preset_path

    if name is None or Path(name).is_file() or name.endswith((".yaml", ".yml")):
        return None if name is None else Path(name)
    return preset_path(dataset or DATASET_NAMES[0], name)


def ablated_method(method: str | None, table: "Grid", source: Path) -> str | None:
    """The method whose switches the grid sets.

    Raises:
        ConfigError: the grid is made for another one than ``method``.
    """
    from medwsss.errors import ConfigError

    if method is not None and table.method not in (None, method):
        raise ConfigError(f"grid {source} sets switches of {table.method}: leave out --method {method}")
    return method or table.method


def _trained(planned: "PlannedRun", how: "Standing", device_name: str) -> bool:
    """Whether the run went to its end without anything that could not be trained or read."""
    import torch

    from medwsss.cli.lines import one_line
    from medwsss.cli.train import train_and_report
    from medwsss.engine.ablation import Standing, clear_stopped, is_done, summary_file
    from medwsss.errors import EvaluationError, TrainingError

    if how is Standing.STOPPED:
        clear_stopped(planned.run)
    try:
        with _naming_row(planned):
            train_and_report(
                planned.config, planned.run, resume=how is Standing.BEGUN, device=torch.device(device_name)
            )
    except TrainingError as error:
        typer.echo(one_line(f"error: {error}"), err=True)
        return False
    except typer.Exit:  # images that cannot be read were named
        return False
    except KeyboardInterrupt:
        typer.echo("stopped: the same ablate command goes on from here", err=True)
        raise
    if not is_done(planned.run):
        missing = summary_file(planned.run)
        raise EvaluationError(f"{planned}: no {missing}: the held-out part needs masks to compare rows by")
    return True


def _shown(table: "Grid", runs: "Sequence[PlannedRun]") -> tuple[tuple[str, ...], ...]:
    from medwsss.config.ablation_grid import shown_settings

    return shown_settings(table.columns, [planned.config for planned in runs[: len(table.rows)]])


def _check_varied(base: "RunConfig", vary: str) -> None:
    """Refuse to vary the data where they are fixed."""
    from medwsss.config.data import VolumeDataConfig
    from medwsss.errors import ConfigError

    if vary != "data":
        return
    if not isinstance(base.data, VolumeDataConfig):
        raise ConfigError(f"--vary data draws the patients anew, and {base.data.name} has fixed lists: leave it out")
    if base.data.split.file is not None:
        raise ConfigError("--vary data draws the split anew, and data.split.file fixes it: leave out one of them")


def _about(grid: str, config: str | None, base: "RunConfig", assignments: list[str], device: str) -> dict[str, str]:
    """Where the numbers come from, in words."""
    from medwsss.config.data import AcdcDataConfig

    generated = (
        f"generated phantom of {base.data.phantom.patients} patients" if isinstance(base.data, AcdcDataConfig) else ""
    )
    return {
        "grid": grid,
        "configuration": config or "the shipped one",
        "method": base.method.name,
        "data": f"{base.data.name}, {base.data.root or generated}",
        "settings of all rows": ", ".join(assignments) or "those of the configuration",
        "training": f"{base.training.iterations} iterations, batch {base.training.batch_size}",
        "device": device,
    }


@contextmanager
def _naming_row(planned: "PlannedRun") -> Iterator[None]:
    """Errors of a run name its row and seed."""
    from medwsss.errors import MedwsssError

    try:
        yield
    except MedwsssError as error:
        raise type(error)(f"{planned}: {error}") from None


@contextmanager
def _naming_grid(source: Path) -> Iterator[None]:
    """Errors of a grid name its file."""
    from medwsss.errors import ConfigError

    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"grid {source}: {error}") from None
