"""The main job as the README promises it, with nothing changed: minutes, hence marked slow."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from fakes.command_line import medwsss

pytestmark = pytest.mark.slow

ROWS = ("tags-only-unia", "tags-and-cine-unet-on-cine-seeds")


def test_cine_beats_tags_alone_and_every_training_free_baseline_on_the_phantom(tmp_path: Path) -> None:
    """What scripts/quickstart.sh runs after the installation."""
    start = time.monotonic()
    answer = medwsss("ablate", "--grid", "quickstart", "--seeds", "0", "--out", tmp_path / "run", "--device", "cpu")
    assert answer.code == 0, answer.err
    assert time.monotonic() - start < 15 * 60
    assert (tmp_path / "run" / "table.html").is_file()
    tags_only, cine = (summary(tmp_path / "run" / row / "seed-0") for row in ROWS)
    assert dice(cine) > dice(tags_only) + 0.05
    lost = [baseline["name"] for baseline in cine["baselines"] if not baseline["beaten"]]
    assert lost == []


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "report" / "summary.json").read_text())
    return found


def dice(found: dict[str, Any]) -> float:
    return float(found["per_case"]["heart"]["dice"]["estimate"])
