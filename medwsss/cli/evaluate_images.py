"""``medwsss evaluate`` on photographs: label PNGs against their references, and the report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from medwsss.errors import ConfigError, OutputError

if TYPE_CHECKING:
    import torch

    from medwsss.data.image_set import ImageSet
    from medwsss.engine.image_pairs import ImagePairing
    from medwsss.labels import LabelSet
    from medwsss.metrics.image_results import ImageEvaluation

_RECORDED = ("method", "run", "checkpoint", "source", "list", "tags")
"""What the record beside predictions of this program says and a reader of scores must know."""


def evaluate_images_command(
    predictions: Path,
    truth: Path,
    *,
    dataset: str,
    part: str | None,
    out: Path,
    device: "torch.device",
    classes: str | None = None,
    beside: Sequence[str] = (),
    contours: bool = True,
    title: str = "Segmentation report",
) -> None:
    """Score a folder of label PNGs, print the result in a few lines, and write the report.

    Args:
        predictions: folder of NAME.png.
        truth: folder of the data set, or a folder that holds label PNGs of the same names.
        dataset: name in ``data.IMAGE_SETS``, which defines the classes.
        part: a list of the data set; every image of it must be there. None compares what has both.
        out: folder for the report.
        device: where pixels are counted.
        classes: names, separated by commas, for the table of confusion ratio and IoU.
        beside: other predictions in that table, each as NAME=DIR.
        contours: whether to measure contour quality.
        title: of the report.

    Raises:
        ConfigError: a class or an option cannot be used.
        DatasetError, EvaluationError, OutputError: as the reading, comparing and writing of files.
    """
    from medwsss.engine.image_pairs import pair_images
    from medwsss.reports.image_report import write_image_report

    references, labels = _references(truth, dataset)
    selected = _selected(classes, labels)
    folders = _folders(beside)
    pairing = pair_images(predictions, references, _names(references, part), part=part)
    same = [pair.name for pair in pairing.pairs]
    others = {name: pair_images(folder, references, same, part=part) for name, folder in folders.items()}
    evaluation = _evaluated(pairing, labels, device, contours, "comparing")
    compared = {name: _evaluated(other, labels, device, False, name) for name, other in others.items()}
    notes = prediction_notes(predictions)
    page = write_image_report(evaluation, out, title=title, notes=notes, selected=selected, beside=compared)
    for line in image_lines(evaluation):
        typer.echo(line)
    typer.echo(f"Report: {page}")


def image_lines(evaluation: "ImageEvaluation") -> list[str]:
    """The report in a few lines: scores, what was left out, and how many images were not compared."""
    from medwsss.reports.image_tables import remarks, summary_sentences, undecided_sentence, unmatched

    lines = [*summary_sentences(evaluation), undecided_sentence(evaluation), *remarks(evaluation, {})]
    lines += [f"{what}: {len(names)}, first {names[0]}" for what, names in unmatched(evaluation).items()]
    return [line for line in lines if line]


def prediction_notes(predictions: Path) -> dict[str, str]:
    """What ``medwsss predict`` recorded beside its label images; nothing for folders of other programs."""
    from medwsss.data.records import read_record
    from medwsss.engine.prediction_record import RECORD

    try:
        record = read_record(predictions / RECORD) or {}
    except OutputError:  # some other program's file of that name
        return {}
    return {f"predictions, {key}": _words(record[key]) for key in _RECORDED if key in record}


def _words(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _references(truth: Path, dataset: str) -> tuple["ImageSet | Path", "LabelSet"]:
    from medwsss.data import IMAGE_SETS

    image_set = IMAGE_SETS[dataset]
    plain = truth.is_dir() and next(truth.glob("*.png"), None) is not None
    return truth if plain else image_set(truth), image_set.labels


def _names(references: "ImageSet | Path", part: str | None) -> Sequence[str] | None:
    if part is None:
        return None
    if isinstance(references, Path):
        raise ConfigError(f"--list {part} needs the folder of the data set, {references} is a folder of label PNGs")
    return references.names(part)


def _selected(classes: str | None, labels: "LabelSet") -> list[str]:
    from medwsss.cli.options import chosen

    names = [name.strip() for name in classes.split(",")] if classes is not None else []
    return [chosen("class", name, labels.names) for name in dict.fromkeys(names)]


def _folders(beside: Sequence[str]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for text in beside:
        name, equals, folder = text.partition("=")
        if not (name.strip() and equals and folder.strip()):
            raise ConfigError(f"--beside {text} cannot be read: write it like ToCo=folder-of-its-label-images")
        if name.strip() in folders:
            raise ConfigError(f"--beside has {name.strip()} twice: give each method a name of its own")
        folders[name.strip()] = Path(folder.strip())
    return folders


def _evaluated(
    pairing: "ImagePairing", labels: "LabelSet", device: "torch.device", contours: bool, what: str
) -> "ImageEvaluation":
    from medwsss.cli.progress import progress
    from medwsss.engine.evaluate_images import evaluate_images

    with progress() as bar:
        task = bar.add_task(what, total=len(pairing.pairs))
        return evaluate_images(
            pairing,
            labels,
            device=device,
            contours=contours,
            progress=lambda done: bar.update(task, completed=done),
        )
