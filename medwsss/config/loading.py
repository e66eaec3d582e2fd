"""From YAML files and ``key=value`` overrides to one validated configuration, and back to YAML."""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from medwsss.config.data import DATASET_NAMES
from medwsss.config.methods import METHOD_NAMES
from medwsss.config.nearest import did_you_mean
from medwsss.config.plain_yaml import plain_yaml
from medwsss.config.pretraining import LearningConfig, PretrainConfig
from medwsss.config.schema import RunConfig
from medwsss.errors import ConfigError
from medwsss.reading import read_text

Tree = dict[Any, Any]
"""Settings as YAML tells them: keys that are no words are refused when a tree is validated."""
_Kind = TypeVar("_Kind", RunConfig, PretrainConfig)
_NOT_YAML = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""PyYAML refuses deep nesting with RecursionError, and impossible dates, numbers and switches with the others."""
_CHOICES = {"data": DATASET_NAMES, "method": METHOD_NAMES}
"""Sections whose ``name`` decides which settings there are."""
_LARGEST_BYTES = 1_000_000
"""Of a configuration; PyYAML takes a second for each 100 kB."""
_SHOWN = 80
"""Characters of a refused value that a message repeats."""


def load_config(layers: Sequence[Mapping[Any, Any]]) -> RunConfig:
    """Merge layers, later ones winning key by key, and validate the result.

    Raises:
        ConfigError: an unknown key (with the nearest known one) or a value out of range.
    """
    return _validated(RunConfig, layers)


def load_pretraining(layers: Sequence[Mapping[Any, Any]]) -> PretrainConfig:
    """The same for a pretraining.

    Raises:
        ConfigError: as ``load_config``.
    """
    return _validated(PretrainConfig, layers)


def read_layer(path: Path) -> Tree:
    """A YAML file as a tree of settings.

    Raises:
        ConfigError: the file is missing, is not YAML or is not a mapping.
    """
    try:
        text = read_text(path, largest_bytes=_LARGEST_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read configuration {path}: it is not UTF-8 text") from None
    try:
        tree = plain_yaml(text)
    except _NOT_YAML as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping of settings, not a {type(tree).__name__}")
    return tree


def override_layer(assignments: Sequence[str]) -> Tree:
    """``["method.uncertainty.enabled=false"]`` as a tree; values are read as YAML.

    Raises:
        ConfigError: an assignment without ``=`` or with an empty part.
    """
    tree: Tree = {}
    for assignment in assignments:
        dotted, equals, text = assignment.partition("=")
        keys = dotted.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"'{assignment}' is not of the form key.key=value")
        try:
            value = plain_yaml(text)
        except _NOT_YAML:
            raise ConfigError(f"the value in '{assignment}' is not valid YAML") from None
        for key in reversed(keys):
            value = {key: value}
        tree = _merged(tree, value)
    return tree


def preset_path(dataset: str, *names: str) -> Path:
    """The configuration file shipped as ``configs/<dataset>/<name>.yaml``, of the first name that there is.

    Raises:
        ConfigError: there is none of these names; the message lists those there are.
    """
    shipped = Path(str(resources.files("medwsss"))) / "configs"
    folder = (shipped if shipped.is_dir() else shipped.parents[1] / "configs") / dataset
    found = next((path for name in names if (path := folder / f"{name}.yaml").is_file()), None)
    if found is None:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise ConfigError(f"no configuration '{names[0]}' for {dataset} (shipped: {known}); pass --config FILE")
    return found


def preset_layer(dataset: str, *names: str) -> Tree:
    """The settings of ``preset_path``; a folder of studies takes those of ACDC, which suit volumes, but its task.

    Raises:
        ConfigError: there is none of these names.
    """
    if dataset != "folder":
        return read_layer(preset_path(dataset, *names))
    layer = read_layer(preset_path("acdc", *names))
    data = {key: value for key, value in layer.get("data", {}).items() if key != "task"}
    return {**layer, "data": data}


def defaults_of(config: RunConfig) -> RunConfig:
    """The schema's defaults for the same data set and method."""
    return RunConfig(data=type(config.data)(name=config.data.name), method=type(config.method)())


def differences(config: RunConfig, reference: RunConfig) -> dict[str, Any]:
    """Settings that differ from those of ``reference``, a run with the same method and kind of data, by dotted key."""
    before = dict(leaves(reference.model_dump(mode="json")))
    return {key: value for key, value in leaves(config.model_dump(mode="json")) if before[key] != value}


def to_yaml(config: LearningConfig) -> str:
    """The whole configuration, defaults included, in the schema's order."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a tree by dotted key; the free-form ``arguments`` of the encoder count as one."""
    for key, value in tree.items():
        if isinstance(value, dict) and key != "arguments":
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _validated(kind: type[_Kind], layers: Sequence[Mapping[Any, Any]]) -> _Kind:
    default = kind()
    merged: Tree = {key: {"name": getattr(default, key).name} for key in _CHOICES if key in kind.model_fields}
    for layer in layers:
        merged = _merged(merged, layer)
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        problems = "; ".join(_explained(problem, kind) for problem in error.errors())
        raise ConfigError(" ".join(problems.split())) from None


def _merged(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> Tree:
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict) and not _other_choice(key, below, value):
            value = _merged(below, value)
        result[key] = value
    return result


def _other_choice(key: str, below: Mapping[Any, Any], value: Mapping[Any, Any]) -> bool:
    """Settings of one method or data set mean nothing to another, so naming another one starts afresh."""
    return key in _CHOICES and "name" in value and "name" in below and value["name"] != below["name"]


def _explained(problem: Mapping[str, Any], kind: type[BaseModel]) -> str:
    where, choice = [str(part) for part in problem["loc"]], ""
    if len(where) > 1 and where[0] in _CHOICES:  # pydantic inserts the name of the choice
        choice = f" of {where.pop(1)}"
    dotted = ".".join(where) or "configuration"
    if problem["type"] == "union_tag_invalid":
        name, known = problem["ctx"]["tag"], _CHOICES[where[0]]
        return f"unknown {dotted}.name '{name}'{did_you_mean(name, known)} (there are {', '.join(known)})"
    if problem["type"] == "value_error":  # of our own checks, which name what does not fit
        return f"{dotted}: {problem['ctx']['error']}"
    if problem["type"] != "extra_forbidden":
        return f"{dotted}: {problem['msg']} (got {reprlib.repr(problem['input'])[:_SHOWN]})"
    settings = {path.rsplit(".", 1)[-1] for path in _paths(kind)} - {where[-1]}
    return f"unknown setting '{dotted}'{choice}{did_you_mean(where[-1], settings)}"


def _paths(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _paths(kind, f"{prefix}{name}.")
