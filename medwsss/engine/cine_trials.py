"""Seeds of one study under many settings of the cine prior, each stage computed once for all settings that share it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from medwsss.config.cine import AxisConfig, CineConfig, MotionConfig
from medwsss.config.data import GridConfig
from medwsss.data.image_labels import labels_of_stack
from medwsss.data.slice_cache import SliceCache
from medwsss.data.study import PHASES, Study, case_id, load_frame, load_reference
from medwsss.data.transforms import working_labels
from medwsss.errors import DatasetError
from medwsss.labels import ACDC_TASKS
from medwsss.metrics.dice import dice
from medwsss.priors.cardiac.axis import Enclosure, VentricleAxis, axis_through, best_enclosure
from medwsss.priors.cardiac.criteria import BeatingLabels, criteria
from medwsss.priors.cardiac.labels import (
    LV,
    MYO,
    RV,
    HeartSeeds,
    LeftVentricles,
    gated_by_tags,
    left_ventricles,
    painted_beside,
)
from medwsss.priors.motion import relative_change, smoothed_change
from medwsss.volumes.slicing import RIGHT, in_plane_direction, slices_of

Stack = Float32[np.ndarray, "n h w"]
Labels = UInt8[np.ndarray, "n h w"]
DICE_CLASSES: Mapping[str, tuple[int, ...]] = {"heart": (RV, MYO, LV), "RV": (RV,), "MYO": (MYO,), "LV": (LV,)}


@dataclass(frozen=True, eq=False)
class Reference:
    """Masks of one study on the working grid, for a comparison that no choice depends on."""

    labels: tuple[Labels, Labels]
    tags: tuple[Bool[np.ndarray, "n 3"], Bool[np.ndarray, "n 3"]]
    """Whether RV, MYO and LV are present in each slice."""


class StudyTrials:
    """One study whose seeds are wanted under many settings. Axes are kept, being small; the rest lasts for one call."""

    def __init__(self, phases: tuple[Stack, Stack], *, spacing_mm: float, right: tuple[float, float]) -> None:
        """Grey levels in [0, 1] at end-diastole and end-systole, pixel size, and direction of the patient's right."""
        self._phases, self._spacing_mm, self._right = phases, spacing_mm, right
        self._axes: dict[tuple[MotionConfig, AxisConfig], VentricleAxis] = {}
        self._largest_changes: dict[MotionConfig, float] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the slices."""
        height, width = self._phases[0].shape[1:]
        return height, width

    def seeds(self, configs: Sequence[CineConfig]) -> list[HeartSeeds]:
        """What ``heart_seeds`` makes with each of the settings, in their order."""
        self._find_axes(configs)
        reach = max(map(self._reach, configs))
        left: dict[CineConfig, LeftVentricles] = {}
        found = []
        for config in configs:
            shared = config.model_copy(update={"right_ventricle": CineConfig().right_ventricle})
            axis, (rows, columns) = self._near_heart(config, reach)
            early, late = (stack[:, rows, columns] for stack in self._phases)
            if shared not in left:
                left[shared] = left_ventricles(early, late, axis, spacing_mm=self._spacing_mm, config=config)
            painted = painted_beside(
                left[shared], early.shape[1:], right=self._right, spacing_mm=self._spacing_mm, config=config
            )
            found.append(self._placed(painted, rows, columns, config))
        return found

    def criteria(self, labels: tuple[Labels, Labels]) -> dict[str, float]:
        """The criteria of labels of this study at ED and ES, whatever made them, see ``priors.cardiac.criteria``."""
        return criteria(BeatingLabels(self._phases, labels, self._spacing_mm))

    def _find_axes(self, configs: Sequence[CineConfig]) -> None:
        wanted = {(config.motion, config.axis) for config in configs} - self._axes.keys()
        rings: dict[tuple[object, ...], tuple[Enclosure, Enclosure]] = {}
        for motion, axis in wanted:
            sizes = (axis.radii_mm, axis.radius_step_mm, axis.ring_mm)
            if sizes not in rings:
                first, second = (
                    best_enclosure(stack, spacing_mm=self._spacing_mm, config=axis) for stack in self._phases
                )
                rings[sizes] = (first, second)
            change = smoothed_change(self._phases, spacing_mm=(self._spacing_mm, self._spacing_mm), config=motion)
            self._largest_changes[motion] = float(change.max())
            moving = relative_change(change)
            self._axes[motion, axis] = axis_through(rings[sizes], moving, spacing_mm=self._spacing_mm, config=axis)

    def _reach(self, config: CineConfig) -> int:
        """How far from the axis a label can be, in pixels."""
        wall = max(config.wall.range_mm[1], config.wall.systole_range_mm[1])
        reach_mm = config.axis.radii_mm[1] + config.cavity.reach_mm + wall + config.right_ventricle.reach_mm
        return round(reach_mm / self._spacing_mm) + 2

    def _near_heart(self, config: CineConfig, reach: int) -> tuple[VentricleAxis, tuple[slice, slice]]:
        """The axis within, and the rows and columns of, the part of the image that is within reach."""
        axis = self._axes[config.motion, config.axis]
        low, high = axis.centres.min(axis=0) - reach, axis.centres.max(axis=0) + reach + 1
        low = np.maximum(low, 0)
        rows, columns = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
        return replace(axis, centres=axis.centres - low), (rows, columns)

    def _placed(self, painted: tuple[Labels, Labels], rows: slice, columns: slice, config: CineConfig) -> HeartSeeds:
        whole = []
        for part in painted:
            labels = np.zeros(self._phases[0].shape, np.uint8)
            labels[:, rows, columns] = part
            whole.append(labels)
        change = self._largest_changes[config.motion]
        return HeartSeeds(whole[0], whole[1], self._axes[config.motion, config.axis], change)


def trials_of(study: Study, grid: GridConfig, cache: SliceCache) -> StudyTrials:
    """A study made ready; no mask is read.

    Raises:
        DatasetError: its phases differ in shape, its slices are not short-axis ones, or a frame is not there.
        VolumeError: a frame cannot be read.
    """
    early, late = (np.asarray(cache.stack(study.frames[phase], grid)) for phase in PHASES)
    if early.shape != late.shape:
        raise DatasetError(f"{study.patient}: ED and ES differ in shape ({early.shape} and {late.shape})")
    right = in_plane_direction(load_frame(study.frames["ED"]), RIGHT)
    if right is None:
        raise DatasetError(f"{study.patient}: slices stand across the right-left axis, as no short-axis image does")
    return StudyTrials((early, late), spacing_mm=grid.spacing_mm, right=right)


def reference_of(study: Study, masks: Mapping[str, Path], size: tuple[int, int]) -> Reference:
    """The masks of a study on slices of ``size``, and the tags that follow from them.

    Raises:
        DatasetError: a mask is missing or does not fit its frame.
        VolumeError: a file cannot be read.
    """
    task, labels, tags = ACDC_TASKS["multi"], [], []
    for phase in PHASES:
        name = case_id(study, phase)
        if name not in masks:
            raise DatasetError(f"{name} has no mask: compare without --masks")
        frame = load_frame(study.frames[phase])
        mask = frame.with_array(load_reference(masks[name], frame, task))
        labels.append(working_labels(mask, size))
        tags.append(labels_of_stack(slices_of(mask).array, 3).astype(bool))
    return Reference((labels[0], labels[1]), (tags[0], tags[1]))


def dice_of_seeds(seeds: HeartSeeds, reference: Reference) -> dict[str, float]:
    """Dice per volume of heart, RV, MYO and LV, mean of both phases, gated by true tags (``dice_RV``) and as they are.

    Names are ``dice_heart_ED`` and ``no_tags_dice_heart_ED``; NaN where class is in neither labels nor mask.
    """
    scores = {}
    for phase, labels, masks, tags in zip(
        ("ED", "ES"), (seeds.diastole, seeds.systole), reference.labels, reference.tags, strict=True
    ):
        for prefix, shown in (("dice", gated_by_tags(labels, tags)), ("no_tags_dice", labels)):
            for name, codes in DICE_CLASSES.items():
                scores[f"{prefix}_{name}_{phase}"] = dice(np.isin(shown, codes), np.isin(masks, codes))
    return scores
