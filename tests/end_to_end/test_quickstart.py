"""The main job as the README promises it, with nothing changed: minutes, hence marked slow."""

import json
import time
from pathlib import Path

import pytest
from fakes.command_line import medwsss

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "settings", [(), ("data.phantom.seed=1", "data.split.seed=1", "training.seed=1")], ids=["0", "1"]
)
def test_unia_beats_every_training_free_baseline_on_the_phantom_within_eight_minutes(
    tmp_path: Path, settings: tuple[str, ...]
) -> None:
    """The second case uses a phantom, a split and a network that no setting was chosen on."""
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    start = time.monotonic()
    answer = medwsss("train", "--dataset", "acdc", "--out", tmp_path / "run", "--device", "cpu", *arguments)
    assert answer.code == 0, answer.err
    assert time.monotonic() - start < 8 * 60
    summary = json.loads((tmp_path / "run" / "report" / "summary.json").read_text())
    lost = [baseline["name"] for baseline in summary["baselines"] if not baseline["beaten"]]
    assert lost == []
