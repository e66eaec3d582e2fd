import numpy as np
import pytest

from medwsss.config.cine import CavityConfig
from medwsss.priors.cardiac.cavity import Cavity, left_cavity, split_level

ROWS, COLUMNS = np.mgrid[:61, :61] - 30
DISTANCE = np.hypot(ROWS, COLUMNS)
DISC = DISTANCE <= 10


def ventricle() -> np.ndarray:
    """A cavity of 10 pixels in a dark wall of 5, within other blood."""
    return np.where(DISC, 0.9, np.where(DISTANCE <= 15, 0.3, 0.8)).astype(np.float32)


def found_in(plane: np.ndarray) -> Cavity:
    return left_cavity(plane, np.array([30.0, 30.0]), radius_mm=15.0, spacing_mm=1.5, config=CavityConfig())


def test_a_drawn_disc_is_the_cavity_and_blood_beyond_the_wall_is_not() -> None:
    found = found_in(ventricle())
    assert (found.mask & DISC).sum() == DISC.sum()
    assert not (found.mask & (DISTANCE > 11)).any()  # the hull may round the drawn edge by a pixel
    assert 0.3 < found.threshold < 0.8


def test_papillary_muscles_are_cavity() -> None:
    plane = ventricle()
    muscles = np.hypot(ROWS - 5, np.abs(COLUMNS) - 4) <= 2
    plane[muscles] = 0.3
    assert found_in(plane).mask[muscles].all()


def test_bright_blood_that_does_not_reach_the_centre_is_no_cavity() -> None:
    plane = np.where((DISTANCE >= 11) & (DISTANCE <= 13), 0.9, 0.3).astype(np.float32)  # the core is within 5 pixels
    assert not found_in(plane).mask.any()


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_plane_of_one_level_has_no_cavity(level: float) -> None:
    assert not found_in(np.full((61, 61), level, np.float32)).mask.any()


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([0.25, 0.25, 0.75, 0.75], (0.25 + 0.75) / 2),
        ([0.25, 0.25, 0.25, 0.75], (0.25 + 0.75) / 2),  # halfway, however many there are of each
        ([0.5, 0.5], 0.5),
    ],
)
def test_wall_and_blood_are_split_halfway_between_their_means(levels: list[float], expected: float) -> None:
    assert split_level(np.array(levels, np.float32)) == pytest.approx(expected)
