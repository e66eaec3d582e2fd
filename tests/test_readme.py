"""What the README tells people to type exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from medwsss.cli.main import app

CHECKOUT = Path(__file__).resolve().parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
LINES = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.S)
    for line in block.splitlines()
]
INLINE = re.findall(r"`(medwsss [a-z]+ [^`]*--[^`]*)`", README)
COMMANDS = [line for line in [*LINES, *INLINE] if line.startswith("medwsss ")]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_is_known(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    group = typer.main.get_command(app)
    command = group.get_command(None, name)  # type: ignore[attr-defined]
    assert command is not None
    command.make_context(name, arguments)  # raises on an unknown option or a missing argument


@pytest.mark.parametrize("script", [line.split()[1] for line in LINES if line.startswith("bash ")])
def test_every_script_is_there(script: str) -> None:
    assert (CHECKOUT / script).is_file()


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_link_into_the_repository_leads_somewhere(target: str) -> None:
    assert (CHECKOUT / target).exists()
