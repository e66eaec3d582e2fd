"""The report of another time, read back: its values per case, and what it says of their origin."""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medwsss.errors import EvaluationError
from medwsss.metrics.results import METRICS, PER_CASE_COLUMNS
from medwsss.reading import read_json

_KEYS = ["case", "patient", "class"]
_VOLUME_TOLERANCE = 1e-6
"""Relative difference above which two reference volumes are not the same."""


@dataclass(frozen=True, eq=False)
class StoredReport:
    """A report on volumes as it lies on disk."""

    name: str
    per_case: pd.DataFrame
    about: Mapping[str, str]
    """Where its numbers come from, in words."""
    tags: str
    """Image-level labels used at prediction time."""

    @property
    def cases(self) -> Set[str]:
        return set(self.per_case["case"])

    @property
    def split(self) -> str:
        """Its hash; empty where the predictions come from another program."""
        found = re.search(r"hash (\w+)", self.about.get("split", ""))
        return found[1] if found else ""


def read_report(path: Path) -> StoredReport:
    """The report in ``path``: its folder, or the folder of a run that holds one.

    Raises:
        EvaluationError: there is no report on volumes, or its files cannot be read.
    """
    folder = next((place for place in (path, path / "report") if (place / "per_case.csv").is_file()), None)
    if folder is None:
        what = "a report on photographs, which has no values per case" if _has_photographs(path) else "no report"
        raise EvaluationError(f"{path} holds {what} (per_case.csv): pass the folder of a report of train or evaluate")
    try:
        frame = pd.read_csv(folder / "per_case.csv", dtype=dict.fromkeys((*_KEYS, "phase", "group"), str))
        summary = read_json(folder / "summary.json")
        missing = [column for column in PER_CASE_COLUMNS if column not in frame]
        if missing:
            raise ValueError(f"per_case.csv lacks {', '.join(missing)}")
        frame = frame.astype(dict.fromkeys(METRICS, np.float64))
        sources = {**summary["notes"], **summary["sources"]}
        about = {str(name): str(value) for name, value in sources.items()}
        tags = str(summary["tags"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{folder} is not a complete report ({error}): evaluate again") from None
    return StoredReport(_name(path), frame, about, tags)


def paired(first: StoredReport, second: StoredReport) -> pd.DataFrame:
    """The volumes and classes of both: case, patient, class, and each metric as ``dice_a`` and ``dice_b``.

    Raises:
        EvaluationError: no volume is in both, their classes differ, or they were scored against different references.
    """
    names = f"{first.name} and {second.name}"
    if not first.cases & second.cases:
        raise EvaluationError(f"{names} have no volume in common: compare reports on the same patients")
    if not set(first.per_case["class"]) & set(second.per_case["class"]):
        raise EvaluationError(f"{names} have no class in common: compare reports of one task")
    columns = [*_KEYS, *METRICS, "reference_volume_ml"]
    pairs = first.per_case[columns].merge(second.per_case[columns], on=_KEYS, suffixes=("_a", "_b"))
    ours, theirs = (pairs[f"reference_volume_ml_{side}"].to_numpy(np.float64) for side in "ab")
    other = ~np.isclose(ours, theirs, rtol=_VOLUME_TOLERANCE, atol=0.0, equal_nan=True)
    if other.any():
        case = pairs["case"][other].iloc[0]
        raise EvaluationError(f"{names} were scored against different references, first of {case}: evaluate one again")
    return pairs.drop(columns=["reference_volume_ml_a", "reference_volume_ml_b"])


def _has_photographs(path: Path) -> bool:
    return any((place / "per_class.csv").is_file() for place in (path, path / "report"))


def _name(path: Path) -> str:
    """The last folder that says something."""
    whole = path.absolute()
    return whole.parent.name if whole.name == "report" else whole.name
