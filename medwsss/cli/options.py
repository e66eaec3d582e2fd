"""Choices by name that several commands share."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from medwsss.config.nearest import did_you_mean
from medwsss.errors import ConfigError, OutputError
from medwsss.labels import ACDC_TASKS, Task


def chosen_task(name: str) -> Task:
    """The ACDC task of that name.

    Raises:
        ConfigError: there is none.
    """
    return ACDC_TASKS[chosen("task", name, ACDC_TASKS)]


def chosen(what: str, name: str, known: Collection[str]) -> str:
    """The name itself if it is known.

    Raises:
        ConfigError: it is not; the nearest known one is offered.
    """
    if name in known:
        return name
    raise ConfigError(f"unknown {what} '{name}'{did_you_mean(name, known)} (there are {', '.join(known)})")


def refuse_options(what: str, options: Mapping[str, object]) -> None:
    """Refuse options that mean nothing here, instead of passing over them.

    Raises:
        ConfigError: one of them was given.
    """
    given = [name for name, value in options.items() if value not in (None, False, [])]
    if given:
        raise ConfigError(f"{' and '.join(given)} cannot be used with {what}: leave out")


def required(option: str, value: str | None) -> str:
    """The value of an option that this kind of data needs.

    Raises:
        ConfigError: it was not given.
    """
    if value is None:
        raise ConfigError(f"photographs need {option}: name the list of images, such as {option} val")
    return value


def check_folder(path: Path) -> None:
    """Refuse an output folder that cannot be made or written, before anything is computed for it.

    Raises:
        OutputError: the path or a part of it is a file, or may not be written.
    """
    nearest = next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise OutputError(f"cannot use {path} as a folder: {nearest} is a file; choose another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {path}: {nearest} is read-only; choose another --out")
