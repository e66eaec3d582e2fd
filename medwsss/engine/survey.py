"""A look at cine studies before anything is trained: every patient for itself, whatever is wrong with it."""

import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from medwsss.config.cine import CineConfig
from medwsss.config.data import GridConfig
from medwsss.data.acdc import read_study
from medwsss.data.image_labels import labels_of_stack
from medwsss.data.slice_cache import SliceCache
from medwsss.data.study import PHASES, Study, case_id, load_frame, load_reference
from medwsss.errors import MedwsssError, MedwsssWarning
from medwsss.labels import ACDC_TASKS
from medwsss.metrics.survey import Finding, FrameSurvey, PatientSurvey, Preview, odd_geometry
from medwsss.priors.cardiac.contraction import cavity_growth
from medwsss.priors.cardiac.plausibility import study_doubts
from medwsss.priors.motion import smoothed_change
from medwsss.volumes.slicing import RIGHT, in_plane_direction, slices_of
from medwsss.volumes.volume import Volume

Stack = Float32[np.ndarray, "n h w"]


@dataclass(frozen=True)
class Surveyor:
    """How to look at patients."""

    cache: SliceCache
    grid: GridConfig
    cine: CineConfig
    masks: Mapping[str, Path]
    """Mask file by ``study.case_id``, for the tags; of cases without one nothing is said here."""

    def patient(self, folder: Path) -> PatientSurvey:
        """One patient; what cannot be read is a finding and ends nothing."""
        seen = _Seen(folder.name)
        with seen.noting():
            seen.study = read_study(folder)
        if seen.study is not None:
            for phase in PHASES:
                with seen.noting():
                    self._look_at_frame(seen, seen.study, phase)
            with seen.noting():
                self._look_for_motion(seen)
        return seen.survey()

    def preview(self, folder: Path) -> Preview:
        """The middle slice of a patient whose phases have one size.

        Raises:
            DatasetError, VolumeError: a frame cannot be read.
        """
        study = read_study(folder)
        assert study is not None
        early, late = (np.asarray(self.cache.stack(study.frames[phase], self.grid)) for phase in PHASES)
        change = self._change(early, late)
        middle = len(early) // 2
        return Preview(study.patient, early[middle], late[middle], change[middle])

    def _look_at_frame(self, seen: "_Seen", study: Study, phase: str) -> None:
        volume = load_frame(study.frames[phase])
        seen.stacks[phase] = np.asarray(self.cache.stack(study.frames[phase], self.grid))
        seen.frames[phase] = frame_survey(volume)
        seen.note(*odd_geometry(seen.frames[phase]))
        if in_plane_direction(volume, RIGHT) is None:
            seen.note("its slices stand across the patient's right-left axis: is it a long-axis view?")
        blank = [index for index, plane in enumerate(slices_of(volume).array) if plane.min() == plane.max()]
        if blank and len(blank) < seen.frames[phase].slices:
            seen.note(f"slice {', '.join(map(str, blank))} of {phase} is constant")
        mask = self.masks.get(case_id(study, phase))
        if mask is not None:
            seen.present[phase] = present_codes(mask, volume)

    def _look_for_motion(self, seen: "_Seen") -> None:
        if len(seen.frames) < len(PHASES):
            return
        early, late = (seen.frames[phase] for phase in PHASES)
        if (early.slices, *early.size) != (late.slices, *late.size):
            sizes = " and ".join(f"{frame.slices} x {frame.size[0]} x {frame.size[1]}" for frame in (early, late))
            seen.note(f"ED and ES differ in size ({sizes}): no motion to learn from")
            return
        stacks = (seen.stacks["ED"], seen.stacks["ES"])
        if stacks[0].shape != stacks[1].shape:
            seen.note(
                f"ED and ES differ in pixel size ({early.pixel_mm} and {late.pixel_mm} mm): no motion to learn from"
            )
            return
        seen.change = float(self._change(*stacks).max())
        limits = self.cine.doubt
        if early.fingerprint == late.fingerprint:
            seen.note("ED and ES are identical: no motion to learn from")
        elif seen.change < limits.least_change:
            seen.note(f"nothing moves between ED and ES: they differ by {seen.change:.3f} of the grey levels at most")
        else:
            seen.moves = True
            seen.note(*study_doubts(*stacks, spacing_mm=self.grid.spacing_mm, limits=limits))
            growth = cavity_growth(*stacks, spacing_mm=self.grid.spacing_mm, config=self.cine)
            if growth > limits.largest_growth:
                seen.note(f"the left cavity is {growth:.2f} times as wide at ES as at ED: are they swapped?")

    def _change(self, early: Stack, late: Stack) -> Stack:
        step = self.grid.spacing_mm
        return smoothed_change((early, late), spacing_mm=(step, step), config=self.cine.motion)


def frame_survey(volume: Volume) -> FrameSurvey:
    """Grid and voxels of a frame, in short."""
    stack = slices_of(volume)
    slices, rows, columns = stack.array.shape
    digest = hashlib.sha256(repr(stack.array.shape).encode())
    digest.update(stack.array.tobytes())
    return FrameSurvey((rows, columns), slices, stack.spacing_mm, stack.slice_spacing_mm, digest.hexdigest()[:16])


def present_codes(mask: Path, like: Volume) -> Bool[np.ndarray, "n 3"]:
    """Whether each slice of a reference mask shows RV, MYO and LV.

    Raises:
        DatasetError: the mask does not fit its frame.
        VolumeError: it cannot be read.
    """
    task = ACDC_TASKS["multi"]
    stack = slices_of(like.with_array(load_reference(mask, like, task))).array
    return labels_of_stack(stack, task.labels.num_foreground).astype(bool)


@dataclass
class _Seen:
    """What is known of a patient so far."""

    patient: str
    study: Study | None = None
    frames: dict[str, FrameSurvey] = field(default_factory=dict)
    stacks: dict[str, Stack] = field(default_factory=dict)
    present: dict[str, Bool[np.ndarray, "n 3"]] = field(default_factory=dict)
    change: float = math.nan
    moves: bool = False
    findings: list[Finding] = field(default_factory=list)

    def note(self, *texts: str, refused: bool = False) -> None:
        self.findings += [Finding(self.patient, text, refused) for text in texts]

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Errors and warnings of the block become findings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", MedwsssWarning)
            try:
                yield
            except (MedwsssError, OSError) as error:
                self.note(str(error), refused=True)
        told = (str(warning.message) for warning in caught if issubclass(warning.category, MedwsssWarning))
        self.note(*(text.removeprefix(f"{self.patient} is ") for text in told))

    def survey(self) -> PatientSurvey:
        return PatientSurvey(
            self.patient,
            group="unknown" if self.study is None else self.study.group,
            frames=self.frames,
            present=self.present,
            has_cine=self.study is not None and self.study.cine is not None,
            change=self.change,
            moves=self.moves,
            findings=tuple(dict.fromkeys(self.findings)),
        )
