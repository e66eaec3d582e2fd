"""Compare label volumes with their references: every number of the report is computed here."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor

from medwsss.data.study import AFFINE_TOLERANCE, load_frame
from medwsss.engine.aggregate import Bootstrap, mean_scores, overlap_scores, pooled_scores
from medwsss.engine.baselines import BaselineScores, Target, score_baselines
from medwsss.engine.cases import Case
from medwsss.engine.clinical import clinical_numbers
from medwsss.engine.overlay_maps import with_maps
from medwsss.engine.workers import available_cores, spread
from medwsss.errors import EvaluationError, MedwsssWarning
from medwsss.labels import ACDC_TASKS, BACKGROUND, Task
from medwsss.metrics.confusion import confusion_matrices
from medwsss.metrics.dice import volume_ml
from medwsss.metrics.results import (
    METRICS,
    OVERLAP_METRICS,
    PER_CASE,
    PER_CASE_COLUMNS,
    PER_SLICE,
    POOLED,
    Evaluation,
    Overlay,
    OverlaySlice,
    Scores,
)
from medwsss.metrics.surface import SurfaceDistances, bounding_box, surface_distances
from medwsss.types import Image3D
from medwsss.volumes.io import load_label_volume
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

SLICES_SHOWN = 5
_HEART, _ALL_CLASSES = "heart", "all classes"


@dataclass(frozen=True, eq=False)
class LabelPair:
    """Task labels of prediction and reference on one grid, that of the reference."""

    case: Case
    prediction: Volume
    reference: Volume


def evaluate_cases(
    cases: Sequence[Case],
    task: str,
    *,
    device: torch.device,
    resamples: int = 2000,
    seed: int = 0,
    baselines: bool = True,
    estimates: Mapping[str, float] = MappingProxyType({}),
) -> Evaluation:
    """Score every volume and class, aggregate in three ways, and put training-free masks beside them.

    Voxels are counted on ``device``; surfaces are searched by a process for each core. Without ``baselines`` there is
    nothing to compare the result with: for quick looks only. ``estimates`` say how far each case was trusted before.

    Raises:
        EvaluationError: no case, or prediction and reference differ in shape, affine or known codes.
        VolumeError: a file cannot be read.
    """
    if not cases:
        raise EvaluationError("there is no case to evaluate")
    bootstrap, classes = Bootstrap(resamples, seed), cases[0].reference_codes.labels.names
    with _told() as told:
        pairs = [load_pair(case) for case in cases]
        counts = [slice_matrices(pair, len(classes) + 1, device) for pair in pairs]
        beside = _baselines(pairs, classes, bootstrap) if baselines else BaselineScores((), {}, ())
        per_case, per_slice = case_table(pairs, counts, classes), _slice_table(cases, counts, classes)
        overlays = with_maps(_overlays(pairs, per_case), {case.name: case.prediction for case in cases}, classes)
    patients = [case.patient for case in cases]
    pooled = pooled_scores(torch.stack([c.sum(dim=0) for c in counts]), patients, classes, bootstrap=bootstrap)
    return Evaluation(
        task=task,
        classes=classes,
        per_case=per_case,
        scores={
            PER_CASE: mean_scores(per_case, classes, METRICS, bootstrap=bootstrap),
            POOLED: pooled,
            PER_SLICE: mean_scores(per_slice, classes, OVERLAP_METRICS, bootstrap=bootstrap),
        },
        by_phase=_strata(per_case, "phase", classes, bootstrap),
        by_group=_strata(per_case, "group", classes, bootstrap),
        targets=beside.targets,
        baselines=beside.results,
        overlays=overlays,
        clinical=clinical_numbers(cases, per_case, bootstrap=bootstrap),
        slices=sum(len(c) for c in counts),
        resamples=resamples,
        device=str(device),
        estimates={case.name: estimates[case.name] for case in cases if case.name in estimates},
        remarks=(*beside.remarks, *dict.fromkeys(told)),
    )


def load_pair(case: Case) -> LabelPair:
    """Both label files of a case as task labels.

    Raises:
        EvaluationError: shape or affine differ, or a file holds codes that were not announced.
        VolumeError: a file cannot be read.
    """
    prediction, reference = load_label_volume(case.prediction), load_label_volume(case.reference)
    files = f"{case.prediction} and {case.reference}"
    if prediction.array.shape != reference.array.shape:
        raise EvaluationError(f"{files} differ in shape: {prediction.array.shape} and {reference.array.shape}")
    if reference.array.ndim != 3:
        raise EvaluationError(f"{files} have {reference.frames} time points: evaluate one volume a file")
    difference = float(np.abs(prediction.affine - reference.affine).max())
    if difference > AFFINE_TOLERANCE:
        raise EvaluationError(
            f"{files} differ in affine, by up to {difference:g}: predict on the grid of the reference"
        )
    return LabelPair(
        case,
        reference.with_array(_labels(prediction, case.prediction_codes, "prediction", case)),
        reference.with_array(_labels(reference, case.reference_codes, "reference", case)),
    )


def _labels(volume: Volume, codes: Task, name: str, case: Case) -> Any:
    try:
        return codes.from_codes(volume.array)
    except ValueError as error:
        file, partner = case.prediction, case.reference
        if name == "reference":
            file, partner = partner, file
        raise EvaluationError(f"{file}: {error}; it was to be compared with {partner}") from error


def slice_matrices(pair: LabelPair, classes: int, device: torch.device) -> Int64[Tensor, "n k k"]:
    """A confusion matrix for every slice, counted on ``device``, returned on the CPU; their sum is the volume's."""
    predicted, true = slices_of(pair.prediction).array, slices_of(pair.reference).array
    box = (slice(None), *bounding_box((predicted | true).any(axis=0)))
    inside = (torch.from_numpy(np.ascontiguousarray(array[box])).to(device) for array in (predicted, true))
    matrices = confusion_matrices(*inside, classes=classes).cpu()
    matrices[:, BACKGROUND, BACKGROUND] += predicted[0].size - predicted[0][box[1:]].size  # where both are empty
    return matrices


# --- Tables ----------------------------------------------------------------------------------------------------------


def case_table(
    pairs: Sequence[LabelPair], counts: Sequence[Int64[Tensor, "_ k k"]], classes: Sequence[str]
) -> pd.DataFrame:
    """A row for each volume and class, with ``PER_CASE_COLUMNS``; ``counts`` are those of ``slice_matrices``."""
    surfaces = spread(partial(_surfaces, pairs, len(classes)), len(pairs), available_cores(), forked=True)
    rows = [row for found in zip(pairs, counts, surfaces, strict=True) for row in _case_rows(*found, classes)]
    return pd.DataFrame(rows, columns=list(PER_CASE_COLUMNS))


def _surfaces(pairs: Sequence[LabelPair], classes: int, index: int) -> list[SurfaceDistances]:
    """Of each class of one volume; numpy alone, so that a forked process may do it."""
    prediction, reference = pairs[index].prediction.array, pairs[index].reference.array
    box, spacing_mm = bounding_box(prediction | reference), pairs[index].reference.spacing_mm
    return [
        surface_distances(prediction[box] == label, reference[box] == label, spacing_mm=spacing_mm)
        for label in range(1, classes + 1)
    ]


def _case_rows(
    pair: LabelPair, matrices: Int64[Tensor, "n k k"], surfaces: Sequence[SurfaceDistances], classes: Sequence[str]
) -> Iterator[dict[str, str | float]]:
    overlap, case = overlap_scores(matrices.sum(dim=0)), pair.case
    for index, (name, surface) in enumerate(zip(classes, surfaces, strict=True)):
        predicted, true = pair.prediction.array == index + 1, pair.reference.array == index + 1
        yield {
            "case": case.name,
            "patient": case.patient,
            "phase": case.phase,
            "group": case.group,
            "class": name,
            **{metric: float(values[index]) for metric, values in overlap.items()},
            "hd95_mm": surface.hd95,
            "assd_mm": surface.assd,
            "volume_ml": volume_ml(predicted, pair.reference),
            "reference_volume_ml": volume_ml(true, pair.reference),
        }


def _slice_table(
    cases: Sequence[Case], counts: Sequence[Int64[Tensor, "_ k k"]], classes: Sequence[str]
) -> pd.DataFrame:
    rows = [
        {"case": case.name, "patient": case.patient, "slice": place, "class": name}
        | {metric: float(values[index]) for metric, values in overlap.items()}
        for case, matrices in zip(cases, counts, strict=True)
        for place, overlap in enumerate(map(overlap_scores, matrices))
        for index, name in enumerate(classes)
    ]
    return pd.DataFrame(rows)


def _strata(per_case: pd.DataFrame, column: str, classes: Sequence[str], bootstrap: Bootstrap) -> dict[str, Scores]:
    known = sorted(value for value in per_case[column].unique() if value)
    return {
        value: mean_scores(per_case[per_case[column] == value], classes, METRICS, bootstrap=bootstrap)
        for value in known
    }


# --- Baselines, pictures, warnings -----------------------------------------------------------------------------------


def _baselines(pairs: Sequence[LabelPair], classes: Sequence[str], bootstrap: Bootstrap) -> BaselineScores:
    """Masks hold one structure: they are scored against each class and, with several classes, against their union."""
    labels = {name: (label,) for label, name in enumerate(classes, start=1)}
    union = _HEART if set(classes) <= set(ACDC_TASKS["multi"].labels.names) else _ALL_CLASSES
    structures = {union: tuple(range(1, len(classes) + 1))} | labels if len(classes) > 1 else labels
    targets = {name: [_target(pair, chosen) for pair in pairs] for name, chosen in structures.items()}
    return score_baselines(targets, bootstrap=bootstrap)


def _target(pair: LabelPair, labels: Sequence[int]) -> Target:
    predicted, true = (np.isin(volume.array, labels) for volume in (pair.prediction, pair.reference))
    return Target(pair.case.name, pair.case.patient, predicted, true, pair.reference, pair.case.study)


def _overlays(pairs: Sequence[LabelPair], per_case: pd.DataFrame) -> tuple[Overlay, ...]:
    """Best, median and worst case by the mean Dice over classes; cases where it is undefined have no rank."""
    means = per_case.groupby("case", sort=False)["dice"].mean().dropna().sort_values(ascending=False, kind="stable")
    if means.empty:
        return ()
    ranks = {"best": 0, "median": len(means) // 2, "worst": len(means) - 1}
    by_name = {pair.case.name: pair for pair in pairs}
    places = {place: rank for rank, place in reversed(ranks.items())}  # with few cases the first name of a place stays
    return tuple(
        Overlay(
            rank, str(means.index[place]), float(means.iloc[place]), overlay_slices(by_name[str(means.index[place])])
        )
        for place, rank in sorted(places.items())
    )


def overlay_slices(pair: LabelPair) -> tuple[OverlaySlice, ...]:
    """A few labelled slices from the first to the last, with the image where there is one.

    Raises:
        EvaluationError: image and labels are on different grids.
    """
    predicted, true = slices_of(pair.prediction), slices_of(pair.reference)
    labelled = np.flatnonzero((predicted.array + true.array > 0).any(axis=(1, 2)))
    shown = labelled[np.unique(np.linspace(0, len(labelled) - 1, SLICES_SHOWN).round().astype(int))]
    image = _image(pair)
    grey = None if image is None else slices_of(pair.reference.with_array(image)).array
    return tuple(
        OverlaySlice(
            int(place),
            None if grey is None else grey[place],
            predicted.array[place],
            true.array[place],
            true.spacing_mm,
        )
        for place in shown
    )


def _image(pair: LabelPair) -> Image3D | None:
    """Grey levels between the 1st and 99.5th percentile of the volume, as [0, 1]."""
    if pair.case.image is None:
        return None
    volume = load_frame(pair.case.image)
    if volume.grid != pair.reference.grid:
        raise EvaluationError(
            f"{pair.case.image.path} has grid {volume.grid}, {pair.case.reference} has {pair.reference.grid}: "
            "pass the images that belong to the references"
        )
    low, high = np.percentile(volume.array, (1.0, 99.5))
    scaled: Image3D = np.clip((volume.array - low) / max(float(high - low), math.ulp(1.0)), 0.0, 1.0).astype(np.float32)
    return scaled


@contextmanager
def _told() -> Iterator[list[str]]:
    """Warnings about files, for the report; at the end, also of a failure, they go on to whoever listens."""
    told: list[str] = []
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", MedwsssWarning)
            yield told
    finally:
        told += [str(warning.message) for warning in caught if isinstance(warning.message, MedwsssWarning)]
        for warning in caught:
            warnings.warn(warning.message, stacklevel=3)
