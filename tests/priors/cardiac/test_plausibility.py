"""What a study must not be; the drawn heart is drawn wrong in one way at a time."""

import numpy as np
import pytest
from fakes.beating_heart import beating_heart

from medwsss.config.cine import CineConfig
from medwsss.priors.cardiac.labels import heart_seeds
from medwsss.priors.cardiac.plausibility import body_shift_mm, heart_doubts, slice_order, study_doubts

ED, ES = (beating_heart(phase, slices=6, apex=0.5).image for phase in ("ED", "ES"))
CONFIG = CineConfig()


def found_in_images(ed: np.ndarray, es: np.ndarray) -> tuple[str, ...]:
    return study_doubts(ed, es, spacing_mm=1.5, limits=CONFIG.doubt)


def found_in_heart(ed: np.ndarray, es: np.ndarray) -> tuple[str, ...]:
    seeds = heart_seeds(ed, es, spacing_mm=1.5, right=(0.0, -1.0), config=CONFIG)
    return heart_doubts(ed, es, seeds, spacing_mm=1.5, limits=CONFIG.doubt)


def test_a_study_as_it_should_be_raises_no_doubt() -> None:
    assert found_in_images(ED, ES) == ()
    assert found_in_heart(ED, ES) == ()


def test_the_same_stack_from_apex_to_base_raises_no_doubt() -> None:
    assert found_in_images(ED[::-1], ES[::-1]) == ()


def test_a_body_that_moves_by_12_pixels_of_a_millimetre_and_a_half_is_doubted() -> None:
    assert found_in_images(ED, np.roll(ES, 12, axis=1)) == ("the whole body moves by 18 mm between ED and ES",)


@pytest.mark.parametrize(("rows", "columns", "expected_mm"), [(0, 0, 0.0), (3, 4, 7.5), (-8, 6, 15.0)])
def test_a_shift_is_measured_beside_a_beating_heart(rows: int, columns: int, expected_mm: float) -> None:
    moved = np.roll(ES, (rows, columns), axis=(1, 2))
    shift_mm = body_shift_mm(ED, moved, spacing_mm=1.5, limits=CONFIG.doubt)
    assert shift_mm == pytest.approx(expected_mm)  # 1.5 hypot(3, 4), 1.5 hypot(8, 6)


@pytest.mark.parametrize("order", [(3, 0, 5, 2, 4, 1), (0, 4, 2, 3, 1, 5)])
def test_slices_in_the_wrong_order_are_doubted(order: tuple[int, ...]) -> None:
    reasons = found_in_images(ED[list(order)], ES[list(order)])
    assert reasons == ("its slices are in the wrong order (neighbours look less alike than others)",)


def test_order_is_the_shortest_tree_over_the_stack_as_it_lies() -> None:
    """Slices a, b, c at 0, 60 and 120 degrees of one pattern: 1 - cos 60 is 1/2 between neighbours, 1 - cos 120 is 3/2
    between a and c. In order they lie 1 apart, as the tree; as a, c, b they lie 3/2 + 1/2."""
    turn = np.deg2rad([0.0, 60.0, 120.0])
    along = np.arange(160) / 160 * 2 * np.pi * 2
    stack = np.cos(along[None, None] + turn[:, None, None]).repeat(160, axis=1).astype(np.float32)
    assert slice_order(stack, spacing_mm=3.0, limits=CONFIG.doubt) == pytest.approx(1.0, abs=1e-3)
    assert slice_order(stack[[0, 2, 1]], spacing_mm=3.0, limits=CONFIG.doubt) == pytest.approx(1.0 / 2.0, abs=0.02)
    assert slice_order(stack[:1], spacing_mm=3.0, limits=CONFIG.doubt) == 1.0


def test_two_slices_are_no_stack() -> None:
    assert found_in_images(ED[:2], ES[:2]) == ("it has 2 slices, too few for a stack along the heart",)


def test_one_frame_twice_is_doubted_with_and_without_noise() -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.02, ED.shape).astype(np.float32)
    for es in (ED, np.clip(ED + noise, 0.0, 1.0)):
        assert found_in_heart(ED, es) == ("nothing moves between ED and ES (is it one frame twice?)",)


def test_swapped_phases_are_doubted() -> None:
    assert found_in_heart(ES, ED) == ("the heart does not empty from ED to ES (are they swapped?)",)


def test_a_change_everywhere_is_doubted_and_nothing_else_is_said() -> None:
    (reason,) = found_in_heart(ED, (ES * 0.4).astype(np.float32))
    assert reason.startswith("grey levels change far from the heart")


def test_a_heart_cut_by_the_image_is_doubted() -> None:
    assert "its heart is cut by the border of the image" in found_in_heart(ED[:, :, 60:].copy(), ES[:, :, 60:].copy())


def test_blood_that_is_twice_as_long_as_wide_is_doubted() -> None:
    """As in long-axis images, rows at twice the scale."""
    reasons = found_in_heart(ED.repeat(2, axis=1), ES.repeat(2, axis=1))
    assert "the blood of its left ventricle is long, not round (long-axis images?)" in reasons


def test_a_ventricle_in_two_of_six_slices_is_doubted() -> None:
    shown = (np.arange(6) < 2)[:, None, None]
    ed, es = (np.where(shown, stack, 0.1).astype(np.float32) for stack in (ED, ES))
    assert "a left ventricle is seen in 2 of 6 slices" in found_in_heart(ed, es)
