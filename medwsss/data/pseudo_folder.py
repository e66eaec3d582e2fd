"""A folder of pseudo-labels: what ``medwsss pseudo-label`` writes, and ``--method retrain`` learns from.

``pseudo.json`` says what it was made of; ``labels/NAME`` holds 0 to K and 255, ``weights/NAME`` how far a label is to
be trusted. Photographs are PNG (weights as floor(255 W)), volumes NIfTI (weights as float32).
"""

import reprlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from medwsss.data.records import differences, read_record, save_record
from medwsss.errors import DatasetError, OutputError
from medwsss.labels import LabelSet
from medwsss.reading import read_json
from medwsss.writing import holds_something, is_plain_name

RECORD = "pseudo.json"
LABELS = "labels"
WEIGHTS = "weights"
SUFFIXES = (".png", ".nii.gz")
"""Of the files of photographs and of volumes."""
STARTED = "started.json"
"""The record of a folder that is not complete yet."""
_MAY_CHANGE = ("provenance.run", "provenance.data", "left_out")
"""Where things lie, since moved, they give the same labels; and what the making itself finds out."""


@dataclass(frozen=True)
class PseudoRecord:
    """What the labels are and where they come from."""

    dataset: str
    """Name of the data set, such as acdc."""
    task: str
    """Name of the label set."""
    classes: tuple[str, ...]
    split_hash: str | None
    """Of the split of the run: its held-out part has no pseudo-labels. None where nothing was learned, so that they
    fit any split."""
    suffix: str
    """Of the files in ``labels`` and ``weights``: .png or .nii.gz."""
    names: tuple[str, ...]
    """Of images or cases."""
    provenance: dict[str, Any]
    """Run, checkpoint, source of the labels, scales and refinement of the weights."""
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of ``names``, those whose labels are 255 throughout, and why; all others have labels from the source that
    ``provenance`` names."""


@dataclass(frozen=True)
class PseudoFolder:
    """A complete folder."""

    root: Path
    record: PseudoRecord

    def labels_file(self, name: str) -> Path:
        return self.root / LABELS / f"{name}{self.record.suffix}"

    def weights_file(self, name: str) -> Path:
        return self.root / WEIGHTS / f"{name}{self.record.suffix}"


def claim_pseudo_folder(root: Path, record: PseudoRecord, *, maps: Sequence[str], resume: bool) -> PseudoFolder:
    """Make the folders, of ``maps`` too, and note what is being made; until the end, none can take it for complete.

    With ``resume`` the record of the folder keeps what was left out before.

    Raises:
        OutputError: the folder holds something, or with ``resume`` something made otherwise, or cannot be written.
    """
    earlier = read_record(root / STARTED) or read_record(root / RECORD)
    if earlier is None and root.is_dir() and holds_something(root):
        raise OutputError(f"{root} already holds other files: choose another --out")
    if earlier is not None and not resume:
        raise OutputError(f"{root} already holds pseudo-labels: pass --resume to go on, or choose another --out")
    changed = [] if earlier is None else differences(earlier, asdict(record), but=_MAY_CHANGE)
    if changed:
        raise OutputError(f"{root} holds other pseudo-labels ({'; '.join(changed)}): choose another --out")
    if earlier is not None:
        record = replace(record, left_out=_earlier_reasons(earlier, root))
    try:
        for name in (LABELS, WEIGHTS, *maps):
            (root / name).mkdir(parents=True, exist_ok=True)
        save_record(root / STARTED, asdict(record))
        (root / RECORD).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {error.filename or root}: {error.strerror}; choose another --out") from None
    return PseudoFolder(root, record)


def _earlier_reasons(earlier: dict[str, Any], root: Path) -> dict[str, tuple[str, ...]]:
    try:
        return _reasons(earlier.get("left_out", {}))
    except ValueError as error:
        raise OutputError(f"the record in {root} is damaged ({error}): choose another --out") from None


def note_left_out(folder: PseudoFolder, names: Sequence[str], reasons: Sequence[str]) -> PseudoFolder:
    """The folder with a record that says why ``names`` have no labels; on disk, too, so that an interruption keeps it.

    Raises:
        OutputError: the record cannot be written.
    """
    noted = {**folder.record.left_out, **dict.fromkeys(names, tuple(reasons))}
    record = replace(folder.record, left_out=dict(sorted(noted.items())))
    save_record(folder.root / STARTED, asdict(record))
    return PseudoFolder(folder.root, record)


def write_pseudo_record(root: Path, record: PseudoRecord) -> None:
    """Store the record; it is written last, so that a folder with one is complete.

    Raises:
        OutputError: the file cannot be written.
    """
    save_record(root / RECORD, asdict(record))
    (root / STARTED).unlink(missing_ok=True)


def open_pseudo_folder(
    root: Path, *, dataset: str, label_set: LabelSet, split_hash: str, names: Sequence[str]
) -> PseudoFolder:
    """A folder that fits a run: the same data set, classes and split, and files for every name.

    Raises:
        DatasetError: the folder is missing, incomplete, or made from another data set, task or split.
    """
    if not (root / RECORD).is_file():
        raise DatasetError(f"{root} holds no complete pseudo-labels (no {RECORD}): make them with medwsss pseudo-label")
    record = read_pseudo_record(root / RECORD)
    checks = {
        "data set": (record.dataset, dataset),
        "task": (record.task, label_set.name),
        "classes": (record.classes, label_set.names),
        "split": (split_hash if record.split_hash is None else record.split_hash, split_hash),
    }
    for what, (theirs, ours) in checks.items():
        if theirs != ours:
            raise DatasetError(f"{root} was made with another {what} ({theirs}, this run has {ours}): make it again")
    folder = PseudoFolder(root, record)
    files = [file for name in names for file in (folder.labels_file(name), folder.weights_file(name))]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DatasetError(f"{root} is incomplete: {len(missing)} files are missing, first {missing[0]}: make it again")
    return folder


def read_pseudo_record(path: Path) -> PseudoRecord:
    """A record, also where a run has copied it to.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        return _checked(read_json(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path} is damaged ({' '.join(str(error).split())}): make it again") from None


def _checked(content: dict[str, Any]) -> PseudoRecord:
    """The record; ``ValueError`` and its like where something is missing or of another kind."""
    lists = {key: _words(content[key]) for key in ("classes", "names")}
    plain = all(is_plain_name(name) for name in (*lists["classes"], *lists["names"]))
    words = (content["dataset"], content["task"], content["split_hash"] or "")
    if not plain or content["suffix"] not in SUFFIXES or not all(isinstance(word, str) for word in words):
        raise ValueError("a name or an ending cannot be that of a file")
    if not isinstance(content["provenance"], dict):
        raise ValueError("its provenance is no table")
    _reasons(content["provenance"].get("without seeds", {}))
    left_out = _reasons(content.get("left_out", {}))  # records of earlier versions have none
    return PseudoRecord(**{**content, **lists, "left_out": left_out})


def _reasons(stored: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(stored, dict):
        raise ValueError("left_out is no table")
    return {name: _words(reasons) for name, reasons in stored.items()}


def _words(stored: Any) -> tuple[str, ...]:
    if not isinstance(stored, list) or not all(isinstance(word, str) for word in stored):
        raise ValueError(f"{reprlib.repr(stored)} is no list of words")
    return tuple(stored)
