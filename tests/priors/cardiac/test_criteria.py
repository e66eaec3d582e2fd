import math

import numpy as np
import pytest

from medwsss.priors.cardiac.criteria import (
    CRITERIA,
    BeatingLabels,
    axis_bend_mm,
    contour_contrast,
    contours,
    criteria,
    epicardial_overlap,
    epicardial_roundness,
    implausible_ejection,
    muscle_disagreement,
    slice_continuity,
    stroke_disagreement,
    tissue_separation,
)
from medwsss.priors.cardiac.labels import LV, MYO, RV

NONE = np.zeros((1, 1, 4), np.uint8)


def row(*labels: int) -> np.ndarray:
    return np.array([[labels]], np.uint8)


def at_diastole(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels at end-diastole, nothing at end-systole."""
    return stack, np.zeros_like(stack)


def counts(rv: int, myo: int, lv: int) -> np.ndarray:
    """A slice of 30 pixels with that many of each."""
    return row(*[RV] * rv, *[MYO] * myo, *[LV] * lv, *[0] * (30 - rv - myo - lv))


def test_muscle_of_six_and_four_pixels_disagrees_by_two_over_five() -> None:
    assert muscle_disagreement(counts(0, 6, 9), counts(0, 4, 2)) == pytest.approx((6 - 4) / 5)
    assert muscle_disagreement(counts(0, 6, 9), counts(0, 6, 2)) == 0
    assert math.isnan(muscle_disagreement(NONE, NONE))


def test_muscle_agreement_is_blind_to_a_wall_that_is_too_thick_in_both_phases() -> None:
    assert muscle_disagreement(counts(0, 12, 9), counts(0, 12, 2)) == 0


def test_strokes_of_six_and_two_pixels_disagree_by_four_over_four() -> None:
    assert stroke_disagreement(counts(9, 0, 10), counts(7, 0, 4)) == pytest.approx((6 - 2) / 4)
    assert stroke_disagreement(counts(9, 0, 10), counts(3, 0, 4)) == 0


def test_a_ventricle_that_does_not_contract_or_grows_disagrees_most() -> None:
    assert stroke_disagreement(counts(9, 0, 10), counts(9, 0, 4)) == 2
    assert stroke_disagreement(counts(7, 0, 10), counts(9, 0, 4)) == 2
    assert math.isnan(stroke_disagreement(counts(7, 0, 10), counts(7, 0, 10)))


def test_ejection_is_implausible_beyond_a_tenth_and_four_fifths() -> None:
    assert implausible_ejection(counts(10, 0, 10), counts(5, 0, 4)) == 0
    assert implausible_ejection(counts(10, 0, 10), counts(10, 0, 1)) == pytest.approx(((0.1 - 0.0) + (0.9 - 0.8)) / 2)
    assert math.isnan(implausible_ejection(counts(0, 0, 10), counts(0, 0, 4)))


def test_continuity_is_the_share_of_the_smaller_that_lies_on_the_larger() -> None:
    large, inside, beside = row(LV, LV, LV, LV), row(0, LV, LV, 0), row(LV, LV, 0, 0)
    assert slice_continuity(at_diastole(np.concatenate([large, inside]))) == 1
    assert slice_continuity(at_diastole(np.concatenate([inside, beside]))) == 1 / 2
    both = np.concatenate([large, inside, beside])
    assert slice_continuity(at_diastole(both)) == (1 + 1 / 2) / 2


def test_continuity_does_not_count_where_a_structure_ends() -> None:
    stack = np.concatenate([row(LV, LV, 0, RV), row(0, LV, 0, 0)])
    assert slice_continuity(at_diastole(stack)) == 1
    assert math.isnan(slice_continuity((NONE, NONE)))


def test_the_epicardium_is_wall_and_cavity_together() -> None:
    assert epicardial_overlap(row(MYO, LV, LV, MYO, RV), row(MYO, MYO, LV, MYO, RV)) == 1
    assert epicardial_overlap(row(MYO, LV, MYO, MYO), row(MYO, LV, 0, 0)) == pytest.approx(2 * 2 / (4 + 2))
    assert math.isnan(epicardial_overlap(NONE, NONE))


def stack_of_centres(*columns: int) -> np.ndarray:
    stack = np.zeros((len(columns), 1, 20), np.uint8)
    for plane, column in zip(stack, columns, strict=True):
        plane[0, column] = LV
    return stack


def test_a_leaning_axis_does_not_bend_and_a_kink_of_two_pixels_bends_by_two() -> None:
    assert axis_bend_mm(at_diastole(stack_of_centres(3, 5, 7)), spacing_mm=1.5) == 0
    assert axis_bend_mm(at_diastole(stack_of_centres(3, 5, 5)), spacing_mm=1.5) == pytest.approx(
        abs(3 - 2 * 5 + 5) * 1.5
    )
    kinked, straight = stack_of_centres(3, 5, 5), stack_of_centres(3, 3, 3)
    assert axis_bend_mm((kinked, straight), spacing_mm=1.0) == pytest.approx(math.sqrt((2**2 + 0) / 2))


def test_two_slices_have_no_bend() -> None:
    assert math.isnan(axis_bend_mm((stack_of_centres(3, 9), stack_of_centres(3, 9)), spacing_mm=1.0))


def test_a_disc_is_round_a_square_less_and_an_ellipse_by_its_axes() -> None:
    square = np.full((1, 10, 10), LV, np.uint8)
    # A = a², ∫r² = a⁴/6: A²/(2π ∫r²) = 3/π
    assert epicardial_roundness(at_diastole(square)) == pytest.approx(3 / math.pi)
    rows, columns = np.mgrid[:81, :81] - 40
    disc = np.where(np.hypot(rows, columns) <= 35, MYO, 0).astype(np.uint8)[None]
    assert epicardial_roundness(at_diastole(disc)) == pytest.approx(1, abs=2e-3)
    ellipse = np.where(np.hypot(rows * 2, columns) <= 38, MYO, 0).astype(np.uint8)[None]
    # semi-axes a = 2b: A = πab, ∫r² = πab(a² + b²)/4, hence 2ab/(a² + b²) = 4/5
    assert epicardial_roundness(at_diastole(ellipse)) == pytest.approx(4 / 5, abs=5e-3)


def test_labels_that_follow_the_grey_levels_explain_all_their_variance_and_a_wrong_pixel_takes_away() -> None:
    image = np.array([[[1, 1, 0, 0]]], np.float32)
    right = row(LV, RV, MYO, MYO)
    assert tissue_separation((image, image), (right, right)) == pytest.approx(1)
    wrong = row(LV, MYO, MYO, MYO)
    # variance 1/4; means 1 and 1/3, shares 1/4 and 3/4: between = 3/16 · (2/3)² = 1/12
    assert tissue_separation((image, image), (right, wrong)) == pytest.approx((1 + (1 / 12) / (1 / 4)) / 2)


def test_tissue_separation_needs_blood_and_muscle() -> None:
    image = np.array([[[1, 1, 0, 0]]], np.float32)
    assert math.isnan(tissue_separation((image, image), (NONE, NONE)))
    assert math.isnan(tissue_separation((image, image), (row(LV, LV, 0, 0), row(LV, LV, 0, 0))))


def test_contours_are_where_a_label_meets_another_but_not_the_border_of_the_image() -> None:
    assert contours(row(LV, LV, MYO, MYO, MYO, 0)[0]).astype(int).tolist() == [[0, 1, 1, 0, 1, 0]]


def test_contours_on_the_edge_of_a_ramp_beat_those_beside_it() -> None:
    image = np.tile(np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32), (1, 4, 1))
    labels = np.tile(np.array([0, 0, 0, 0, LV, LV, LV, LV], np.uint8), (1, 4, 1))
    # central differences: 1/2 in the two columns at the step; all 8 columns lie within 6 mm of the label
    found = contour_contrast((image, image), (labels, labels), spacing_mm=1.0)
    assert found == pytest.approx((1 / 2) / (2 * (1 / 2) / 8))
    beside = np.tile(np.array([0, 0, 0, 0, 0, 0, LV, LV], np.uint8), (1, 4, 1))
    assert contour_contrast((image, image), (beside, beside), spacing_mm=1.0) == 0


def test_a_study_without_labels_has_no_value_for_any_criterion() -> None:
    image = np.zeros(NONE.shape, np.float32)
    found = criteria(BeatingLabels((image, image), (NONE, NONE), 1.5))
    assert set(found) == set(CRITERIA)
    assert all(math.isnan(value) for value in found.values())
