"""Patients beside the checkout that an earlier rule refused, and one of them made wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medwsss.config.cine import CineConfig
from medwsss.config.data import GridConfig
from medwsss.data.acdc import find_studies
from medwsss.data.study import PHASES, load_frame
from medwsss.data.transforms import working_slices
from medwsss.priors.cardiac.labels import heart_seeds
from medwsss.priors.cardiac.plausibility import heart_doubts, study_doubts

pytestmark = pytest.mark.data


def reasons(ed: np.ndarray, es: np.ndarray) -> tuple[str, ...]:
    config = CineConfig()
    found = study_doubts(ed, es, spacing_mm=1.5, limits=config.doubt)
    seeds = heart_seeds(ed, es, spacing_mm=1.5, right=(0.0, -1.0), config=config)
    return found or heart_doubts(ed, es, seeds, spacing_mm=1.5, limits=config.doubt)


def phases_of(root: Path, patient: str) -> tuple[np.ndarray, np.ndarray]:
    study = next(study for study in find_studies(root) if study.patient == patient)
    grid = GridConfig(spacing_mm=1.5)
    return tuple(working_slices(load_frame(study.frames[phase]), grid) for phase in PHASES)  # type: ignore[return-value]


@pytest.mark.parametrize("patient", ["patient057", "patient095"])
def test_a_good_study_whose_cavity_is_hard_to_measure_is_believed(
    shared_data: Callable[..., Path], patient: str
) -> None:
    assert reasons(*phases_of(shared_data("acdc"), patient)) == ()


def test_its_phases_swapped_moved_and_reordered_are_each_named(shared_data: Callable[..., Path]) -> None:
    ed, es = phases_of(shared_data("acdc"), "patient057")
    shuffled = [*range(0, len(ed), 2), *range(1, len(ed), 2)]
    assert "swapped" in "; ".join(reasons(es, ed))
    assert "whole body moves" in "; ".join(reasons(ed, np.roll(es, 7, axis=2)))
    assert "wrong order" in "; ".join(reasons(ed[shuffled], es[shuffled]))
