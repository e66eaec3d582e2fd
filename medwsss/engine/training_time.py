"""How long a run has trained, added up over interruptions (UniA, Table IX)."""

import math

from medwsss.data.records import save_record
from medwsss.engine.run_folder import RunFolder
from medwsss.reading import read_json


def write_training_time(run: RunFolder, step: int, seconds: float) -> None:
    """Store that ``step`` iterations have taken ``seconds``, validation and pictures included; nan is unknown.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {"iterations": step, "seconds": None if math.isnan(seconds) else round(seconds, 3)}
    save_record(run.training_time, content)


def training_seconds(run: RunFolder, step: int) -> float:
    """Seconds that ``step`` iterations have taken; nan where they were not recorded at that iteration."""
    try:
        content = read_json(run.training_time)
        return float(content["seconds"]) if content["iterations"] == step else math.nan
    except (OSError, ValueError, TypeError, KeyError):
        return math.nan
