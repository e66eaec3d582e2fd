import math

import numpy as np
from fakes.beating_heart import beating_heart

from medwsss.config.cine import CineConfig
from medwsss.priors.cardiac.contraction import cavity_growth


def growth(first: str, second: str, *, spacing_mm: float = 1.5) -> float:
    early, late = (beating_heart(phase, spacing_mm=spacing_mm).image for phase in (first, second))
    return cavity_growth(early, late, spacing_mm=spacing_mm, config=CineConfig())


def test_the_cavity_of_a_beating_heart_shrinks() -> None:
    # drawn with radii of 24 and 16 mm: 2/3; pixels of 3 mm and rings in steps of 3 mm
    assert abs(growth("ED", "ES") - 16 / 24) < 0.15


def test_swapped_phases_exceed_the_limit() -> None:
    assert growth("ES", "ED") > CineConfig().doubt.largest_growth


def test_the_pixel_size_does_not_matter() -> None:
    assert abs(growth("ED", "ES", spacing_mm=1.0) - growth("ED", "ES")) < 0.1


def test_a_single_slice_is_enough() -> None:
    early, late = (beating_heart(phase, slices=1).image for phase in ("ED", "ES"))
    assert cavity_growth(early, late, spacing_mm=1.5, config=CineConfig()) < 1.0


def test_of_black_images_nothing_is_claimed() -> None:
    black = np.zeros((3, 60, 60), np.float32)
    found = cavity_growth(black, black, spacing_mm=1.5, config=CineConfig())
    assert math.isnan(found) or found <= 1.0
