"""Two thousand steps: memory and open files stay where they are after the first few hundred."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from fakes.command_line import tiny_config_file

pytestmark = pytest.mark.slow

STEPS, WARM = 2000, 500
GROWTH = 1.02


def resident_kib(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def step_of(run: Path) -> int:
    """The last step in metrics.csv, from its end alone."""
    metrics = run / "metrics.csv"
    if not metrics.is_file():
        return 0
    with metrics.open("rb") as stream:
        stream.seek(max(0, metrics.stat().st_size - 400))
        lines = stream.read().decode().splitlines()
    return int(lines[-1].partition(",")[0]) if len(lines) > 1 and lines[-1].count(",") == 2 else 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from /proc")
def test_two_thousand_steps_take_no_more_memory_and_files_than_five_hundred(tmp_path: Path) -> None:
    config = tiny_config_file(
        tmp_path,
        data={"grid": {"crop": 64}, "workers": 1, "phantom": {"patients": 5}},
        training={
            "iterations": STEPS, "batch_size": 2, "checkpoint_every": 100, "validate_every": 250, "picture_every": 250
        },
    )  # fmt: skip
    run, seen = tmp_path / "run", []
    command = [sys.executable, "-m", "medwsss", "train", "--config", config, "--out", run, "--device", "cpu"]
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        while process.poll() is None and step_of(run) < STEPS:
            step = step_of(run)
            if step:
                files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
                seen.append((step, resident_kib(process.pid), files))
            time.sleep(0.2)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err.decode()
    table = pd.DataFrame(seen, columns=["step", "kib", "files"])
    early = table[(table["step"] > WARM) & (table["step"] <= 2 * WARM)]
    late = table[table["step"] > STEPS - WARM]
    print(early.median(), late.median())
    assert min(len(early), len(late)) > 10
    assert late["kib"].median() <= GROWTH * early["kib"].median()
    assert late["files"].median() <= statistics.median(early["files"])
