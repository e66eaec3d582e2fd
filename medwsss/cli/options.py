"""Choices by name that several commands share."""

import difflib
from collections.abc import Collection

from medwsss.errors import ConfigError
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
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    raise ConfigError(f"unknown {what} '{name}'{hint} (there are {', '.join(known)})")
