"""docs/paper_map.md forgets no equation and no table of the papers, and all that it points to exists."""

import ast
import pkgutil
import re
import shlex
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
import typer
from pydantic import BaseModel

from medwsss.cli.ablate import grid_file
from medwsss.cli.main import app
from medwsss.config.schema import RunConfig

CHECKOUT = Path(__file__).resolve().parents[1]
MAP = CHECKOUT / "docs/paper_map.md"

EQUATIONS = {"UniA": 17, "URN": 13, "USAGE": 11, "HFPL": 23}
"""The number of the last equation of each paper; all are numbered from 1 without a gap."""
TABLES = {
    "UniA": ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"),
    "URN": ("1", "2", "3", "4", "5"),
    "USAGE": ("1", "2", "3", "4", "5", "6", "7", "8"),
    "HFPL": ("1", "2", "3", "4", "5"),
}
WITHOUT_PLACE = re.compile(r"background|other methods' numbers|not built(?: yet)?: \S.*")
"""What stands instead of a place; who has not built something says what or why."""


class Row(NamedTuple):
    """One line of the map: what the paper has, where the package has it, and which tests hold it."""

    paper: str
    item: str
    meaning: str
    where: str
    test: str

    @property
    def places(self) -> list[str]:
        """Python paths, configuration keys and commands."""
        return re.findall(r"`([^`]+)`", self.where)

    @property
    def tests(self) -> list[str]:
        """As ``file::function``."""
        return re.findall(r"`([^`]+)`", self.test)


def rows() -> list[Row]:
    """The tables of the map, each below a heading that starts with the name of its paper."""
    found, paper = [], ""
    for line in MAP.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            paper = re.split(r"\W", line[3:])[0]
        if line.startswith("|") and not re.match(r"\|(-| Paper item )", line):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.append(Row(paper, *cells))
    return found


ROWS = rows()
PLACES = sorted({place for row in ROWS for place in row.places})
TESTS = sorted({test for row in ROWS for test in row.tests})


def test_every_equation_and_every_table_is_listed_exactly_once() -> None:
    expected = [
        *((paper, f"Eq. {number}") for paper, last in EQUATIONS.items() for number in range(1, last + 1)),
        *((paper, f"Table {number}") for paper, numbers in TABLES.items() for number in numbers),
    ]
    listed = Counter((row.paper, row.item) for row in ROWS if row.item.startswith(("Eq", "Tab")))
    assert listed == Counter(expected)


def test_every_row_has_a_place_and_a_test_or_says_why_not() -> None:
    for row in ROWS:
        assert row.meaning, row
        if row.places:
            assert row.tests, row
        else:
            assert WITHOUT_PLACE.fullmatch(row.where), row
            assert row.test == "–", row


@pytest.mark.parametrize("place", PLACES)
def test_every_place_exists(place: str) -> None:
    if place.startswith("medwsss "):
        accepts(place)
    elif place.startswith("medwsss."):
        pkgutil.resolve_name(place)  # raises where a part is missing
    else:
        assert is_setting(place)


@pytest.mark.parametrize("test", TESTS)
def test_every_test_exists(test: str) -> None:
    file, _, function = test.partition("::")
    assert function in functions(CHECKOUT / file)


@pytest.mark.parametrize("place", ["medwsss.losses.distribution.no_such_loss", "method.no_such_key", "method.cam.x"])
def test_a_place_that_does_not_exist_is_found_out(place: str) -> None:
    with pytest.raises((AssertionError, AttributeError)):
        test_every_place_exists(place)


def accepts(line: str) -> None:
    """Raises where the command line does not know the command, an option or a grid."""
    name, *arguments = shlex.split(line)[1:]
    command = typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined]
    assert command is not None
    given = command.make_context(name, arguments).params
    if name == "ablate":
        assert grid_file(given["grid"]).is_file()


def is_setting(key: str) -> bool:
    """Whether any method or data set has a setting of that dotted key."""
    sections: list[type[BaseModel]] = [RunConfig]
    for name in key.split("."):
        fields = [section.model_fields[name] for section in sections if name in section.model_fields]
        kinds = [kind for field in fields for kind in (field.annotation, *get_args(field.annotation))]
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not fields:
            return False
    return True


@cache
def functions(file: Path) -> frozenset[str]:
    """Names of the test functions of a file, without running it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
