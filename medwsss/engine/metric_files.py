"""Metrics of a run as CSV and TensorBoard; a resumed run continues both without repeating a step."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from medwsss.engine.run_folder import RunFolder


class MetricFiles:
    """Appends rows to metrics.csv and validation.csv, and scalars to TensorBoard."""

    def __init__(self, run: RunFolder, *, first_step: int) -> None:
        """Rows after ``first_step`` are dropped: they belong to iterations that a resumed run does again."""
        self._run = run
        for path in (run.metrics, run.validation):
            _truncate(path, first_step)
        self._board = SummaryWriter(str(run.tensorboard), purge_step=first_step + 1)

    def add_losses(self, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
        """One row per loss term, so that terms may start at any time."""
        _append(self._run.metrics, step, {**losses, "learning_rate": learning_rate})
        self._scalars("train", step, losses)

    def add_scores(self, step: int, scores: Mapping[str, float]) -> None:
        """One row per score."""
        _append(self._run.validation, step, scores)
        self._scalars("validation", step, scores)

    def close(self) -> None:
        self._board.close()

    def _scalars(self, prefix: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._board.add_scalar(f"{prefix}/{name}", value, step)


def _append(path: Path, step: int, values: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(["step", "name", "value"])
        writer.writerows([step, name, repr(float(value))] for name, value in values.items())


def _truncate(path: Path, last_step: int) -> None:
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    kept = [row for row in rows if int(row[0]) <= last_step]
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *kept])
    partial.replace(path)
