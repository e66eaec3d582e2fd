"""Work comes back in order, a few results at a time, from processes and from threads."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from medwsss.engine.workers import available_cores, spread
from medwsss.errors import DatasetError, EvaluationError


def square(index: int) -> int:
    time.sleep(0.01 * (index % 3))
    return index * index


@pytest.mark.parametrize("forked", [True, False])
@pytest.mark.parametrize("workers", [1, 3, 50])
def test_results_come_in_the_order_of_the_tasks(forked: bool, workers: int) -> None:
    assert list(spread(square, 12, workers, forked=forked)) == [index * index for index in range(12)]
    assert list(spread(square, 0, workers, forked=forked)) == []


def test_processes_see_data_that_cannot_be_pickled() -> None:
    doubled: Callable[[int], int] = lambda index: 2 * index  # noqa: E731
    assert list(spread(doubled, 4, 2, forked=True)) == [0, 2, 4, 6]


def mark(folder: Path, index: int) -> int:
    (folder / str(index)).touch()
    return index


@pytest.mark.parametrize("forked", [True, False])
def test_a_slow_reader_holds_the_workers_back(tmp_path: Path, forked: bool) -> None:
    results = spread(partial(mark, tmp_path), 100, 2, forked=forked)
    next(results)
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) <= 8  # four for each of two workers
    results.close()  # type: ignore[attr-defined]


def fail(index: int) -> int:
    if index == 3:
        raise DatasetError("file 3 is damaged")
    return index


@pytest.mark.parametrize("forked", [True, False])
def test_an_error_arrives_as_it_was_raised(forked: bool) -> None:
    with pytest.raises(DatasetError, match=r"^file 3 is damaged$"):
        list(spread(fail, 9, 2, forked=forked))


def die(index: int) -> int:
    if index == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def test_a_killed_process_is_said() -> None:
    with pytest.raises(EvaluationError, match="worker process was killed"):
        list(spread(die, 9, 2, forked=True))


def test_there_is_a_core() -> None:
    assert available_cores() >= 1
