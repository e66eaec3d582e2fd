"""Work spread over the cores, its results in order; a few of them exist at a time."""

import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from medwsss.errors import EvaluationError

_AHEAD = 2
"""Tasks in work or waiting, per worker: bounds the memory."""
_T = TypeVar("_T")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def spread(work: Callable[[int], _T], tasks: int, workers: int, *, forked: bool) -> Iterator[_T]:
    """Results of ``work(0)`` to ``work(tasks - 1)`` in order, from as many workers as there is use for.

    Args:
        work: what to do; where ``forked``, it must not use torch, whose threads do not survive a fork.
        tasks: how many times.
        workers: at most so many at once.
        forked: whether workers are processes. Forked ones see ``work`` and its data as they are now and start at once;
            short numpy calls scale with them, while threads wait for one another. Where forking is not safe, threads
            do the work.

    Raises:
        EvaluationError: a worker process was killed.
    """
    workers = min(workers, tasks)
    if workers <= 1:
        yield from map(work, range(tasks))
        return
    if not forked or sys.platform != "linux":
        with ThreadPoolExecutor(workers) as threads:
            yield from _in_order(threads, work, tasks, _AHEAD * workers)
        return
    context = multiprocessing.get_context("fork")
    try:
        with ProcessPoolExecutor(workers, context, initializer=_adopt, initargs=(work,)) as processes:
            with warnings.catch_warnings():
                # Python warns of a fork beside threads; the workers need no lock that one of them may hold
                warnings.simplefilter("ignore", DeprecationWarning)
                processes.submit(bool)  # the first task starts all processes
            yield from _in_order(processes, _work_adopted, tasks, _AHEAD * workers)
    except BrokenProcessPool as error:
        raise EvaluationError("a worker process was killed, perhaps for want of memory: free some") from error


def _in_order(executor: Executor, work: Callable[[int], _T], tasks: int, ahead: int) -> Iterator[_T]:
    waiting: deque[Future[_T]] = deque()
    try:
        for task in range(tasks):
            waiting.append(executor.submit(work, task))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


_adopted: Callable[[int], Any]
"""What a worker process does; set there alone."""


def _adopt(work: Callable[[int], Any]) -> None:
    global _adopted
    _adopted = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process answers Ctrl-C


def _work_adopted(index: int) -> Any:
    return _adopted(index)
