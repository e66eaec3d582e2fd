from pathlib import Path

from fakes.networks import tiny_run_config

from medwsss.cli.run_notes import supervision
from medwsss.data.records import save_record
from medwsss.engine.run_folder import RunFolder


def test_patients_without_seeds_are_named_whole_and_once(tmp_path: Path) -> None:
    """Names of somebody's own patients may hold underscores."""
    run = RunFolder(tmp_path)
    left_out = {name: ["still"] for name in ("site_A_01_ED", "site_A_01_ES", "patient002_frame01")}
    save_record(run.cine, {"labels": "seeds", "rounds": 0, "left_out": left_out})
    words = supervision(tiny_run_config(addons={"cine": {"enabled": True}}), run)
    assert words.endswith("the prior does not fit 2 training patients (patient002, site_A_01)")
