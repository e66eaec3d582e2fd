"""What a look at cine studies found: geometry, motion, and what is suspicious. Plain data, for the report."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
from jaxtyping import Bool

from medwsss.types import Image2D

LEAST_ANISOTROPY = 2.0
"""Slice distance over pixel size below which a study is called nearly isotropic; short-axis cine has 3 to 13."""
LEAST_PATIENTS = 2
"""Fewer cannot be split into a part that trains and one that is held out."""
LEAST_SLICES = 4
"""A short-axis stack with fewer slices is suspicious: long-axis views have one, localisers a few."""


@dataclass(frozen=True)
class Finding:
    """Something a person should know before training."""

    subject: str
    """Patient, or what else it is about."""
    text: str
    refused: bool = False
    """Whether training would refuse the data for it."""

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


@dataclass(frozen=True)
class FrameSurvey:
    """One labelled frame of a patient."""

    size: tuple[int, int]
    """Rows and columns of a slice."""
    slices: int
    pixel_mm: tuple[float, float]
    """Distance of rows, and of columns."""
    slice_mm: float
    """Distance of slices."""
    fingerprint: str
    """Equal for equal voxels."""


@dataclass(frozen=True, eq=False)
class PatientSurvey:
    """One patient; what could not be read is missing, and a finding says so."""

    patient: str
    group: str = "unknown"
    frames: Mapping[str, FrameSurvey] = field(default_factory=dict)
    """By phase."""
    present: Mapping[str, Bool[np.ndarray, "n 3"]] = field(default_factory=dict)
    """By phase, whether the mask of each slice shows RV, MYO and LV; without an entry where there is no mask."""
    has_cine: bool = False
    """Whether there is a 4D file."""
    change: float = math.nan
    """Largest smoothed change of grey levels between the phases, in [0, 1]; NaN where they cannot be compared."""
    moves: bool = False
    """Whether the change reaches the limit of the cine prior."""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class Preview:
    """The middle slice of a patient."""

    patient: str
    diastole: Image2D
    """Grey levels in [0, 1], like those of ``systole``."""
    systole: Image2D
    change: Image2D
    """Smoothed change of grey levels between the two, in [0, 1]."""


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest value; NaN of nothing."""

    smallest: float
    median: float
    largest: float


@dataclass(frozen=True, eq=False)
class Survey:
    """All patients of a folder."""

    source: str
    patients: tuple[PatientSurvey, ...]
    findings: tuple[Finding, ...]
    """Of all patients, and those that several share."""

    @property
    def readable(self) -> tuple[PatientSurvey, ...]:
        """Patients with both phases."""
        return tuple(patient for patient in self.patients if len(patient.frames) == 2)

    @property
    def moving(self) -> int:
        """Patients whose heart moves between the phases."""
        return sum(patient.moves for patient in self.patients)


def survey_of(source: str, patients: Sequence[PatientSurvey]) -> Survey:
    """Put patients together, and find what they share and should not."""
    own = (finding for patient in patients for finding in patient.findings)
    survey = Survey(source, tuple(patients), (*own, *shared_voxels(patients)))
    count = len(survey.readable)
    if count >= LEAST_PATIENTS:
        return survey
    few = Finding(source, f"{count} patients with both frames: training needs {LEAST_PATIENTS} or more", refused=True)
    return replace(survey, findings=(*survey.findings, few))


def shown_patients(survey: Survey, count: int) -> tuple[str, ...]:
    """Patients to look at, from the one that moves most to the one that moves least, in equal steps of rank."""
    ranked = sorted((p for p in survey.patients if math.isfinite(p.change)), key=lambda p: -p.change)
    steps = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int).tolist()
    return tuple(ranked[step].patient for step in steps)


def geometry(frames: Iterable[FrameSurvey]) -> dict[str, Spread]:
    """Smallest, middle and largest of what differs between scanners, by name with unit."""
    frames = tuple(frames)
    values: dict[str, list[float]] = {
        "pixel size [mm]": [step for frame in frames for step in frame.pixel_mm],
        "slice distance [mm]": [frame.slice_mm for frame in frames],
        "slices per volume": [frame.slices for frame in frames],
        "rows": [frame.size[0] for frame in frames],
        "columns": [frame.size[1] for frame in frames],
    }
    return {name: spread(found) for name, found in values.items()}


def spread(values: Sequence[float]) -> Spread:
    """Smallest, middle and largest value."""
    if not values:
        return Spread(math.nan, math.nan, math.nan)
    return Spread(float(min(values)), float(median(values)), float(max(values)))


def shared_voxels(patients: Sequence[PatientSurvey]) -> tuple[Finding, ...]:
    """Patients with a frame in common: one patient under two names may train and be held out at once."""
    owners: dict[str, list[str]] = defaultdict(list)
    for patient in patients:
        for voxels in {frame.fingerprint for frame in patient.frames.values()}:
            owners[voxels].append(patient.patient)
    groups = dict.fromkeys(tuple(names) for names in owners.values() if len(names) > 1)
    return tuple(
        Finding(" and ".join(names), "have a frame with the same voxels: one patient under several names?")
        for names in groups
    )


def odd_geometry(frame: FrameSurvey) -> tuple[str, ...]:
    """What is unlike short-axis cine in the grid of a frame, in words."""
    rows_mm, columns_mm = frame.pixel_mm
    found = {
        f"nearly isotropic ({rows_mm:.3g} x {columns_mm:.3g} x {frame.slice_mm:.3g} mm): is it short-axis cine?": (
            frame.slices > 1 and frame.slice_mm < LEAST_ANISOTROPY * max(frame.pixel_mm)
        ),
        f"has {frame.slices} {'slice' if frame.slices == 1 else 'slices'}: is it a long-axis view or a localiser?": (
            frame.slices < LEAST_SLICES
        ),
    }
    return tuple(text for text, holds in found.items() if holds)


def motion_sentence(survey: Survey) -> str:
    """The verdict on motion, in words."""
    count = len(survey.readable)
    if not count:
        return "cine: no patient has two frames that can be read"
    head = f"cine: motion is there in {survey.moving} of {count} patients"
    if not survey.moving:
        return f"{head}; `medwsss seeds` cannot use it"
    return f"{head}; `--method seeds` and `--with cine` can use it"
