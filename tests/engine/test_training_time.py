import math
from pathlib import Path

import pytest

from medwsss.cli.run_notes import training_time
from medwsss.engine.run_folder import RunFolder
from medwsss.engine.training_time import training_seconds, write_training_time
from medwsss.errors import OutputError


def test_the_time_is_that_of_the_iteration_it_was_stored_at(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_training_time(run, 2000, 502 * 60)
    assert training_seconds(run, 2000) == 502 * 60
    assert math.isnan(training_seconds(run, 1999))
    assert training_time(run, 2000) == "502.00 min, with validation and pictures"


@pytest.mark.parametrize("content", [None, "", "[]", '{"iterations": 5}', '{"iterations": 5, "seconds": null}'])
def test_a_time_that_is_not_there_is_unknown_and_stays_so(tmp_path: Path, content: str | None) -> None:
    run = RunFolder(tmp_path)
    if content is not None:
        run.training_time.write_text(content)
    assert math.isnan(training_seconds(run, 5))
    write_training_time(run, 6, training_seconds(run, 5) + 60.0)
    assert math.isnan(training_seconds(run, 6))
    assert training_time(run, 6) == "not recorded"


def test_a_time_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "training_time.json").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*training_time\.json"):
        write_training_time(RunFolder(tmp_path), 1, 1.0)
