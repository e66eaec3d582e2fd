"""The real command line in this process."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import yaml

from fakes.networks import tiny_run_config
from medwsss.cli.main import run


@dataclass(frozen=True)
class Answer:
    """What a command left behind on the terminal."""

    code: int
    out: str
    err: str


def medwsss(*arguments: object) -> Answer:
    """Run ``medwsss ARGUMENTS``; an exception that is no exit is a failure of the test."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, "argv", ["medwsss", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
    return Answer(code, out.getvalue(), err.getvalue())


def tiny_config_file(folder: Path, **sections: object) -> Path:
    """The YAML of ``tiny_run_config``, for ``--config``."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_run_config(**sections).model_dump(mode="json")), encoding="utf-8")
    return path


def is_refused(answer: Answer, *parts: object) -> None:
    """Exit code 2, and after warnings a single line that says what, where and what to do."""
    *before, error = answer.err.splitlines() or [""]
    assert answer.code == 2, answer
    assert error.startswith("error: ")
    assert all(line.startswith("warning: ") for line in before)
    assert "Traceback" not in answer.err
    for part in parts:
        assert str(part) in error
