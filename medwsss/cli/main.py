"""The command line. Commands import torch only when they run, so that ``--help`` is instant."""

import sys
import warnings
from typing import Any

import typer

from medwsss.cli.evaluate import evaluate
from medwsss.cli.phantom import phantom
from medwsss.cli.predict import predict
from medwsss.cli.tags import tags
from medwsss.cli.train import train
from medwsss.errors import MedwsssError, MedwsssWarning

app = typer.Typer(
    help="Weakly supervised segmentation for medical imaging: from image-level labels to volume reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(train)
app.command()(predict)
app.command()(evaluate)
app.command()(tags)
app.command()(phantom)


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if show:
        from medwsss import __version__

        typer.echo(f"medwsss {__version__}")
        raise typer.Exit


def run() -> None:
    """Run the command line: bad input is one line on standard error and exit code 2, an interruption 130."""
    warnings.showwarning = _one_line
    try:
        app()
    except MedwsssError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)


def _one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Warnings meant for the user as one line; those of libraries stay out of the way."""
    if issubclass(category, MedwsssWarning):
        typer.echo(f"warning: {message}", err=True)
