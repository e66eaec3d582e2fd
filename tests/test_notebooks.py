"""The notebooks run from top to bottom, and are stored as a reader wants to find them."""

import ast
import pkgutil
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import typer
from nbclient import NotebookClient

from medwsss.cli.main import app

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
SECONDS = 300
"""What a cell may take, on two slow cores, before it counts as stuck."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def executed(path: Path, folder: Path) -> None:
    """Raises where a cell fails or is stuck."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources).execute()


@pytest.mark.slow
@every_notebook
def test_it_runs_from_top_to_bottom_on_generated_hearts(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDWSSS_ACDC", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    executed(path, tmp_path)


@pytest.mark.slow
@pytest.mark.data
@every_notebook
def test_it_runs_from_top_to_bottom_on_real_patients(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Callable[..., Path]
) -> None:
    monkeypatch.setenv("MEDWSSS_ACDC", str(shared_data("acdc")))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    executed(path, tmp_path)


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@every_notebook
def test_it_is_stored_without_outputs_and_is_valid(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(not cell.outputs and cell.execution_count is None for cell in cells(path, "code"))


@every_notebook
def test_it_has_a_title_and_prose_before_code(path: Path) -> None:
    first, second = nbformat.read(path, as_version=4).cells[:2]
    assert first.cell_type == "markdown"
    assert re.match(r"# \S", first.source)
    assert len(first.source.split()) > 50
    assert second.cell_type == "code"


@every_notebook
def test_every_cell_compiles_and_what_it_imports_exists(path: Path) -> None:
    for cell in cells(path, "code"):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom):
                for name in node.names:
                    pkgutil.resolve_name(f"{node.module}:{name.name}")  # raises where a part is missing


@every_notebook
def test_every_command_in_its_prose_is_known(path: Path) -> None:
    group = typer.main.get_command(app)
    for cell in cells(path, "markdown"):
        for line in re.findall(r"`(medwsss\s[^`]+)`", cell.source):
            name, *arguments = shlex.split(line)[1:]
            command = group.get_command(None, name)  # type: ignore[attr-defined]
            assert command is not None, line
            if arguments and name != "export":
                command.make_context(name, arguments)  # raises on an unknown option or a missing argument


@every_notebook
def test_every_file_it_names_is_there(path: Path) -> None:
    checkout = path.parents[1]
    prose = "\n".join(cell.source for cell in cells(path, "markdown"))
    assert all((checkout / file).is_file() for file in re.findall(r"`((?:docs|configs)/[^`]+)`", prose))
