"""Ratios of medians of paired runs, and peak memory: machines are noisy, so nothing is timed alone."""

import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

Run = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """One line of the table: ours beside a yardstick, measured in turn."""

    key: str
    what: str
    yardstick: str
    yardstick_seconds: float
    our_seconds: float
    yardstick_mib: float | None = None
    our_mib: float | None = None
    """Peak memory above what was there before, where it was measured."""

    @property
    def value(self) -> float:
        """Times as fast where the key says speedup, else times as long."""
        if "speedup" in self.key:
            return self.yardstick_seconds / self.our_seconds
        return self.our_seconds / self.yardstick_seconds


def compared(
    key: str,
    what: str,
    *,
    ours: Run,
    yardstick: tuple[str, Run],
    repeats: int,
    device: torch.device,
    memory: bool = False,
) -> Ratio:
    """Both in turn, ``repeats`` times after one warm-up, and where ``memory`` once more each for its peak."""
    name, plain = yardstick
    medians = paired_medians({"yardstick": plain, "ours": ours}, repeats, device)
    peaks = [peak_mib(run, device) for run in (plain, ours)] if memory else [None, None]
    return Ratio(key, what, name, medians["yardstick"], medians["ours"], *peaks)


def paired_medians(runs: Mapping[str, Run], repeats: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each, run in turn after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            _wait(device)
            start = time.perf_counter()
            run()
            _wait(device)
            if repeat > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_mib(run: Run, device: torch.device) -> float | None:
    """What a run adds at most to the memory, of the GPU or resident (Linux), in MiB; None where nothing can tell."""
    release_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    if sys.platform != "linux":
        return None
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident_kib("VmRSS")
    run()
    return (_resident_kib("VmHWM") - before) / 1024


def release_memory() -> None:
    """Give back what earlier runs have freed: it would hide what the next one takes, and slow down forks."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _resident_kib(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
