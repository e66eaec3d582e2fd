"""``python -m medwsss`` is the command line."""

from medwsss.cli.main import run

run()
