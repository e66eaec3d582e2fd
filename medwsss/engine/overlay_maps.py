"""What a method saw, for the pictures of a report: maps that lie beside the predictions, where there are any."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from medwsss.engine.cases import Case
from medwsss.engine.predict import map_file
from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.labels import ACDC_TASKS
from medwsss.metrics.results import Overlay
from medwsss.volumes.io import load_label_volume, load_volume, volume_stem
from medwsss.volumes.slicing import slices_of


def with_maps(overlays: Sequence[Overlay], cases: Sequence[Case]) -> tuple[Overlay, ...]:
    """The overlays with uncertainty and activation of their slices, where ``medwsss predict --save`` left maps.

    A map that cannot be read or lies on another grid is left out, and a ``MedwsssWarning`` says so.

    Raises:
        VolumeError: a prediction cannot be read.
    """
    by_name = {case.name: case for case in cases}
    return tuple(_with_maps(overlay, by_name[overlay.case]) for overlay in overlays)


def _with_maps(overlay: Overlay, case: Case) -> Overlay:
    uncertainty, cam = (_largest(files, case) for files in ([uncertainty_file(case)], cam_files(case)))
    slices = (
        replace(
            piece,
            uncertainty=None if uncertainty is None else uncertainty[piece.index],
            cam=None if cam is None else cam[piece.index],
        )
        for piece in overlay.slices
    )
    return replace(overlay, slices=tuple(slices))


def uncertainty_file(case: Case) -> Path:
    """Where the map lies, if there is one."""
    return case.prediction.parent / map_file("uncertainty", volume_stem(case.prediction), "uncertainty")


def cam_files(case: Case) -> list[Path]:
    """Where the activations lie, if there are any: of the classes of the task, or else of those it is made of."""
    parts = [name for task in ACDC_TASKS.values() for name in task.labels.names]
    own, others = (
        [case.prediction.parent / map_file("cams", volume_stem(case.prediction), name) for name in dict.fromkeys(names)]
        for names in (case.prediction_codes.labels.names, parts)
    )
    return own if any(path.is_file() for path in own) else others


def _largest(files: Sequence[Path], case: Case) -> Float32[np.ndarray, "n h w"] | None:
    """The slices of the maps that are there, the largest value of each voxel; None without any."""
    found = list(_stacks(files, case))
    return np.max(found, axis=0) if found else None


def _stacks(files: Sequence[Path], case: Case) -> Iterator[Float32[np.ndarray, "n h w"]]:
    for path in filter(Path.is_file, files):
        try:
            volume = load_volume(path)
        except VolumeError as error:
            warnings.warn(f"{error}; it is not shown", MedwsssWarning, stacklevel=4)
            continue
        if volume.frames == 1 and volume.grid == load_label_volume(case.prediction).grid:
            yield slices_of(replace(volume, array=volume.array.reshape(volume.grid))).array
        else:
            warnings.warn(f"{path} is not on the grid of {case.prediction}: not shown", MedwsssWarning, stacklevel=4)
