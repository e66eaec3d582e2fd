"""Grid files of ablations: the rows of a table, each a name and the settings it changes."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medwsss.config.loading import read_layer
from medwsss.config.nearest import did_you_mean
from medwsss.config.schema import RunConfig
from medwsss.errors import ConfigError

SEED_KEYS = ("training.seed",)
DATA_SEED_KEYS = (*SEED_KEYS, "data.split.seed", "data.phantom.seed")
"""What a seed sets where the patients vary as well."""

Text = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """A frozen part of a grid file or of an ablation's description; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Cell(Part):
    """One row of the table: a name and what it sets."""

    name: Text
    method: str | None = None
    """Another method than the one that is ablated, with its own shipped configuration."""
    set: tuple[str, ...] = ()
    """Assignments such as ``method.uncertainty.enabled=false``."""

    @property
    def folder(self) -> str:
        """The name as a folder: words and numbers, in lower case."""
        return re.sub(r"[^\w.]+", "-", self.name).strip("-.").lower()


class Grid(Part):
    """A grid file."""

    title: Text
    note: str = ""
    """Printed below the table, such as what differs from the paper's."""
    method: str | None = None
    """The method whose switches these are."""
    columns: dict[str, str] = {}
    """Heading -> dotted key: settings that the table shows beside the names, switches as ✓."""
    rows: tuple[Cell, ...] = ()
    """In the order of the table."""


def read_grid(path: Path) -> Grid:
    """A grid file: ``rows`` as they are, or all combinations of the values under ``grid``, the last key fastest.

    Raises:
        ConfigError: the file cannot be read, has an unknown key (with the nearest known one), none or both of the
            two, or two rows that would share a folder.
    """
    tree = read_layer(path)
    product = tree.pop("grid", {})
    if bool(product) == bool(tree.get("rows")):
        raise ConfigError(f"grid {path} needs either rows (name and set) or grid (key: [values])")
    if product:
        tree["rows"] = list(_combinations(product, path))
    try:
        grid = Grid.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"grid {path}: {explained(error)}") from None
    _check_folders(grid, path)
    return grid


def refuse_seeds(assignments: Sequence[str], vary: Sequence[str]) -> None:
    """Refuse assignments to the settings in ``vary``, which the seeds of an ablation set.

    Raises:
        ConfigError: there is one.
    """
    for assignment in assignments:
        if assignment.partition("=")[0].strip() in vary:
            raise ConfigError(f"'{assignment}' would fix what varies between runs: give seeds with --seeds")


def parsed_seeds(text: str) -> tuple[int, ...]:
    """``0,1,2`` as numbers.

    Raises:
        ConfigError: one is no whole number from 0 on, or occurs twice.
    """
    parts = [part.strip() for part in text.split(",")]
    seeds = [int(part) for part in parts if part.isascii() and part.isdigit()]
    if len(seeds) < len(parts) or len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds is '{text}': give different whole numbers, such as 0,1,2")
    return tuple(seeds)


def shown_settings(columns: Mapping[str, str], configs: Sequence[RunConfig]) -> tuple[tuple[str, ...], ...]:
    """The values of a grid's columns in each configuration: ✓ or nothing for switches, – where the method has none.

    Raises:
        ConfigError: a column names no setting of any of them, or a whole section.
    """
    settings = [dict(_leaves(config.model_dump(mode="json"))) for config in configs]
    known = {key: None for found in settings for key in found}
    for heading, key in columns.items():
        if key not in known:
            raise ConfigError(f"column '{heading}' shows '{key}', which is no setting{did_you_mean(key, known)}")
    return tuple(tuple(_shown(found.get(key)) for key in columns.values()) for found in settings)


def explained(error: ValidationError) -> str:
    """A problem of a grid file in one line: an unknown key, with the nearest known one, or else the first."""
    problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    where = ".".join(map(str, problem["loc"])) or "file"
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg']}"
    known = list(Cell.model_fields) if len(problem["loc"]) > 1 else [*Grid.model_fields, "grid"]
    return f"unknown key '{where}'{did_you_mean(str(problem['loc'][-1]), known)} (there are {', '.join(known)})"


def _combinations(product: object, path: Path) -> Iterator[dict[str, Any]]:
    if not (isinstance(product, dict) and all(isinstance(values, list) and values for values in product.values())):
        raise ConfigError(f"grid {path}: grid must map settings to lists of values, such as key.key: [1, 2]")
    for values in itertools.product(*product.values()):
        pairs = [(str(key), _as_yaml(value)) for key, value in zip(product, values, strict=True)]
        name = ", ".join(f"{key.rpartition('.')[2]} = {value}" for key, value in pairs)
        yield {"name": name, "set": [f"{key}={value}" for key, value in pairs]}


def _as_yaml(value: object) -> str:
    """A value in one line, taken from a list around it, since YAML ends a document that is a bare number."""
    return yaml.safe_dump([value], default_flow_style=True, width=10**6).strip()[1:-1]


def _check_folders(grid: Grid, path: Path) -> None:
    names: dict[str, str] = {}
    for cell in grid.rows:
        if not cell.folder:
            raise ConfigError(f"grid {path}: the name '{cell.name}' holds no letter or digit, so it makes no folder")
        if cell.folder in names:
            raise ConfigError(f"grid {path}: rows '{names[cell.folder]}' and '{cell.name}' would share a folder")
        names[cell.folder] = cell.name


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "✓" if value else ""
    return str(value)
