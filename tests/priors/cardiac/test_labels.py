import itertools

import numpy as np
import pytest

from medwsss.config.cine import CineConfig
from medwsss.priors.cardiac.labels import LV, MYO, RV, edge_confidence, gated_by_tags, heart_seeds

ALL = np.array([[[0, RV, MYO, LV]]], np.uint8)


@pytest.mark.parametrize("present", list(itertools.product((False, True), repeat=3)))
def test_a_class_whose_tag_is_absent_is_cleared_but_a_cavity_in_tagged_muscle_becomes_muscle(
    present: tuple[bool, bool, bool],
) -> None:
    rv, myo, lv = present
    expected = [0, RV if rv else 0, MYO if myo else 0, LV if lv else (MYO if myo else 0)]
    assert gated_by_tags(ALL, np.array([present]))[0, 0].tolist() == expected


def test_tags_gate_slice_by_slice_and_leave_the_labels_given_alone() -> None:
    labels = np.repeat(ALL, 2, axis=0)
    labels.setflags(write=False)
    gated = gated_by_tags(labels, np.array([[True, True, True], [False, False, False]]))
    assert gated[:, 0].tolist() == [[0, RV, MYO, LV], [0, 0, 0, 0]]


def test_confidence_counts_from_any_other_label_and_within_the_slice() -> None:
    labels = np.zeros((2, 1, 5), np.uint8)
    labels[0, 0] = [RV, MYO, MYO, MYO, LV]
    distance_mm = 1.5 * np.array([1, 1, 2, 1, 1])  # from the nearest pixel of another label
    found = edge_confidence(labels, spacing_mm=1.5, edge_mm=3.0)
    np.testing.assert_allclose(found[0, 0], 1 - np.exp(-distance_mm / 3.0), rtol=1e-6)
    assert (found[1] == 1).all()


def test_a_study_in_which_nothing_is_seen_gets_no_label() -> None:
    dark = np.zeros((2, 64, 64), np.float32)
    seeds = heart_seeds(dark, dark, spacing_mm=1.5, right=(0.0, -1.0), config=CineConfig())
    assert seeds.diastole.shape == seeds.systole.shape == dark.shape
    assert not seeds.diastole.any()
    assert not seeds.systole.any()
