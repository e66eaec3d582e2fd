"""The 75 real patients beside the checkout: what their tags can teach, and what a look at a few of them finds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medwsss.config.cine import CineConfig
from medwsss.config.data import GridConfig
from medwsss.data.acdc import find_studies, patient_folders, reference_masks
from medwsss.data.slice_cache import SliceCache
from medwsss.data.study import load_frame
from medwsss.engine.survey import Surveyor, frame_survey, present_codes
from medwsss.engine.tag_tables import table_from_masks
from medwsss.labels import ACDC_TASKS
from medwsss.metrics.survey import PatientSurvey, Survey, survey_of
from medwsss.metrics.tag_statistics import tag_statistics
from medwsss.metrics.teaching import teaching

pytestmark = pytest.mark.data

Locate = Callable[..., Path]


@pytest.fixture(scope="module")
def tagged() -> dict[Path, Survey]:
    return {}


def masks_of(root: Path, known: dict[Path, Survey]) -> Survey:
    """The masks of all patients, without a look at motion."""
    if root not in known:
        masks = reference_masks(root)
        patients = []
        for study in find_studies(root):
            volumes = {phase: load_frame(frame) for phase, frame in study.frames.items()}
            found = {
                phase: present_codes(masks[f"{study.patient}_frame{study.frames[phase].number:02d}"], volume)
                for phase, volume in volumes.items()
            }
            frames = {phase: frame_survey(volume) for phase, volume in volumes.items()}
            patients.append(PatientSurvey(study.patient, frames=frames, present=found))
        known[root] = survey_of(str(root), patients)
    return known[root]


@pytest.mark.parametrize("task", ["heart", "lv", "multi"])
def test_tags_teach_no_task_of_acdc(shared_data: Locate, tagged: dict[Path, Survey], task: str) -> None:
    found = tag_statistics(table_from_masks(masks_of(shared_data("acdc"), tagged), ACDC_TASKS[task]))
    assert not teaching(found).teaches


def test_counts_are_those_known_of_these_patients(shared_data: Locate, tagged: dict[Path, Survey]) -> None:
    # of all 100 patients: 1902 slices, RV, MYO, LV in 81.9, 96.1, 95.1 %; LV never without MYO; 75 of them are here
    found = tag_statistics(table_from_masks(masks_of(shared_data("acdc"), tagged), ACDC_TASKS["multi"]))
    assert found.patients == 75
    assert found.slices == pytest.approx(0.75 * 1902, rel=0.05)
    for tags, share in zip(found.classes, (0.819, 0.961, 0.951), strict=True):
        assert tags.fraction == pytest.approx(share, abs=0.02)
    pair = next(pair for pair in found.pairs if (pair.first, pair.second) == ("MYO", "LV"))
    assert pair.only_second == 0
    assert 0 < pair.only_first <= 20


def test_a_few_patients_move(shared_data: Locate, tmp_path: Path) -> None:
    root = shared_data("acdc")
    surveyor = Surveyor(SliceCache(tmp_path), GridConfig(), CineConfig(), {})
    found = [surveyor.patient(folder) for folder in patient_folders(root)[:3]]
    assert all(patient.moves for patient in found)
    assert all(len(patient.frames) == 2 for patient in found)
    assert not any(finding.refused for patient in found for finding in patient.findings)
