"""The command line. Commands import torch only when they run, so that ``--help`` is instant."""

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from typing import Any

import typer

from medwsss.cli.ablate import ablate
from medwsss.cli.check import check
from medwsss.cli.compare import compare
from medwsss.cli.evaluate import evaluate
from medwsss.cli.export import export
from medwsss.cli.init import init
from medwsss.cli.lines import one_line
from medwsss.cli.masks import masks
from medwsss.cli.phantom import phantom
from medwsss.cli.predict import predict
from medwsss.cli.pretrain import pretrain
from medwsss.cli.pseudo_label import pseudo_label
from medwsss.cli.report import report
from medwsss.cli.seeds import seeds
from medwsss.cli.tags import tags
from medwsss.cli.train import train
from medwsss.errors import ConfigError, MedwsssError, MedwsssWarning
from medwsss.memory import keep_freed_memory, leave_without_collecting

app = typer.Typer(
    help="Weakly supervised segmentation for medical imaging: from image-level labels to volume reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(init)
app.command()(check)
app.command()(train)
app.command()(pretrain)
app.command()(predict)
app.command()(evaluate)
app.command()(report)
app.command()(compare)
app.command()(tags)
app.command()(masks)
app.command()(pseudo_label)
app.command()(seeds)
app.command()(ablate)
app.command()(phantom)
app.add_typer(export, name="export")


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if show:
        from medwsss import __version__

        typer.echo(f"medwsss {__version__}")
        raise typer.Exit


def run() -> None:
    """Run the command line: bad input is one line on standard error and exit code 2, an interruption 130."""
    # Set before torch loads: threads that spin while they wait cost several times the work on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    leave_without_collecting()
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started, one tells what happens
    with warnings.catch_warnings(), nullcontext() if first else redirect_stdout(None):
        warnings.simplefilter("always" if first else "ignore", MedwsssWarning)
        warnings.showwarning = _shown_once()
        try:
            if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not {"train", "predict"} & set(sys.argv[1:2]):
                raise ConfigError("only train and predict share their work out: start other commands without torchrun")
            app()
        except MedwsssError as error:
            _fail(str(error))
        except OSError as error:  # what no part foresaw, such as a disk that fills up or a folder without permission
            _fail(
                f"{error.filename or 'input or output'}: {error.strerror or error}; check path, permissions and space"
            )
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            sys.exit(130)


def _fail(message: str) -> None:
    typer.echo(f"error: {one_line(message)}", err=True)
    sys.exit(2)


def _shown_once() -> Callable[..., None]:
    """Shows each warning meant for the user once, as one line; those of libraries stay out of the way."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        line = one_line(str(message))
        if issubclass(category, MedwsssWarning) and line not in shown:
            shown.add(line)
            typer.echo(f"warning: {line}", err=True)

    return show
