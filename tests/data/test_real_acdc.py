"""Facts of the 75 real patients beside the checkout."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medwsss.config.data import GridConfig
from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.image_labels import image_labels_from_masks
from medwsss.data.splits import draw_split
from medwsss.data.study import case_id, load_frame
from medwsss.data.transforms import working_slices
from medwsss.labels import ACDC_TASKS

pytestmark = pytest.mark.data

Locate = Callable[..., Path]


def test_there_are_75_patients_15_of_each_group_with_two_masks_each(shared_data: Locate) -> None:
    root = shared_data("acdc")
    studies = find_studies(root)
    assert Counter(study.group for study in studies) == dict.fromkeys(("DCM", "HCM", "MINF", "NOR", "RV"), 15)
    cases = {case_id(study, phase) for study in studies for phase in study.frames}
    assert len(cases) == 150
    assert set(reference_masks(root)) == cases


def test_the_training_folder_is_found_like_its_root(shared_data: Locate) -> None:
    assert find_studies(shared_data("acdc", "training")) == find_studies(shared_data("acdc"))


def test_frame_numbers_differ_between_patients_and_each_has_its_file(shared_data: Locate) -> None:
    # patient090, whose ED is frame 04, is among the 25 kept apart; tests/data/test_acdc.py writes such a patient
    frames = [frame for study in find_studies(shared_data("acdc")) for frame in study.frames.values()]
    assert all(frame.path.name.endswith(f"_frame{frame.number:02d}.nii.gz") for frame in frames)
    assert len({frame.number for frame in frames}) >= 10


def test_a_quarter_held_out_is_19_patients_of_all_groups(shared_data: Locate) -> None:
    groups = {study.patient: study.group for study in find_studies(shared_data("acdc"))}
    split = draw_split(groups, held_out_fraction=0.25, seed=0)
    assert sorted(Counter(groups[patient] for patient in split.held_out).values()) == [3, 4, 4, 4, 4]


def test_tags_are_as_rare_as_counted(shared_data: Locate) -> None:
    root = shared_data("acdc")
    tags = image_labels_from_masks(find_studies(root), reference_masks(root), ACDC_TASKS["multi"])
    rows = np.array(list(tags.tags.values()))
    # all 100 patients have 1902 slices with RV, MYO, LV in 81.9, 96.1 and 95.1 %; these are 75 of them
    assert len(rows) == pytest.approx(1902 * 0.75, rel=0.05)
    np.testing.assert_allclose(rows.mean(axis=0), [0.819, 0.961, 0.951], atol=0.02)
    rv, myo, lv = rows.T.astype(bool)
    assert not (lv & ~myo).any()
    assert 0 < (myo & ~lv).sum() <= 20
    assert (rv & myo & lv).mean() == pytest.approx(0.811, abs=0.02)


def test_a_real_frame_becomes_slices_at_the_working_spacing(shared_data: Locate) -> None:
    study = find_studies(shared_data("acdc"))[0]
    frame = load_frame(study.frames["ED"])
    slices = working_slices(frame, GridConfig(spacing_mm=1.5))
    x, y, z = frame.grid
    assert slices.shape == (z, round(y * frame.spacing_mm[1] / 1.5), round(x * frame.spacing_mm[0] / 1.5))
    assert slices.min() == 0.0
    assert slices.max() == 1.0
