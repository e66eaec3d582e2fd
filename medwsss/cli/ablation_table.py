"""The table of an ablation from the runs in its folder."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medwsss.engine.run_folder import RunFolder
    from medwsss.reports.ablation_scores import Headline


def write_table(out: Path) -> Path:
    """The table of an ablation from its finished runs; returns the path of its Markdown.

    Raises:
        CheckpointError: ``out`` is not the folder of an ablation.
        EvaluationError: the summary of a run cannot be read.
        OutputError: the table cannot be written.
    """
    from medwsss.engine.ablation import is_done, read_record, run_folder
    from medwsss.reports.ablation import write_ablation
    from medwsss.reports.ablation_scores import Ablation, Row

    record = read_record(out)
    rows = []
    for cell, shown in zip(record.rows, record.shown, strict=True):
        folders = {seed: run_folder(out, cell, seed) for seed in record.seeds}
        runs = {seed: run_headline(run, out) for seed, run in folders.items() if is_done(run)}
        own_method = (f"method.name={cell.method}",) if cell.method else ()
        rows.append(Row(cell.name, shown, (*own_method, *cell.set), runs))
    ablation = Ablation(
        title=record.title,
        note=record.note,
        columns=record.columns,
        seeds=record.seeds,
        vary=record.vary,
        rows=tuple(rows),
        about=record.about,
    )
    return write_ablation(ablation, out)


def run_headline(run: "RunFolder", out: Path) -> "Headline":
    """The compared numbers of a finished run of the ablation in ``out``.

    Raises:
        EvaluationError: its summary cannot be read.
    """
    from medwsss.engine.ablation import summary_file
    from medwsss.errors import EvaluationError
    from medwsss.reading import read_json
    from medwsss.reports.ablation_scores import headline

    path = summary_file(run)
    try:
        summary = read_json(path)
        return headline(summary, report=run.report.relative_to(out).as_posix())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path} cannot be read ({error}): remove it, and the run is scored again") from None
