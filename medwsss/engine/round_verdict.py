"""Whether a round of self-training has done good, as far as that can be told without masks."""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from medwsss.config.self_training import SelfTrainingConfig
from medwsss.data.loading import VolumeData
from medwsss.data.pseudo_folder import RECORD, PseudoFolder, PseudoRecord, read_pseudo_record
from medwsss.data.study import PHASES, case_id
from medwsss.metrics.dice import dice
from medwsss.volumes.io import load_label_volume
from medwsss.volumes.volume import Volume

MUSCLE = "MYO"


@dataclass(frozen=True)
class RoundVerdict:
    """What can be said of the labels of a round without a mask."""

    agreement: float
    """Mean Dice with the labels before, over cases and classes."""
    muscle_change: float
    """Median over patients of |ED − ES| / mean of the muscle's volume; NaN where the task has no muscle."""
    muscle_change_before: float

    def ends(self, config: SelfTrainingConfig) -> str | None:
        """Why rounds end here, if they do: ``drift``, upon which the labels before are kept, or ``settled``."""
        if self.muscle_change > self.muscle_change_before + config.muscle_tolerance:
            return "drift"
        return "settled" if self.agreement >= config.settled else None

    def words(self, end: str | None) -> str:
        """For people, where ``end`` is the answer of ``ends``."""
        muscle = (
            f", muscle between ED and ES changes by {self.muscle_change:.3f} (before {self.muscle_change_before:.3f})"
        )
        kept = "the labels before are kept, because the muscle drifts" if end == "drift" else "kept"
        found = f"Dice with the labels before {self.agreement:.3f}"
        return f"{found}{'' if math.isnan(self.muscle_change) else muscle}; {kept}"


def round_verdict(data: VolumeData, *, before: Path, after: Path) -> RoundVerdict:
    """Compare two folders of labels of the training patients; cases that a prior has left out count for nothing.

    Raises:
        DatasetError, VolumeError: a file cannot be read.
    """
    folders = [PseudoFolder(root, read_pseudo_record(root / RECORD)) for root in (before, after)]
    without = without_seeds(folders[0].record)
    agreements: list[float] = []
    changes: tuple[list[float], list[float]] = ([], [])
    classes = data.labels.names
    for study in data.training:
        if any(case_id(study, phase) in without for phase in PHASES):
            continue
        pairs = [
            [load_label_volume(folder.labels_file(case_id(study, phase))) for phase in PHASES] for folder in folders
        ]
        for old, new in zip(*pairs, strict=True):
            agreements += [dice(new.array == label, old.array == label) for label in range(1, len(classes) + 1)]
        if MUSCLE in classes:
            for found, phases in zip(changes, pairs, strict=True):
                found.append(_relative_change(*(_voxels(volume, 1 + classes.index(MUSCLE)) for volume in phases)))
    before_change, after_change = (median(found) if found else math.nan for found in changes)
    defined = [value for value in agreements if not math.isnan(value)]
    return RoundVerdict(fmean(defined) if defined else math.nan, after_change, before_change)


def without_seeds(record: PseudoRecord) -> dict[str, tuple[str, ...]]:
    """The cases that the prior does not fit, and why, of a folder of seeds or of labels made from them."""
    inherited: dict[str, list[str]] = record.provenance.get("without seeds", {})
    return record.left_out or {name: tuple(reasons) for name, reasons in inherited.items()}


def _voxels(volume: Volume, label: int) -> int:
    return int((volume.array == label).sum())


def _relative_change(first: float, second: float) -> float:
    return abs(first - second) / max((first + second) / 2, 1.0)
