"""prediction.json and the folder around it: what the results were made of, and which of them are still to come."""

import hashlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medwsss.data.records import differences, read_record, save_record
from medwsss.engine.predict_images import LABEL_SUFFIX, MAP_FILES, ImageItem, remove
from medwsss.errors import MedwsssWarning, OutputError

RECORD = "prediction.json"
_LEFTOVER = re.compile(r"\..+\.(?:png|npz|json)\.(?P<process>[0-9]+)\.tmp")
"""What a process leaves of a file when it is killed while writing it."""
_MAY_CHANGE = ("failed", "segmented", "run", "tags")
"""What a record says about the outcome, and where run and tags lie: moved, they predict what they did before."""


def open_image_outputs(
    out: Path, items: Sequence[ImageItem], record: Mapping[str, Any], *, overwrite: bool, resume: bool
) -> list[ImageItem]:
    """Make the folder ready, write ``prediction.json``, and answer the items that are still to be predicted.

    The record says what the results depend on; beside it are stored the number of images and a digest of their names
    and tags. With ``resume`` a prediction with the same record goes on: images whose label image is there are left out.
    With ``overwrite`` earlier results of these items are removed; those of other images stay, and a
    ``MedwsssWarning`` counts them. Files are listed once per folder, none is opened.

    Args:
        out: folder of the results.
        items: everything that is to be predicted.
        record: run, checkpoint and its state, method, classes, source, settings, maps, list, tags; as JSON takes it.
        overwrite: start again.
        resume: go on.

    Raises:
        OutputError: both are asked for; two items share a name; a result would replace an input; the folder holds label
            images or maps that are no results; a prediction is there and neither is asked for, or it is another one
            (the message says in what); or the folder cannot be written.
    """
    if overwrite and resume:
        raise OutputError("--resume goes on and --overwrite starts again: choose one")
    _check_names(items)
    results = {_label_file(item) for item in items}
    _check_inputs_survive(out, items)
    old, new = read_record(out / RECORD), {**record, "images": len(items), "inputs": _digest(items)}
    if old is None:
        _check_nothing_of_others(out, items)
    else:
        _check_may_continue(out, old, new, overwrite=overwrite, resume=resume)
        remove(_leftovers(out))
    present = results & _listed(out)
    if overwrite:
        remove(_old_results(out, items))
        _tell_of_other_results(out)
    save_record(out / RECORD, new)
    return [item for item in items if overwrite or _label_file(item) not in present]


def finish_record(out: Path, *, failed: Mapping[str, str]) -> None:
    """Add to ``prediction.json`` how many images are segmented, and which failed and why.

    Raises:
        OutputError: the record is gone or cannot be written.
    """
    record = read_record(out / RECORD)
    if record is None or "images" not in record:
        raise OutputError(f"{out / RECORD} is gone: predict again with --resume")
    save_record(out / RECORD, {**record, "segmented": record["images"] - len(failed), "failed": dict(failed)})


def _label_file(item: ImageItem) -> str:
    """The name alone: a path for every item of a large split takes time."""
    return f"{item.name}{LABEL_SUFFIX}"


def _check_names(items: Sequence[ImageItem]) -> None:
    twice = sorted(name for name, count in Counter(item.name for item in items).items() if count > 1)
    if twice:
        raise OutputError(
            f"{len(twice)} names occur twice among the images ({twice[0]}): predict them into two folders"
        )
    odd = next((item.name for item in items if os.sep in item.name), None)
    if odd is not None:
        raise OutputError(f"image {odd} has a name that is not the name of a file: name it without folders")


def _check_inputs_survive(out: Path, items: Sequence[ImageItem]) -> None:
    """Results do not go among the inputs: they might replace one, and would be taken for inputs the next time."""
    targets = {out.resolve(), *((out / folder).resolve() for folder in MAP_FILES)}
    folders = {item.path.parent: item.path for item in items}
    own = next((path for folder, path in folders.items() if folder.resolve() in targets), None)
    if own is not None:
        raise OutputError(f"{own.parent} holds the photograph {own.name}: choose another --out")


def _check_nothing_of_others(out: Path, items: Sequence[ImageItem]) -> None:
    """In a folder without record nothing may look like a result: this prediction or a later one would replace it."""
    images = [out / file for file in sorted(_listed(out)) if file.endswith(LABEL_SUFFIX)]
    first = next(iter([*images, *_old_results(out, items)]), None)
    if first is not None:
        raise OutputError(f"{out} holds {first.relative_to(out)}, which is no result of medwsss: choose another --out")


def _check_may_continue(
    out: Path, old: Mapping[str, Any], new: Mapping[str, Any], *, overwrite: bool, resume: bool
) -> None:
    if "inputs" not in old:
        raise OutputError(f"{out} holds a prediction of another kind of data: choose another --out")
    if not (overwrite or resume):
        raise OutputError(f"{out} already holds a prediction: pass --resume to go on or --overwrite to start again")
    changed = differences(old, new, but=_MAY_CHANGE)
    if resume and changed:
        raise OutputError(
            f"{out} holds another prediction ({'; '.join(changed)}): resume it unchanged, or choose another --out"
        )


def _digest(items: Iterable[ImageItem]) -> str:
    """16 hex digits that change with the names of the images, their order or their tags."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(repr((item.name, item.image_labels)).encode())
    return digest.hexdigest()[:16]


def _listed(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise OutputError(f"cannot read the folder {folder}: {error.strerror}; choose another --out") from None


def _old_results(out: Path, items: Sequence[ImageItem]) -> list[Path]:
    """Label images first: where one is, its maps are."""
    names = {item.name for item in items}
    endings = {out: LABEL_SUFFIX} | {out / folder: ending for folder, ending in MAP_FILES.items()}
    return [
        folder / file
        for folder, ending in endings.items()
        for file in sorted(_listed(folder))
        if file.endswith(ending) and file.removesuffix(ending) in names
    ]


def _leftovers(out: Path) -> list[Path]:
    folders = [out, *(out / folder for folder in MAP_FILES)]
    return [folder / file for folder in folders for file in _listed(folder) if _is_leftover(file)]


def _is_leftover(file: str) -> bool:
    """Whether the process that was writing it is gone; process numbers of other machines are taken for gone ones."""
    match = _LEFTOVER.fullmatch(file)
    return match is not None and not Path(f"/proc/{match['process']}").exists()


def _tell_of_other_results(out: Path) -> None:
    others = sorted(file for file in _listed(out) if file.endswith(LABEL_SUFFIX))
    if others:
        message = f"{out} still holds {len(others)} results of other images, first {others[0]}: left as they are"
        warnings.warn(message, MedwsssWarning, stacklevel=3)
