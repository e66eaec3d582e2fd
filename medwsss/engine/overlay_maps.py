"""What a method saw, for the pictures of a report: maps that lie beside the predictions, where there are any."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from medwsss.engine.predict import map_file
from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.labels import ACDC_TASKS
from medwsss.metrics.results import Overlay
from medwsss.volumes.io import load_label_volume, load_volume, volume_stem
from medwsss.volumes.slicing import slices_of


def with_maps(
    overlays: Sequence[Overlay], predictions: Mapping[str, Path], classes: Sequence[str]
) -> tuple[Overlay, ...]:
    """The overlays with uncertainty and activation of their slices, where ``medwsss predict --save`` left maps.

    ``predictions`` are the label files by case. A map that cannot be read or lies on another grid is left out, and a
    ``MedwsssWarning`` says so.

    Raises:
        VolumeError: a prediction cannot be read.
    """
    return tuple(_with_maps(overlay, predictions[overlay.case], classes) for overlay in overlays)


def _with_maps(overlay: Overlay, labels: Path, classes: Sequence[str]) -> Overlay:
    uncertainty = _largest([_map_of(labels, "uncertainty", "uncertainty")], labels)
    cam = _largest(cam_files(labels, classes), labels)
    slices = (
        replace(
            piece,
            uncertainty=None if uncertainty is None else uncertainty[piece.index],
            cam=None if cam is None else cam[piece.index],
        )
        for piece in overlay.slices
    )
    return replace(overlay, slices=tuple(slices))


def cam_files(labels: Path, classes: Sequence[str]) -> list[Path]:
    """The activations beside a label file: of these classes, or where there are none of the parts of the heart."""
    parts = dict.fromkeys(name for task in ACDC_TASKS.values() for name in task.labels.names)
    own, others = ([_map_of(labels, "cams", name) for name in names] for names in (classes, parts))
    return list(filter(Path.is_file, own)) or list(filter(Path.is_file, others))


def _map_of(labels: Path, folder: str, shown: str) -> Path:
    return labels.parent / map_file(folder, volume_stem(labels), shown)


def _largest(files: Sequence[Path], labels: Path) -> Float32[np.ndarray, "n h w"] | None:
    """The slices of the maps that are there, the largest value of each voxel; None without any."""
    found = list(_stacks(files, labels))
    return np.max(found, axis=0) if found else None


def _stacks(files: Sequence[Path], labels: Path) -> Iterator[Float32[np.ndarray, "n h w"]]:
    there = [path for path in files if path.is_file()]
    grid = load_label_volume(labels).grid if there else None
    for path in there:
        try:
            volume = load_volume(path)
        except VolumeError as error:
            warnings.warn(f"{error}; it is not shown", MedwsssWarning, stacklevel=4)
            continue
        if volume.frames == 1 and volume.grid == grid:
            yield slices_of(replace(volume, array=volume.array.reshape(volume.grid))).array
        else:
            warnings.warn(f"{path} is not on the grid of {labels}: not shown", MedwsssWarning, stacklevel=4)
