"""A training set for nnU-Net v2 from images and pseudo-labels: confident pixels teach, uncertain ones are ignored.

Layout (nnU-Net's ``dataset_format.md`` and ``ignore_label.md``): ``DatasetNNN_NAME/`` with ``dataset.json``,
``imagesTr/CASE_0000.nii.gz`` and ``labelsTr/CASE.nii.gz``. The label ``ignore`` has the highest number. Beside them
lies ``splits_final.json``, in which all cases of a patient are in one part; nnU-Net reads it from its folder of
preprocessed data.
"""

import json
import re
import shutil
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from medwsss.data.folds import draw_folds
from medwsss.data.study import AFFINE_TOLERANCE, Frame, load_frame
from medwsss.errors import DatasetError, MedwsssWarning, OutputError
from medwsss.labels import BACKGROUND, IGNORE, LabelSet
from medwsss.volumes.io import load_label_volume, load_volume, save_volume
from medwsss.volumes.reassembly import reassemble
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume
from medwsss.writing import written_whole

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
Watch = Callable[[Iterable["NnunetCase"], int], Iterable["NnunetCase"]]


@dataclass(frozen=True)
class NnunetCase:
    """One volume: image, pseudo-labels and their weights on one grid."""

    name: str
    patient: str
    group: str
    image: Frame
    labels: Path
    weights: Path
    empty_slices: Collection[int] = field(default=())
    """Slices, in the order of ``slices_of``, whose tags say that they show no class."""


def nnunet_labels(
    labels: UInt8[np.ndarray, "n h w"],
    weights: Float[np.ndarray, "n h w"],
    *,
    num_foreground: int,
    confidence: float,
    empty_slices: Collection[int] = (),
) -> UInt8[np.ndarray, "n h w"]:
    """Labels with ``num_foreground + 1`` where they are undecided (255) or their weight is below ``confidence``.

    Slices tagged empty are background everywhere: that is known, whatever a network believes.

    Args:
        labels: 0 to ``num_foreground``, or 255.
        weights: how far each label is to be trusted, in [0, 1].
        num_foreground: classes without the background.
        confidence: smallest weight that still teaches, in [0, 1].
        empty_slices: indices of slices without any class.
    """
    unsure = (labels == IGNORE) | (weights < confidence)
    taught = np.where(unsure, np.uint8(num_foreground + 1), labels).astype(np.uint8)
    taught[list(empty_slices)] = BACKGROUND
    return taught


def dataset_folder(out: Path, *, number: int, name: str) -> Path:
    """``out/DatasetNNN_NAME``, which is where nnU-Net looks if ``out`` is its folder of raw data.

    Raises:
        OutputError: the number is not 1 to 999, the name has other signs than letters, digits, _ and -, or the folder
            is there already.
    """
    if not 1 <= number <= 999:
        raise OutputError(f"nnU-Net numbers data sets from 1 to 999, not {number}")
    if not _NAME.fullmatch(name):
        raise OutputError(f"nnU-Net cannot read the name {name!r}: use letters, digits, _ and -")
    folder = out / f"Dataset{number:03d}_{name}"
    if folder.exists():
        raise OutputError(f"{folder} is there already: choose another number, name or --out")
    return folder


def write_nnunet(
    cases: Sequence[NnunetCase],
    labels: LabelSet,
    folder: Path,
    *,
    channel: str,
    confidence: float,
    folds: int,
    seed: int,
    watched: Watch = lambda cases, count: cases,
) -> float:
    """Write the data set whole or, where that fails, not at all.

    Returns the share of voxels that are ignored.

    Args:
        cases: what to write.
        labels: classes.
        folder: see ``dataset_folder``.
        channel: what the images are; nnU-Net normalises CT with one mean and deviation, and anything else image by
            image.
        confidence: smallest weight that still teaches, in [0, 1].
        folds: parts of ``splits_final.json``, at least 2.
        seed: of their draw.
        watched: passes cases on, to show how far the work is.

    Raises:
        DatasetError: image and labels are on different grids, a frame is not there, or no voxel teaches a class.
        VolumeError: a file cannot be read.
        SplitError: there are fewer patients than folds.
        OutputError: a file cannot be written.
    """
    splits = patient_splits(cases, folds=folds, seed=seed)
    try:
        return _written(cases, labels, folder, splits, channel=channel, confidence=confidence, watched=watched)
    except BaseException:  # an interruption, too: the data set is there whole or not at all
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _written(
    cases: Sequence[NnunetCase],
    labels: LabelSet,
    folder: Path,
    splits: list[dict[str, list[str]]],
    *,
    channel: str,
    confidence: float,
    watched: Watch,
) -> float:
    _make_folders(folder)
    counts = np.zeros(labels.num_foreground + 2, np.int64)
    for case in watched(cases, len(cases)):
        image, taught = _loaded(case, labels.num_foreground, confidence)
        save_volume(image, folder / "imagesTr" / f"{case.name}_0000.nii.gz")
        save_volume(taught, folder / "labelsTr" / f"{case.name}.nii.gz")
        counts += np.bincount(taught.array.ravel(), minlength=len(counts))
    _check_taught(dict(zip(labels.names, counts[1:-1].tolist(), strict=True)), confidence)
    _write_json(splits, folder / "splits_final.json")
    _write_json(dataset_json(labels, len(cases), channel=channel), folder / "dataset.json")
    return float(counts[-1] / counts.sum())


def _check_taught(voxels: Mapping[str, int], confidence: float) -> None:
    """nnU-Net plans by the grey values of what is labelled."""
    untaught = ", ".join(name for name, count in voxels.items() if count == 0)
    if not any(voxels.values()):
        raise DatasetError(
            f"no voxel of weight {confidence} or more is {untaught}: look at the labels, or lower --confidence"
        )
    if untaught:
        warnings.warn(f"no voxel teaches {untaught}", MedwsssWarning, stacklevel=4)


def dataset_json(labels: LabelSet, cases: int, *, channel: str) -> dict[str, object]:
    """The description that nnU-Net reads."""
    names = {"background": BACKGROUND, **{name: label for label, name in enumerate(labels.names, start=1)}}
    return {
        "channel_names": {"0": channel},
        "labels": {**names, "ignore": labels.num_foreground + 1},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }


def patient_splits(cases: Sequence[NnunetCase], *, folds: int, seed: int) -> list[dict[str, list[str]]]:
    """For each fold the names of the cases that train and that validate; no patient is in both.

    Raises:
        SplitError: there are fewer patients than folds.
    """
    groups: Mapping[str, str] = {case.patient: case.group for case in cases}
    parts = draw_folds(groups, folds=folds, seed=seed)
    return [
        {
            "train": [case.name for case in cases if case.patient not in part],
            "val": [case.name for case in cases if case.patient in part],
        }
        for part in parts
    ]


def _loaded(case: NnunetCase, num_foreground: int, confidence: float) -> tuple[Volume, Volume]:
    image, labels, weights = load_frame(case.image), load_label_volume(case.labels), load_volume(case.weights)
    for other, path in ((labels, case.labels), (weights, case.weights)):
        if other.array.shape != image.grid or np.abs(other.affine - image.affine).max() > AFFINE_TOLERANCE:
            raise DatasetError(f"{path} and {case.image} are on different grids: make the pseudo-labels again")
    taught = nnunet_labels(
        slices_of(labels).array,
        slices_of(weights).array,
        num_foreground=num_foreground,
        confidence=confidence,
        empty_slices=case.empty_slices,
    )
    return image, reassemble(taught, like=image)


def _make_folders(folder: Path) -> None:
    try:
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"cannot make {error.filename or folder}: {error.strerror}; choose another --out") from error


def _write_json(content: object, path: Path) -> None:
    try:
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another --out") from error
