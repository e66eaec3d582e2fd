"""The cine prior on a patient beside the checkout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medwsss.config.cine import CineConfig
from medwsss.config.data import GridConfig
from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.image_labels import labels_of_stack
from medwsss.data.study import case_id, load_frame, load_reference
from medwsss.data.transforms import native_labels, working_slices
from medwsss.labels import ACDC_TASKS
from medwsss.priors.cardiac.labels import gated_by_tags, heart_seeds
from medwsss.volumes.slicing import RIGHT, in_plane_direction, slices_of

pytestmark = pytest.mark.data


def test_the_heart_of_patient001_at_end_diastole_is_found_without_its_mask(shared_data: Callable[..., Path]) -> None:
    root, grid = shared_data("acdc"), GridConfig(spacing_mm=1.5)
    study = next(study for study in find_studies(root) if study.patient == "patient001")
    frames = [load_frame(study.frames[phase]) for phase in ("ED", "ES")]
    right = in_plane_direction(frames[0], RIGHT)
    assert right is not None
    ed, es = (working_slices(frame, grid) for frame in frames)
    seeds = heart_seeds(ed, es, spacing_mm=grid.spacing_mm, right=right, config=CineConfig())
    reference = load_reference(reference_masks(root)[case_id(study, "ED")], frames[0], ACDC_TASKS["multi"])
    codes = slices_of(frames[0].with_array(reference)).array
    present = labels_of_stack(codes, 3).astype(bool)
    heart, expected = native_labels(gated_by_tags(seeds.diastole, present), codes.shape[1:]) > 0, codes > 0
    assert 2 * np.sum(heart & expected) / (heart.sum() + expected.sum()) > 0.85
