import numpy as np
import pytest

from medwsss.config.cine import MotionConfig
from medwsss.priors.motion import motion_map, shift_tolerant_difference, smoothed_change

CONFIG = MotionConfig(sigma_mm=3.0, sigma_slices=0.0)
SPACING = (1.5, 1.5)


def stack_with(row: int, column: int, level: float) -> np.ndarray:
    stack = np.zeros((1, 9, 9), np.float32)
    stack[0, row, column] = level
    return stack


def test_two_equal_frames_do_not_move() -> None:
    frame = np.random.default_rng(0).random((2, 5, 5)).astype(np.float32)
    assert not motion_map((frame, frame), spacing_mm=SPACING, config=CONFIG).any()


def test_what_a_shift_by_one_pixel_explains_costs_nothing() -> None:
    moved = (stack_with(4, 4, 1.0), stack_with(4, 5, 1.0))
    assert not smoothed_change(moved, spacing_mm=SPACING, config=CONFIG).any()
    further = (stack_with(4, 4, 1.0), stack_with(4, 6, 1.0))
    assert smoothed_change(further, spacing_mm=SPACING, config=CONFIG).any()


def test_the_difference_is_the_smallest_over_the_neighbours() -> None:
    fixed, moving = np.array([[[0.5, 0.5, 0.5]]]), np.array([[[0.2, 0.4, 0.9]]])
    expected = [0.1, 0.1, 0.1]  # nearest to 0.5 within one pixel: 0.4 each time
    np.testing.assert_allclose(shift_tolerant_difference(fixed, moving, reach=(0, 1))[0, 0], expected)


def test_the_map_is_1_where_most_changes() -> None:
    found = motion_map((stack_with(4, 4, 0.0), stack_with(4, 4, 0.5)), spacing_mm=SPACING, config=CONFIG)
    assert found.max() == found[0, 4, 4] == 1.0


def test_a_whole_cycle_shows_what_its_ends_hide() -> None:
    still, between = stack_with(4, 4, 0.0), stack_with(4, 4, 1.0)
    assert not motion_map((still, still), spacing_mm=SPACING, config=CONFIG).any()
    assert motion_map((still, between, still), spacing_mm=SPACING, config=CONFIG)[0, 4, 4] == 1.0


def disc_appears(spacing_mm: float) -> np.ndarray:
    """Map of a disc of 20 mm in a field of 120 mm that is there in one of two frames."""
    place = (np.arange(round(120.0 / spacing_mm)) + 0.5) * spacing_mm - 60.0
    disc = (np.hypot(place[:, None], place[None]) <= 20.0).astype(np.float32)[None]
    config = MotionConfig(shift_mm=3.0, sigma_mm=9.0, sigma_slices=0.0)
    return motion_map((np.zeros_like(disc), disc), spacing_mm=(spacing_mm, spacing_mm), config=config)


def test_the_same_scene_at_half_the_spacing_has_the_same_map() -> None:
    coarse, fine = disc_appears(3.0), disc_appears(1.5)
    blocks = fine.reshape(1, 40, 2, 40, 2).mean(axis=(2, 4))  # four fine pixels share the centre of a coarse one
    np.testing.assert_allclose(blocks, coarse, atol=0.05)
    assert coarse[0, 19:21, 19:21].min() > 0.99  # the middle of 40 pixels


def test_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="two or more"):
        motion_map((stack_with(0, 0, 1.0),), spacing_mm=SPACING, config=CONFIG)
    with pytest.raises(ValueError, match="one shape"):
        motion_map(
            (np.zeros((1, 4, 4), np.float32), np.zeros((2, 4, 4), np.float32)), spacing_mm=SPACING, config=CONFIG
        )
