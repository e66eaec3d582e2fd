"""Cine seeds of a study on its own grid: labels of both phases, and how far to trust them."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from medwsss.config.cine import CineConfig
from medwsss.data.image_labels import ImageLabels
from medwsss.data.loading import VolumeData
from medwsss.data.pseudo_folder import PseudoFolder
from medwsss.data.sample import SliceKey
from medwsss.data.study import AFFINE_TOLERANCE, PHASES, Study, case_id, load_frame
from medwsss.data.transforms import native_labels
from medwsss.errors import MedwsssWarning
from medwsss.labels import BACKGROUND, IGNORE, Task
from medwsss.priors.cardiac.labels import LV, MYO, RV, HeartSeeds, edge_confidence, gated_by_tags, heart_seeds
from medwsss.priors.cardiac.plausibility import heart_doubts, study_doubts
from medwsss.volumes.io import save_volume
from medwsss.volumes.nifti import LONGEST_DESCRIPTION
from medwsss.volumes.reassembly import reassemble
from medwsss.volumes.slicing import RIGHT, in_plane_direction, slices_of
from medwsss.volumes.volume import Volume

SOURCE = "medwsss cine seeds"
"""What the headers of labels and confidence maps begin with."""


@dataclass(frozen=True, eq=False)
class PhaseSeeds:
    """Of one phase, on its native grid."""

    labels: Volume
    """uint8: 0 background, i for the i-th class of the task; 255 everywhere where the prior is switched off."""
    confidence: Volume
    """float32 in [0, 1]; 0 where the prior is switched off."""


@dataclass(frozen=True, eq=False)
class StudySeeds:
    """Of both phases, and why there are none if there are none."""

    phases: Mapping[str, PhaseSeeds]
    doubts: tuple[str, ...]


def seed_maker(
    studies: Sequence[Study], data: VolumeData, config: CineConfig, *, image_labels: ImageLabels | None
) -> Callable[[int], StudySeeds]:
    """``study_seeds`` by the index of a study; it runs no torch, so that ``workers.spread`` can give it to forked
    processes: what resamples slices happens here.

    Raises:
        DatasetError, VolumeError: a frame cannot be read.
    """
    for study in studies:
        for phase in PHASES:
            data.cache.stack(study.frames[phase], data.config.grid)

    def make(index: int) -> StudySeeds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MedwsssWarning)  # the slice cache has told what is wrong with a frame
            return study_seeds(studies[index], data, config, image_labels=image_labels)

    return make


def study_seeds(study: Study, data: VolumeData, config: CineConfig, *, image_labels: ImageLabels | None) -> StudySeeds:
    """Seeds of a study for the task of ``data``; one that the prior does not fit gets 255, and the reasons.

    Args:
        study: a patient of ``data``.
        data: data set, task and working grid.
        config: what is known of hearts.
        image_labels: tags that clear absent classes; None clears nothing, and slices without tags stay as they are.

    Raises:
        DatasetError, VolumeError: a frame cannot be read.
    """
    grid = data.config.grid
    stacks = {phase: np.asarray(data.cache.stack(study.frames[phase], grid)) for phase in PHASES}
    volumes = {phase: load_frame(study.frames[phase]) for phase in PHASES}
    found, reasons = _believed(stacks, volumes, grid.spacing_mm, config)
    task, phases = data.cine_task, {}
    for phase in PHASES:
        if found is None:
            labels = np.full(stacks[phase].shape, IGNORE, np.uint8)
            confidence = np.zeros(labels.shape, np.float32)
        else:
            keys = [SliceKey(study.patient, phase, index) for index in range(len(stacks[phase]))]
            codes = found.diastole if phase == "ED" else found.systole
            labels = task.from_codes(gated_by_tags(codes, present_codes(keys, image_labels, task)))
            confidence = edge_confidence(labels, spacing_mm=grid.spacing_mm, edge_mm=config.confidence.edge_mm)
        phases[phase] = PhaseSeeds(_native(labels, volumes[phase]), _native(confidence, volumes[phase]))
    return StudySeeds(phases, reasons)


def write_study_seeds(seeds: StudySeeds, study: Study, folder: PseudoFolder) -> None:
    """Write confidence and labels of both phases, labels last; their headers say that they are seeds, or why not.

    Raises:
        OutputError: a file cannot be written.
    """
    source = f"{SOURCE}: off, {'; '.join(seeds.doubts)}"[:LONGEST_DESCRIPTION] if seeds.doubts else SOURCE
    for phase, made in seeds.phases.items():
        name = case_id(study, phase)
        save_volume(made.confidence, folder.weights_file(name), description=source)
        save_volume(made.labels, folder.labels_file(name), description=source)


def present_codes(keys: Sequence[SliceKey], image_labels: ImageLabels | None, task: Task) -> Bool[np.ndarray, "n 3"]:
    """Whether the tags of each slice allow RV, MYO and LV; what the task or the tags do not know is allowed."""
    present = np.ones((len(keys), 3), bool)
    for row, key in zip(present, keys, strict=True):
        tags = () if image_labels is None else image_labels.tags.get(key, ())
        for column, code in enumerate((RV, MYO, LV)):
            label = task.codes[code]
            row[column] = not tags or label == BACKGROUND or bool(tags[label - 1])
    return present


def _believed(
    stacks: Mapping[str, Float32[np.ndarray, "n h w"]],
    volumes: Mapping[str, Volume],
    spacing_mm: float,
    config: CineConfig,
) -> tuple[HeartSeeds | None, tuple[str, ...]]:
    """Seeds, or the reasons against them: of the geometry, then of the images, then of what was found in them."""
    early, late = stacks["ED"], stacks["ES"]
    right = in_plane_direction(volumes["ED"], RIGHT)
    if right is None:
        return None, ("its slices stand across the patient's right-left axis, as no short-axis image does",)
    reasons = _grid_doubts(volumes["ED"], volumes["ES"])
    reasons = reasons or study_doubts(early, late, spacing_mm=spacing_mm, limits=config.doubt)
    if reasons:
        return None, reasons
    seeds = heart_seeds(early, late, spacing_mm=spacing_mm, right=right, config=config)
    reasons = heart_doubts(early, late, seeds, spacing_mm=spacing_mm, limits=config.doubt)
    return (None if reasons else seeds), reasons


def _grid_doubts(early: Volume, late: Volume) -> tuple[str, ...]:
    """Whether a voxel of one phase is not the same place in the other."""
    if early.grid != late.grid:
        return (f"ED and ES differ in shape ({early.grid} and {late.grid})",)
    apart = float(np.abs(early.affine - late.affine).max())
    return (f"ED and ES lie in different places (affines differ by {apart:g})",) if apart > AFFINE_TOLERANCE else ()


def _native(stack: UInt8[np.ndarray, "n h w"] | Float32[np.ndarray, "n h w"], like: Volume) -> Volume:
    rows, columns = slices_of(like).array.shape[1:]
    return reassemble(native_labels(stack, (rows, columns)), like=like)
