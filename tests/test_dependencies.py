"""docs/security.md says from which version on a library has none of the holes that were known when it was written."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

CHECKOUT = Path(__file__).resolve().parents[1]


def floors() -> dict[str, Version]:
    """The lowest version of each library that an installation takes."""
    listed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    requirements = [Requirement(line) for line in listed]
    return {
        requirement.name.lower(): min(Version(part.version) for part in requirement.specifier if part.operator == ">=")
        for requirement in requirements
    }


def reviewed() -> list[tuple[str, str]]:
    """Library and floor of every row of the table."""
    text = (CHECKOUT / "docs" / "security.md").read_text()
    rows = [line.split("|") for line in text[text.index("## Dependencies") :].splitlines() if line.startswith("| `")]
    return [(cells[1].strip(" `"), cells[2].strip()) for cells in rows]


def test_every_library_that_reads_files_of_strangers_was_reviewed() -> None:
    names = {name for name, _ in reviewed()}
    assert {"torch", "monai", "pydicom", "pillow", "safetensors", "nibabel", "simpleitk", "numpy", "pyyaml"} <= names


@pytest.mark.parametrize(("name", "floor"), reviewed())
def test_an_installation_takes_no_version_below_the_reviewed_floor(name: str, floor: str) -> None:
    assert floors()[name] >= Version(floor)
