"""Metrics of a run as CSV and TensorBoard; a resumed run continues both without repeating a step."""

import csv
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from medwsss.engine.run_folder import RunFolder
from medwsss.errors import CheckpointError
from medwsss.reading import read_text
from medwsss.writing import written_whole

_HEADER = ["step", "name", "value"]


class MetricFiles:
    """Appends rows to metrics.csv and validation.csv, and scalars to TensorBoard."""

    def __init__(self, run: RunFolder, *, first_step: int) -> None:
        """Rows after ``first_step`` are dropped: they belong to iterations that a resumed run does again.

        That happens with the first new row, so that a run which fails before it changes no file.
        """
        self._run, self._first_step = run, first_step
        self._board: SummaryWriter | None = None

    def add_losses(self, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
        """One row per loss term, so that terms may start at any time."""
        self._open()
        _append(self._run.metrics, step, {**losses, "learning_rate": learning_rate})
        self._scalars("train", step, losses)

    def add_scores(self, step: int, scores: Mapping[str, float]) -> None:
        """One row per score."""
        self._open()
        _append(self._run.validation, step, scores)
        self._scalars("validation", step, scores)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _open(self) -> SummaryWriter:
        if self._board is None:
            for path in (self._run.metrics, self._run.validation):
                _truncate(path, self._first_step)
            self._board = SummaryWriter(str(self._run.tensorboard), purge_step=self._first_step + 1)
        return self._board

    def _scalars(self, prefix: str, step: int, values: Mapping[str, float]) -> None:
        board = self._open()
        for name, value in values.items():
            board.add_scalar(f"{prefix}/{name}", value, step)


def _append(path: Path, step: int, values: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(_HEADER)
        writer.writerows([step, name, repr(float(value))] for name, value in values.items())


def _truncate(path: Path, last_step: int) -> None:
    """Rows up to a step; what a killed process wrote half of its last row goes.

    Raises:
        CheckpointError: there is something else in the file.
    """
    if not path.exists():
        path.unlink(missing_ok=True)  # a link that leads nowhere
        return
    try:
        rows = csv.reader(read_text(path).splitlines())
        whole = [row for row in rows if len(row) == len(_HEADER) and row != _HEADER]
        kept = [row for row in whole if int(row[0]) <= last_step]
    except (csv.Error, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): move it away, then --resume") from None
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([_HEADER, *kept])
