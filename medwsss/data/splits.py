"""Which patients are held out: drawn by patient, stratified by group, identified by a hash, stored as JSON."""

import hashlib
import json
import math
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medwsss.errors import OutputError, SplitError
from medwsss.reading import read_json
from medwsss.writing import written_whole


@dataclass(frozen=True)
class Split:
    """Patients that train and patients that are held out; no patient is in both.

    Raises:
        SplitError: a patient is in both parts or twice in one, or a part is empty.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    seed: int
    """Seed of the draw; provenance only."""

    def __post_init__(self) -> None:
        shared = sorted(set(self.train) & set(self.held_out))
        if shared:
            raise SplitError(f"{_listed(shared)} in both parts of the split: a patient belongs to one part only")
        for name, part in (("train", self.train), ("held_out", self.held_out)):
            if not part:
                raise SplitError(f"the split has no patient in {name}: each part needs at least one")
            if len(set(part)) < len(part):
                raise SplitError(f"the split names a patient twice in {name}")

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of both parts as canonical JSON; the same for any order of patients."""
        parts = {"held_out": sorted(self.held_out), "train": sorted(self.train)}
        return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def draw_split(groups: Mapping[str, str], *, held_out_fraction: float, seed: int) -> Split:
    """Hold out a share of the patients of each group.

    Args:
        groups: group of each patient.
        held_out_fraction: share of patients held out, within (0, 1); each part keeps at least one patient.
        seed: seed of the draw; the same seed and patients give the same split, in whatever order they come.

    Raises:
        ValueError: ``held_out_fraction`` out of range.
        SplitError: fewer than two patients.
    """
    if not 0.0 < held_out_fraction < 1.0:
        raise ValueError(f"held_out_fraction must lie within (0, 1), not {held_out_fraction}")
    if len(groups) < 2:
        raise SplitError(f"a split needs at least two patients, the data set has {len(groups)}")
    rng = np.random.default_rng(seed)
    members = {group: sorted(p for p, g in groups.items() if g == group) for group in sorted(set(groups.values()))}
    shuffled = {group: rng.permutation(patients).tolist() for group, patients in members.items()}
    counts = _held_out_counts({group: len(patients) for group, patients in members.items()}, held_out_fraction, rng)
    held_out = {patient for group, patients in shuffled.items() for patient in patients[: counts[group]]}
    return Split(tuple(sorted(set(groups) - held_out)), tuple(sorted(held_out)), seed)


def write_split(split: Split, path: Path) -> None:
    """Store a split as JSON; the file appears whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {"hash": split.hash, "seed": split.seed, "train": split.train, "held_out": split.held_out}
    try:
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the split {path}: {error.strerror}") from error


def read_split(path: Path) -> Split:
    """Read a split written by ``write_split`` or by hand (``seed`` and ``hash`` may be left out).

    Raises:
        SplitError: no such file, no JSON, a missing or malformed part, a shared patient, or a hash that does not fit.
    """
    try:
        content = read_json(path)
    except OSError as error:
        raise SplitError(f"cannot read the split {path}: {error.strerror}") from error
    except ValueError as error:
        raise SplitError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise SplitError(f"{path} is no split: it needs the lists train and held_out")
    try:
        split = Split(_patients(content, "train"), _patients(content, "held_out"), _seed(content))
    except SplitError as error:
        raise SplitError(f"{path}: {error}") from error
    if content.get("hash", split.hash) != split.hash:
        stored = reprlib.repr(content["hash"])
        raise SplitError(f"{path} was changed after it was written: its hash is {split.hash}, not {stored}")
    return split


def check_split(split: Split, patients: Collection[str]) -> None:
    """Refuse a split of another data set.

    Raises:
        SplitError: the split names patients that are not among ``patients``.
    """
    unknown = sorted({*split.train, *split.held_out} - set(patients))
    if unknown:
        raise SplitError(f"{_listed(unknown)} in the split but not in the data set: use the split of this data set")


def _held_out_counts(sizes: Mapping[str, int], fraction: float, rng: np.random.Generator) -> dict[str, int]:
    """Largest-remainder rounding of ``fraction * size`` to the rounded total; equal remainders are drawn."""
    patients = sum(sizes.values())
    total = min(max(round(fraction * patients), 1), patients - 1)
    counts = {group: math.floor(fraction * size) for group, size in sizes.items()}
    order = rng.permutation(sorted(sizes)).tolist()
    order.sort(key=lambda group: counts[group] - fraction * sizes[group])
    for group in order[: total - sum(counts.values())]:
        counts[group] += 1
    return counts


def _patients(content: dict[str, Any], part: str) -> tuple[str, ...]:
    names = content.get(part)
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise SplitError(f"{part} must be a list of patients")
    return tuple(names)


def _seed(content: dict[str, Any]) -> int:
    seed = content.get("seed", 0)
    if not isinstance(seed, int):
        raise SplitError(f"seed must be a whole number, not {reprlib.repr(seed)}")
    return seed


def _listed(patients: list[str]) -> str:
    shown = ", ".join(patients[:3])
    return (
        f"{shown} and {len(patients) - 3} more are"
        if len(patients) > 3
        else f"{shown} {'is' if len(patients) == 1 else 'are'}"
    )
