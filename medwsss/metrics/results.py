"""What an evaluation found, as plain values: the engine fills them, the reports print them (no torch here)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from medwsss.metrics.agreement import Agreement
from medwsss.metrics.statistics import Interval
from medwsss.types import Image2D, LabelMap2D

OVERLAP_METRICS = ("dice", "confusion_ratio", "precision", "recall", "iou")
DISTANCE_METRICS = ("hd95_mm", "assd_mm")
METRICS = (*OVERLAP_METRICS, *DISTANCE_METRICS)
PER_CASE_COLUMNS = ("case", "patient", "phase", "group", "class", *METRICS, "volume_ml", "reference_volume_ml")
MEAN_OF_CLASSES = "mean_of_classes"
"""Key of the average over classes, beside the class names of a task with more than one class."""

POOLED = "pooled"
PER_CASE = "per_case"
PER_SLICE = "per_slice"
AGGREGATIONS: Mapping[str, str] = {
    PER_CASE: "one value per volume, then the mean over volumes",
    POOLED: "voxel counts summed over all volumes, then one value",
    PER_SLICE: "one value per slice, then the mean over slices",
}


Scores = Mapping[str, Mapping[str, Interval]]
"""Class -> metric -> estimate with its interval, and how many values were undefined or infinite."""


@dataclass(frozen=True)
class BaselineResult:
    """What a mask that needs no training reaches against one structure, on the evaluated volumes."""

    name: str
    tags: bool
    """Whether the mask was cleared on slices whose true tag says that the structure is absent."""
    uses_masks: bool
    """Whether the mask was made from reference masks of other patients."""
    target: str
    dice: Interval
    """Per case."""
    confusion_ratio: Interval
    """Per case."""
    difference: Interval
    """Dice of the predictions minus Dice of this baseline, per case; positive when the predictions are better."""

    @property
    def title(self) -> str:
        return f"{self.name}, {'true slice tags' if self.tags else 'no tags'}"

    @property
    def beaten(self) -> bool:
        """Whether the predictions have the higher mean Dice; false when that cannot be said."""
        return self.difference.estimate > 0


@dataclass(frozen=True)
class OverlaySlice:
    """One slice of a case: task labels of prediction and reference, and the image if there is one."""

    index: int
    image: Image2D | None
    """Grey levels in [0, 1]."""
    prediction: LabelMap2D
    reference: LabelMap2D
    pixel_mm: tuple[float, float]
    """Distance of neighbouring rows and of neighbouring columns."""
    uncertainty: Image2D | None = None
    """In [0, 1], where the prediction came with a map of it."""
    cam: Image2D | None = None
    """Activation, the largest over classes, in [0, 1], where the prediction came with maps of it."""


@dataclass(frozen=True)
class Overlay:
    """Slices of one case, worth looking at because of its rank."""

    rank: str
    """Best, median or worst."""
    case: str
    dice: float
    """Mean over the classes of the case."""
    slices: tuple[OverlaySlice, ...]


@dataclass(frozen=True)
class Sources:
    """Which files were compared, how their numbers were read, and which had no partner."""

    predictions: str
    references: str
    prediction_codes: str
    reference_codes: str
    tags: str
    """Image-level labels used at prediction time: "none", a file, or "not known"."""
    checkpoint: str = "not known"
    """Which checkpoint predicted, and what chose it."""
    unmatched_predictions: tuple[str, ...] = ()
    """Cases with a prediction and no reference."""
    unmatched_references: tuple[str, ...] = ()
    """Cases with a reference and no prediction."""


@dataclass(frozen=True, eq=False)
class ClinicalNumbers:
    """One row per patient and one column per quantity, see ``clinical.clinical_values``; NaN where undefined."""

    measured: pd.DataFrame
    reference: pd.DataFrame
    agreement: Mapping[str, Agreement]
    """Of the quantities that some patient has both ways, in the order of ``clinical.QUANTITIES``."""


@dataclass(frozen=True)
class Evaluation:
    """Everything a report prints."""

    task: str
    classes: tuple[str, ...]
    per_case: pd.DataFrame
    """One row per volume and class, with the columns ``PER_CASE_COLUMNS``."""
    scores: Mapping[str, Scores]
    """Aggregation -> class -> metric -> score."""
    by_phase: Mapping[str, Scores]
    """Phase -> class -> metric -> score, per case; empty without phases."""
    by_group: Mapping[str, Scores]
    """Group -> class -> metric -> score, per case; empty without groups."""
    targets: Scores
    """Structure -> Dice and confusion ratio per case of the predictions: what the baselines are compared with."""
    baselines: tuple[BaselineResult, ...]
    overlays: tuple[Overlay, ...]
    clinical: ClinicalNumbers
    """What clinicians read off the volumes."""
    slices: int
    """Slices in all volumes."""
    resamples: int
    """Bootstrap resamples behind every interval."""
    device: str
    """Where the voxels were counted."""
    estimates: Mapping[str, float] = field(default_factory=dict)
    """How far to trust the prediction of each case, made without its mask, in [0, 1]; not every case needs one."""
    remarks: tuple[str, ...] = ()
    """What a reader must know, such as baselines that could not be made; one sentence each."""

    @property
    def cases(self) -> int:
        """Number of volumes."""
        return int(self.per_case["case"].nunique())

    @property
    def patients(self) -> int:
        """Number of patients."""
        return int(self.per_case["patient"].nunique())


@dataclass(frozen=True, eq=False)
class Unscored:
    """What can be said of predictions without any reference."""

    task: str
    classes: tuple[str, ...]
    volumes: pd.DataFrame
    """One row per volume and class: case, patient, phase, group, class, volume_ml."""
    clinical: pd.DataFrame
    """One row per patient and one column per quantity, see ``clinical.clinical_values``; NaN where undefined."""
    estimates: pd.DataFrame
    """One row per volume, lowest estimate first: case, estimate, findings; empty where none were made."""
    overlays: tuple[Overlay, ...]
    """Volumes of lowest, median and highest estimate; ``dice`` is the estimate."""
    implausible: tuple[str, ...] = ()
    """What no heart does, with the patients, see ``clinical.implausible``."""

    @property
    def cases(self) -> int:
        """Number of volumes."""
        return int(self.volumes["case"].nunique())

    @property
    def patients(self) -> int:
        """Number of patients."""
        return int(self.volumes["patient"].nunique())
