import math
from dataclasses import replace

import pytest

from medwsss.metrics.survey import (
    Finding,
    FrameSurvey,
    PatientSurvey,
    Spread,
    geometry,
    motion_sentence,
    odd_geometry,
    shared_voxels,
    shown_patients,
    spread,
    survey_of,
)

FRAME = FrameSurvey(size=(256, 216), slices=10, pixel_mm=(1.5, 1.25), slice_mm=10.0, fingerprint="f")


def patient(name: str, *prints: str, change: float = 0.1, moves: bool = True) -> PatientSurvey:
    frames = {phase: replace(FRAME, fingerprint=p) for phase, p in zip(("ED", "ES"), prints, strict=False)}
    return PatientSurvey(name, frames=frames, change=change, moves=moves)


def test_the_spread_of_an_even_number_of_values_has_the_mean_of_the_middle_two() -> None:
    assert spread([4.0, 1.0, 3.0, 10.0]) == Spread(1.0, 3.5, 10.0)


def test_the_spread_of_nothing_is_undefined() -> None:
    assert all(math.isnan(value) for value in (spread([]).smallest, spread([]).median, spread([]).largest))


def test_geometry_takes_both_axes_of_a_pixel() -> None:
    found = geometry([FRAME, replace(FRAME, slices=6, pixel_mm=(2.0, 2.0))])
    assert found["pixel size [mm]"] == Spread(1.25, 1.75, 2.0)  # of 1.25, 1.5, 2, 2
    assert found["slices per volume"] == Spread(6, 8, 10)
    assert found["rows"].median == 256


def test_one_frame_under_two_names_is_found_once() -> None:
    patients = [patient("a", "1", "2"), patient("b", "3", "4"), patient("c", "1", "2")]
    (found,) = shared_voxels(patients)
    assert str(found).startswith("a and c: have a frame with the same voxels")


def test_a_patient_whose_phases_are_equal_shares_nothing_with_others() -> None:
    assert shared_voxels([patient("a", "1", "1"), patient("b", "2", "3")]) == ()


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (FRAME, ()),
        (replace(FRAME, slice_mm=3.0), ()),  # twice the larger side of a pixel
        (replace(FRAME, slice_mm=2.9), ("nearly isotropic (1.5 x 1.25 x 2.9 mm)",)),
        (replace(FRAME, slices=4), ()),
        (replace(FRAME, slices=3), ("has 3 slices: is it a long-axis view",)),
        (replace(FRAME, slices=1, slice_mm=1.0), ("has 1 slice:",)),
    ],
)
def test_what_is_unlike_short_axis_cine_is_named(frame: FrameSurvey, said: tuple[str, ...]) -> None:
    found = odd_geometry(frame)
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))


def test_the_motion_of_patients_with_both_phases_is_counted() -> None:
    still = patient("b", "3", "4", change=0.01, moves=False)
    survey = survey_of("data", [patient("a", "1", "2"), still, patient("c", "5", change=math.nan, moves=False)])
    assert motion_sentence(survey).startswith("cine: motion is there in 1 of 2 patients; `--method seeds`")
    assert motion_sentence(survey_of("data", [still])).endswith("0 of 1 patients; `medwsss seeds` cannot use it")
    assert motion_sentence(survey_of("data", [])) == "cine: no patient has two frames that can be read"


def test_shown_patients_run_from_most_to_least_motion() -> None:
    changes = {"a": 0.1, "b": 0.5, "c": math.nan, "d": 0.3, "e": 0.2}
    survey = survey_of("data", [patient(name, "1", change=change) for name, change in changes.items()])
    assert shown_patients(survey, 3) == ("b", "e", "a")  # ranks 0, 2 (of 1.5, to even) and 3 of b d e a
    assert shown_patients(survey, 9) == ("b", "d", "e", "a")
    assert shown_patients(survey_of("data", []), 3) == ()


def test_findings_of_patients_come_before_those_they_share() -> None:
    first = replace(patient("a", "1", "2"), findings=(Finding("a", "odd"),))
    survey = survey_of("data", [first, patient("b", "1", "3")])
    assert [finding.subject for finding in survey.findings] == ["a", "a and b"]


def test_fewer_than_two_patients_with_both_frames_cannot_train() -> None:
    alone = survey_of("data", [patient("a", "1", "2"), patient("b", "3")])
    assert [str(finding) for finding in alone.findings] == [
        "data: 1 patients with both frames: training needs 2 or more"
    ]
    assert alone.findings[0].refused
    assert not survey_of("data", [patient("a", "1", "2"), patient("b", "3", "4")]).findings
