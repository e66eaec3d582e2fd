"""Predictions without references: their volumes, clinical numbers and what to review first."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from medwsss.data.study import Study, numbered_case
from medwsss.engine.cases import Case, pair_cases
from medwsss.engine.clinical import body_surfaces
from medwsss.engine.evaluate import LabelPair, overlay_slices
from medwsss.engine.overlay_maps import with_maps
from medwsss.engine.quality import read_findings
from medwsss.errors import EvaluationError
from medwsss.metrics.clinical import clinical_values, implausible
from medwsss.metrics.dice import volume_ml
from medwsss.metrics.results import Overlay, Unscored
from medwsss.volumes.io import load_label_volume
from medwsss.volumes.volume import Volume

RANKS = ("lowest", "median", "highest")


def describe_predictions(
    predictions: Path,
    *,
    images: Path | None = None,
    task: str | None = None,
    codes: str | None = None,
    studies: Sequence[Study] | None = None,
) -> Unscored:
    """Everything a report without masks says; all arguments as in ``pair_cases``.

    Raises:
        EvaluationError: there is no prediction, its numbers make no sense, or images do not fit.
        VolumeError, DatasetError: a file cannot be read.
    """
    pairing = pair_cases(predictions, predictions, task=task, images=images, prediction_codes=codes, studies=studies)
    classes = pairing.cases[0].prediction_codes.labels.names
    frames = {case.name: _frames(case) for case in pairing.cases}
    rows = [
        {"case": name, "patient": case.patient, "phase": case.phase, "group": case.group, "class": shown,
         "volume_ml": volume_ml(labels.array == label, labels)}
        for case in pairing.cases
        for name, labels in frames[case.name].items()
        for label, shown in enumerate(classes, start=1)
    ]  # fmt: skip
    loaded = {name: own[name] for name, own in frames.items() if name in own}
    whole = [case for case in pairing.cases if case.name in loaded]
    volumes, estimates = pd.DataFrame(rows), read_findings(predictions)
    estimates = estimates[estimates["case"].isin(loaded)].sort_values("estimate", kind="stable")
    values = clinical_values(volumes, "volume_ml", body_surfaces(pairing.cases))
    return Unscored(
        task=pairing.task,
        classes=classes,
        volumes=volumes,
        clinical=values,
        estimates=estimates,
        overlays=with_maps(
            _overlays(whole, loaded, estimates), {case.name: case.prediction for case in whole}, classes
        ),
        implausible=implausible(values),
    )


def _frames(case: Case) -> dict[str, Volume]:
    """The labels of a case by name; those of a cine by case and time point, counted from 1."""
    labels = load_label_volume(case.prediction)
    try:
        labels = labels.with_array(case.prediction_codes.from_codes(labels.array))
    except ValueError as error:
        raise EvaluationError(f"{case.prediction}: {error}") from error
    if labels.array.ndim == 3:
        return {case.name: labels}
    return {numbered_case(case.name, index + 1): labels.frame(index) for index in range(labels.frames)}


def _overlays(cases: Sequence[Case], loaded: Mapping[str, Volume], estimates: pd.DataFrame) -> tuple[Overlay, ...]:
    """Volumes of lowest, median and highest estimate that show something; none without estimates."""
    by_name = {case.name: case for case in cases if loaded[case.name].array.any()}
    ranked = estimates[estimates["case"].isin(by_name)]
    if ranked.empty:
        return ()
    places = dict(zip(RANKS, (0, len(ranked) // 2, len(ranked) - 1), strict=True))
    chosen = {place: rank for rank, place in reversed(places.items())}  # with few volumes the first rank stays
    found = []
    for place, rank in sorted(chosen.items()):
        name, estimate = str(ranked["case"].iloc[place]), float(ranked["estimate"].iloc[place])
        labels = loaded[name]
        pair = LabelPair(by_name[name], labels, labels.with_array(np.zeros_like(labels.array)))
        found.append(Overlay(rank, name, estimate, overlay_slices(pair)))
    return tuple(found)
