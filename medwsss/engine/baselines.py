"""What masks that need no training reach on the evaluated volumes: no result means anything without them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from medwsss.data.study import PHASES, Study, load_frame
from medwsss.engine.aggregate import Bootstrap, overlap_scores
from medwsss.metrics.results import BaselineResult, Scores
from medwsss.metrics.statistics import Interval
from medwsss.priors.training_free import TRAINING_FREE, ShapePrior, gated, mean_shape, shape_mask
from medwsss.types import Mask3D
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

AnyMask = Bool[np.ndarray, "_ _ _"]
"""A mask among masks on other grids."""
MEAN_SHAPE = "mean shape"
NEEDS_BOTH_PHASES = ("motion",)
TARGET_METRICS = ("dice", "confusion_ratio")


@dataclass(frozen=True, eq=False)
class Target:
    """One structure in one volume."""

    case: str
    patient: str
    prediction: Mask3D
    reference: Mask3D
    like: Volume
    study: Study | None


@dataclass(frozen=True, eq=False)
class BaselineScores:
    """Everything the report says about training-free masks."""

    results: tuple[BaselineResult, ...]
    targets: Scores
    remarks: tuple[str, ...]


def score_baselines(targets: Mapping[str, Sequence[Target]], *, bootstrap: Bootstrap) -> BaselineScores:
    """Score every training-free mask against every structure, with and without the true slice tags.

    ``targets`` holds, for each structure, all volumes in one order. A mask that cannot be made for a volume is left out
    there, and a remark says so.
    """
    masks = {name: _drawn_masks(name, next(iter(targets.values()))) for name in TRAINING_FREE}
    intervals: dict[str, dict[str, Interval]] = {}
    results: list[BaselineResult] = []
    remarks: list[str] = []
    for structure, cases in targets.items():
        own = _scores([case.prediction for case in cases], cases)
        patients = [case.patient for case in cases]
        intervals[structure] = {metric: bootstrap.interval(values, patients) for metric, values in own.items()}
        for name, drawn in (masks | {MEAN_SHAPE: _shape_masks(cases)}).items():
            made = sum(mask is not None for mask in drawn)
            if made < len(cases):
                remarks.append(_missing(name, structure, made, len(cases)))
            if made:
                results += _both_ways(name, structure, drawn, cases, own["dice"], bootstrap)
    return BaselineScores(tuple(results), intervals, tuple(dict.fromkeys(remarks)))


def _both_ways(
    name: str,
    structure: str,
    drawn: Sequence[AnyMask | None],
    cases: Sequence[Target],
    own_dice: Float[np.ndarray, " n"],
    bootstrap: Bootstrap,
) -> Iterator[BaselineResult]:
    patients = [case.patient for case in cases]
    for tags in (True, False):
        masks = [_gated(mask, case) for mask, case in zip(drawn, cases, strict=True)] if tags else drawn
        scores = _scores(masks, cases)
        yield BaselineResult(
            name=name,
            tags=tags,
            uses_masks=name == MEAN_SHAPE,
            target=structure,
            dice=bootstrap.interval(scores["dice"], patients),
            confusion_ratio=bootstrap.interval(scores["confusion_ratio"], patients),
            difference=bootstrap.interval(own_dice - scores["dice"], patients),
        )


def _gated(mask: Mask3D | None, case: Target) -> Mask3D | None:
    if mask is None:
        return None
    return gated(mask, _present(case), case.like)


def _scores(masks: Sequence[AnyMask | None], cases: Sequence[Target]) -> dict[str, Float[np.ndarray, " n"]]:
    """Dice and confusion ratio of each volume; NaN where there is no mask."""
    values = np.full((len(cases), len(TARGET_METRICS)), np.nan)
    for row, (mask, case) in enumerate(zip(masks, cases, strict=True)):
        if mask is not None:
            scores = overlap_scores(_binary_matrix(mask, case.reference))
            values[row] = [scores[metric][0] for metric in TARGET_METRICS]
    return dict(zip(TARGET_METRICS, values.T, strict=True))


def _binary_matrix(mask: Mask3D, reference: Mask3D) -> torch.Tensor:
    hit = int(np.count_nonzero(mask & reference))
    false_positive = int(np.count_nonzero(mask)) - hit
    false_negative = int(np.count_nonzero(reference)) - hit
    return torch.tensor([[mask.size - hit - false_positive - false_negative, false_positive], [false_negative, hit]])


def _drawn_masks(name: str, cases: Sequence[Target]) -> list[AnyMask | None]:
    """The same mask for every structure."""
    if name not in NEEDS_BOTH_PHASES:
        return [TRAINING_FREE[name](case.like, case.like) for case in cases]
    studies = {case.study.patient: case.study for case in cases if case.study is not None}
    made = {patient: _from_phases(name, study) for patient, study in studies.items()}
    return [_fitting(made.get(case.patient), case.like) for case in cases]


def _fitting(mask: Mask3D | None, like: Volume) -> Mask3D | None:
    return mask if mask is not None and mask.shape == like.grid else None


def _from_phases(name: str, study: Study) -> Mask3D | None:
    if not study.frames.keys() >= set(PHASES):
        return None
    ed, es = (load_frame(study.frames[phase]) for phase in PHASES)
    return TRAINING_FREE[name](ed, es) if ed.grid == es.grid else None


def _shape_masks(cases: Sequence[Target]) -> list[AnyMask | None]:
    """The mean shape of all other patients, in each volume."""
    priors = _leave_one_out({patient: [c for c in cases if c.patient == patient] for patient in _patients(cases)})
    return [shape_mask(priors[case.patient], case.like) if case.patient in priors else None for case in cases]


def _patients(cases: Sequence[Target]) -> list[str]:
    return list(dict.fromkeys(case.patient for case in cases))


def _leave_one_out(by_patient: Mapping[str, Sequence[Target]]) -> dict[str, ShapePrior]:
    """The prior of each patient from the slices of all others.

    A prior is a mean over slices, so those of single patients add up, weighted by their number of slices; drawing every
    slice once instead of once for each patient left out makes this linear in the number of patients.
    """
    counts = {patient: sum(int(_present(case).sum()) for case in cases) for patient, cases in by_patient.items()}
    sums = {
        patient: counts[patient] * mean_shape([(c.reference, c.like) for c in cases]).probability
        for patient, cases in by_patient.items()
        if counts[patient]
    }
    if not sums:
        return {}
    total, count = np.sum(list(sums.values()), axis=0), sum(counts.values())
    others = {patient: total - sums[patient] if patient in sums else total for patient in by_patient}
    return {
        patient: ShapePrior((others[patient] / (count - counts[patient])).astype(np.float32))
        for patient in by_patient
        if count > counts[patient]
    }


def _present(case: Target) -> Bool[np.ndarray, " n"]:
    """The true tag of every slice."""
    return np.asarray(slices_of(case.like.with_array(case.reference)).array.any(axis=(1, 2)))


def _missing(name: str, structure: str, made: int, cases: int) -> str:
    if name == MEAN_SHAPE:
        return f"The mean shape of {structure} needs other patients that show it: made for {made} of {cases} volumes."
    return f"The baseline {name} needs the images of both phases: made for {made} of {cases} volumes."
