"""What a pass over the training slices costs: memory that stays, and time that grows with their number."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.acdc import FakePatient, write_acdc

PASS = """
import json, sys, time
from pathlib import Path
from medwsss.config.data import AcdcDataConfig
from medwsss.data import prepared_data
from medwsss.data.sample import Draw

def own_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024

root, cache = Path(sys.argv[1]), sys.argv[2]
config = AcdcDataConfig.model_validate(
    {"root": root, "task": "multi", "cache_dir": cache, "grid": {"crop": 64, "spacing_mm": 1.5}}
)
samples = prepared_data(config, root, root.parent / "tags.csv").training_set()
for index in range(8):
    samples[Draw(index, index)]
before, start = own_mib(), time.process_time()
for index in range(len(samples)):
    samples[Draw(index, index)]
print(json.dumps({"slices": len(samples), "grown": own_mib() - before, "seconds": time.process_time() - start}))
"""


def cost(folder: Path, patients: int) -> dict[str, float]:
    root = folder / f"of-{patients}"
    write_acdc(root, [FakePatient(number=number + 1, grid=(256, 256, 8)) for number in range(patients)])
    answer = subprocess.run(
        [sys.executable, "-c", PASS, str(root), str(folder / "cache")], check=True, capture_output=True, text=True
    )
    return dict(json.loads(answer.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from /proc")
def test_memory_stays_and_time_is_linear_in_the_number_of_slices(tmp_path: Path) -> None:
    few, many = cost(tmp_path, 5), cost(tmp_path, 20)
    assert many["slices"] > 3 * few["slices"]
    held = many["slices"] * 256 * 256 * 4 / 2**20  # the slices themselves, which stay on disk
    assert many["grown"] < 0.2 * held
    assert many["seconds"] / many["slices"] < 1.5 * few["seconds"] / few["slices"]
