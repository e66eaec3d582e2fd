"""What a person watches while a command works."""

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PLAIN_SECONDS = 20.0
"""Without a terminal (log files, CI), a line this often instead of a bar."""


def progress() -> Progress:
    """A bar on standard error with the time left; silent where there is no terminal, and in all but one process."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal or os.environ.get("RANK", "0") != "0",
    )


class TrainingProgress(AbstractContextManager["TrainingProgress"]):
    """Iterations, losses and time left: a bar in a terminal, a line now and then in a log."""

    def __init__(self, iterations: int, first_step: int) -> None:
        self._iterations = iterations
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=iterations, completed=first_step)
        self._smooth: dict[str, float] = {}
        self._last_line = time.monotonic()

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, step: int, losses: Mapping[str, float], seconds_left: float) -> None:
        """One more iteration; losses are shown as running means."""
        for name, value in losses.items():
            self._smooth[name] = 0.95 * self._smooth.get(name, value) + 0.05 * value
        shown = "  ".join(f"{name} {value:.3f}" for name, value in self._smooth.items())
        self._bar.update(self._task, completed=step, description=shown)
        now = time.monotonic()
        due = now - self._last_line > _PLAIN_SECONDS or step == self._iterations
        if not self._console.is_terminal and due:
            self._last_line = now
            minutes, seconds = divmod(round(seconds_left), 60)
            self._console.print(
                f"step {step}/{self._iterations}, {minutes}:{seconds:02d} left  {shown}", soft_wrap=True
            )
