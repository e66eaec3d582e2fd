"""Constants of the cine prior chosen without any mask: the protocol, and its execution.

The protocol, written down and committed before any overlap with a mask was computed under it:

1. Start. ``A_PRIORI`` holds a value for every constant that follows from a sentence about hearts, about the grid or
   about what a weight of one means, in round numbers; a correction whose size no such sentence gives is 0. Each
   constant has its sentence in docs/cine.md.
2. Patients. Every third by name, at ED and ES. No mask, no tag, no network takes part.
3. Candidates. ``STAGES``: fourteen constants in three stages, in the order of the computation (axis; cavity and wall;
   right ventricle), with two or three round alternatives each, on both sides of the start where there are two sides.
   Within a stage one constant is changed at a time.
4. Votes. The criteria of ``priors.cardiac.criteria``. For each patient and criterion the difference from the stage's
   start, signed so that more is better, is divided by the standard deviation of that criterion over patients at the
   stage's start and clipped to ±3, so that one failed study cannot outweigh the rest. An undefined value counts as the
   worst seen in the stage. A criterion whose values do not vary at the start has no vote.
5. No vote in one's own cause. A criterion that a constant meets by construction, whatever the images show, is silent on
   that constant (``Constant.silent``).
6. Score. The mean over voting criteria, of equal weight, and over patients. A constant leaves its start for the
   candidate of the highest score if that score exceeds its own standard error over patients; else it stays.
7. Together. All constants of the stage that moved are then changed at once, and adopted at once if that scores higher
   than the best of them alone (criteria that are silent on any of them are silent on this); else only the best one is.
   The result is the start of the next stage. There is one pass, and no second look.
8. After the choice. Overlap with masks, if it is asked for, is computed in the same pass but kept in a table of its own
   that no step reads. Start, choice and defaults are then compared on all patients.

A second search (``LAWS``) was declared after the first had ended and before any overlap was looked at: the same, where
only the two conservation laws vote, since in the first the sharpness of edges outweighed them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from medwsss.config.cine import (
    AxisConfig,
    CavityConfig,
    CineConfig,
    MotionConfig,
    RightVentricleConfig,
    WallConfig,
)
from medwsss.engine.cine_trials import Reference, StudyTrials, dice_of_seeds
from medwsss.priors.cardiac.criteria import CRITERIA

A_PRIORI = CineConfig(
    motion=MotionConfig(sigma_mm=10.0),
    axis=AxisConfig(ring_mm=9.0, systole_share=1.0, bend=1 / 30.0**2),
    cavity=CavityConfig(lower_by=0.0, systole_grow_mm=0.0),
    wall=WallConfig(
        thickness_mm=9.0,
        range_mm=(3.0, 18.0),
        systole_range_mm=(3.0, 27.0),
        expected_weight=0.25,
        blood_weight=0.1,
        shrink_mm=0.0,
    ),
    right_ventricle=RightVentricleConfig(
        half_angle=90.0, reach_mm=50.0, blood_level=0.5, decay_mm=10.0, step_mm=10.0, open_mm=1.5
    ),
)
"""Point 1 of the protocol; docs/cine.md gives the reasons."""


@dataclass(frozen=True)
class Constant:
    """A constant and what is tried for it."""

    key: str
    """Section and name, such as axis.bend."""
    candidates: tuple[float, ...]
    silent: tuple[str, ...] = ()
    """Criteria that this constant meets by construction."""


STAGES: tuple[tuple[Constant, ...], ...] = (
    (
        Constant("motion.sigma_mm", (15.0, 20.0)),
        Constant("axis.ring_mm", (6.0, 12.0)),
        Constant("axis.systole_share", (0.0, 0.5)),
        Constant("axis.bend", (1 / 15.0**2, 1 / 60.0**2), silent=("axis_bend_mm", "slice_continuity")),
    ),
    (
        Constant("cavity.lower_by", (0.05, 0.1)),
        Constant("cavity.systole_grow_mm", (1.5, 3.0)),
        Constant("wall.thickness_mm", (6.0, 12.0)),
        Constant("wall.expected_weight", (0.1, 0.5), silent=("muscle_disagreement", "epicardial_roundness")),
        Constant("wall.shrink_mm", (0.75, 1.5)),
        Constant("wall.blood_weight", (0.0, 0.2)),
    ),
    (
        Constant("right_ventricle.blood_level", (0.3, 0.4, 0.6)),
        Constant("right_ventricle.half_angle", (60.0, 75.0)),
        Constant("right_ventricle.reach_mm", (40.0, 60.0)),
        Constant("right_ventricle.step_mm", (5.0, 15.0), silent=("slice_continuity",)),
    ),
)
LAWS = ("muscle_disagreement", "stroke_disagreement")
"""Criteria that are laws of physics: muscle is conserved, and both ventricles pump the same blood."""
_CLIP = 3.0
_NAMES = tuple(CRITERIA)

Settings = tuple[tuple[str, float], ...]
"""Constants and their values, changed at once; none is the start."""
Row = dict[str, float]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """One configuration on one patient."""

    patient: str
    name: str
    criteria: Row
    dice: Row
    """Empty without masks; no step of the search reads it."""


@dataclass(frozen=True)
class Step:
    """What was tried within a stage, and what came of it."""

    stage: int
    settings: Settings
    score: float
    """Mean standardised improvement over the stage's start; more is better."""
    standard_error: float
    adopted: bool


@dataclass(frozen=True)
class Search:
    """The constants chosen, and the way there."""

    chosen: CineConfig
    steps: tuple[Step, ...]
    measured: tuple[Measured, ...]


def search(
    trials: Mapping[str, StudyTrials],
    *,
    start: CineConfig = A_PRIORI,
    stages: Sequence[Sequence[Constant]] = STAGES,
    voting: Sequence[str] = _NAMES,
    references: Mapping[str, Reference] | None = None,
    report: Report = lambda line: None,
) -> Search:
    """Run the protocol above on studies by patient.

    Args:
        trials: two patients at least, so that there is a standard error.
        start: constants to start from.
        stages: what is tried.
        voting: the criteria that count.
        references: masks by patient, which fill ``Measured.dice`` and nothing else.
        report: told of every step, in a line.

    Raises:
        ValueError: fewer than two patients.
    """
    if len(trials) < 2:
        raise ValueError("trials must be of two patients or more")
    mute = tuple(name for name in _NAMES if name not in voting)
    adopted: Settings = ()
    steps: list[Step] = []
    measured: list[Measured] = []

    def measure(changes: Sequence[Settings]) -> Float[np.ndarray, "configs patients criteria"]:
        named = {described(adopted + more): changed(start, adopted + more) for more in changes}
        rows = measure_all(trials, named, references=references)
        measured.extend(rows)
        return table(rows, tuple(named), tuple(trials))

    for number, stage in enumerate(stages, start=1):
        alone: list[Settings] = [((one.key, value),) for one in stage for value in one.candidates]
        values = measure([(), *alone])
        votes = dict(zip(alone, improvements(values)[1:], strict=True))
        scored = {settings: score(votes[settings], silent=mute + _silent(stage, settings)) for settings in alone}
        winners = _winners(stage, scored)
        best: Settings = max(winners, key=lambda settings: scored[settings][0], default=())
        if len(winners) > 1:
            together = tuple(pair for settings in winners for pair in settings)
            silent = mute + _silent(stage, together)
            both = improvements(np.concatenate([values, measure([together])]))[[1 + alone.index(best), -1]]
            scored[together] = score(both[1], silent=silent)
            if scored[together][0] > score(both[0], silent=silent)[0]:
                best = together
        for settings, (mean, error) in scored.items():
            steps.append(Step(number, settings, mean, error, settings == best))
            report(f"stage {number}: {described(settings)} {mean:+.3f} ± {error:.3f}{' *' if settings == best else ''}")
        adopted += best
    return Search(changed(start, adopted), tuple(steps), tuple(measured))


def measure_all(
    trials: Mapping[str, StudyTrials],
    configs: Mapping[str, CineConfig],
    *,
    references: Mapping[str, Reference] | None = None,
) -> list[Measured]:
    """Criteria, and overlap where there are references, of every named configuration on every patient."""
    rows = []
    for patient, study in trials.items():
        for name, seeds in zip(configs, study.seeds(list(configs.values())), strict=True):
            overlap = dice_of_seeds(seeds, references[patient]) if references is not None else {}
            found = study.criteria((seeds.diastole, seeds.systole))
            rows.append(Measured(patient, name, found, overlap))
    return rows


def table(
    rows: Sequence[Measured], names: Sequence[str], patients: Sequence[str]
) -> Float[np.ndarray, "configs patients criteria"]:
    """The criteria as an array, signed so that more is better; configurations and patients in the orders given."""
    signs = np.array([1.0 if CRITERIA[name] == "higher" else -1.0 for name in _NAMES])
    found = {(row.name, row.patient): [row.criteria[name] for name in _NAMES] for row in rows}
    signed: Float[np.ndarray, "configs patients criteria"] = signs * np.array(
        [[found[name, patient] for patient in patients] for name in names]
    )
    return signed


def improvements(
    values: Float[np.ndarray, "configs patients criteria"],
) -> Float[np.ndarray, "configs patients criteria"]:
    """Standardised differences from the first configuration (points 4 and 6); NaN for a criterion without a vote."""
    worst = np.nanmin(np.where(np.isnan(values), np.inf, values), axis=(0, 1))
    filled = np.where(np.isnan(values), worst, values)
    spread = filled[0].std(axis=0)
    spread[~np.isfinite(spread) | (spread == 0)] = np.nan
    clipped: Float[np.ndarray, "configs patients criteria"] = np.clip((filled - filled[0]) / spread, -_CLIP, _CLIP)
    return clipped


def score(votes: Float[np.ndarray, "patients criteria"], *, silent: Sequence[str] = ()) -> tuple[float, float]:
    """Mean of the improvements of one configuration, and its standard error over patients; (0, 0) without a vote."""
    voting = [index for index, name in enumerate(_NAMES) if name not in silent]
    cast = votes[:, voting]
    cast = cast[:, ~np.isnan(cast).any(axis=0)]
    if not cast.size:
        return 0.0, 0.0
    by_patient = cast.mean(axis=1)
    return float(by_patient.mean()), float(by_patient.std(ddof=1) / np.sqrt(len(by_patient)))


def changed(config: CineConfig, settings: Settings) -> CineConfig:
    """The configuration with some constants changed, validated.

    Raises:
        ValueError: an unknown constant or a value out of range.
    """
    tree: dict[str, Any] = config.model_dump()
    for key, value in settings:
        section, name = key.split(".")
        tree[section][name] = value
    return CineConfig.model_validate(tree)


def described(settings: Settings) -> str:
    """Such as "axis.bend=0.001 wall.shrink_mm=0.75"; "start" for no change. A later value of a constant replaces it."""
    return " ".join(f"{key}={value:.4g}" for key, value in dict(settings).items()) or "start"


def _winners(stage: Sequence[Constant], scored: Mapping[Settings, tuple[float, float]]) -> list[Settings]:
    """The best candidate of each constant that beats the start by more than its standard error."""
    found = []
    for one in stage:
        best: Settings = max((((one.key, value),) for value in one.candidates), key=lambda settings: scored[settings])
        mean, error = scored[best]
        if mean > error:
            found.append(best)
    return found


def _silent(stage: Sequence[Constant], settings: Settings) -> tuple[str, ...]:
    keys = {key for key, _ in settings}
    return tuple(name for one in stage if one.key in keys for name in one.silent)
