"""``medwsss compare``: two reports on the same volumes, paired by patient."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    first: Annotated[Path, typer.Argument(metavar="REPORT_A", help="Folder of a report, or of a run that holds one.")],
    second: Annotated[Path, typer.Argument(metavar="REPORT_B", help="The other; B minus A is reported.")],
    out: Annotated[Path, typer.Option(help="Folder for the comparison.")],
) -> None:
    """Say whether B is better than A on the same volumes, by how much, and how sure that is."""
    from medwsss.cli.options import check_folder
    from medwsss.reports.comparison import compare_reports, remarks, sentences, write_comparison
    from medwsss.reports.report_folder import paired, read_report

    reports = read_report(first), read_report(second)
    check_folder(out)
    comparison = compare_reports(*reports, paired(*reports))
    page = write_comparison(comparison, out)
    for line in (*sentences(comparison), *remarks(comparison)):
        typer.echo(line)
    typer.echo(f"Comparison: {page}")
