import numpy as np

from medwsss.config.cine import RightVentricleConfig
from medwsss.priors.cardiac.right_ventricle import LeftHeart, right_ventricles
from medwsss.priors.cardiac.shapes import grown

ROWS, COLUMNS = np.mgrid[:64, :64]
CONFIG = RightVentricleConfig()  # at 1.5 mm: within 32 pixels of the wall, 9 pixels from slice to slice
RIGHT = (0.0, -1.0)
"""Smaller columns."""


def disc(row: int, column: int, radius: float) -> np.ndarray:
    return np.hypot(ROWS - row, COLUMNS - column) <= radius


def heart(*pools: np.ndarray, outer: float = 13.0) -> LeftHeart:
    """A left ventricle in the middle, and pools of blood."""
    plane = np.full(ROWS.shape, 0.1, np.float32)
    for pool in pools:
        plane[pool] = 0.8
    plane[disc(32, 32, outer)] = 0.3
    plane[disc(32, 32, 8)] = 0.9
    return LeftHeart(plane, disc(32, 32, 8), disc(32, 32, outer))


def masks(
    diastole: list[LeftHeart | None], systole: list[LeftHeart | None], right: tuple[float, float] = RIGHT
) -> tuple[list[np.ndarray | None], list[np.ndarray | None]]:
    return right_ventricles(diastole, systole, right=right, spacing_mm=1.5, config=CONFIG)


def same_but_for_its_edge(found: np.ndarray | None, drawn: np.ndarray) -> bool:
    return found is not None and (found ^ drawn).sum() <= 0.1 * drawn.sum()


def nothing(found: np.ndarray | None) -> bool:
    return found is not None and not found.any()


def test_of_two_pools_the_one_on_the_patients_right_is_found() -> None:
    smaller, larger = disc(32, 10, 8), disc(32, 54, 8)
    diastole, systole = [heart(smaller, larger)], [heart(disc(32, 10, 5), disc(32, 54, 5))]
    assert same_but_for_its_edge(masks(diastole, systole)[0][0], smaller)
    assert same_but_for_its_edge(masks(diastole, systole, right=(0.0, 1.0))[0][0], larger)


def test_a_pool_on_the_patients_left_alone_is_not_found() -> None:
    early, late = masks([heart(disc(32, 54, 8))], [heart(disc(32, 54, 5))])
    assert nothing(early[0])
    assert nothing(late[0])


def test_of_two_pools_on_the_right_the_smaller_is_found_if_it_alone_contracts() -> None:
    still, beating = disc(16, 14, 8), disc(48, 14, 6)
    assert same_but_for_its_edge(masks([heart(still, beating)], [heart(still)])[0][0], beating)


def test_at_end_systole_it_is_what_is_left_of_it() -> None:
    early, late = masks([heart(disc(32, 10, 8))], [heart(disc(32, 10, 5))])
    assert same_but_for_its_edge(late[0], disc(32, 10, 5))
    assert early[0] is not None
    assert late[0] is not None
    assert not (late[0] & ~early[0]).any()


def test_at_end_systole_it_stays_where_it_was_but_for_a_pixel_whatever_is_bright_then() -> None:
    early, late = masks([heart(disc(32, 10, 6))], [heart(disc(32, 10, 9))])
    assert early[0] is not None
    assert late[0] is not None
    assert late[0].any()
    assert not (late[0] & ~grown(early[0], 1.0)).any()  # a hull of pixels may round its edge once more


def test_it_continues_from_slice_to_slice() -> None:
    here, elsewhere = disc(18, 16, 6), disc(48, 16, 5)
    remnant = disc(18, 16, 3)
    diastole, systole = [heart(here), heart(remnant, elsewhere)], [heart(), heart()]
    alone = masks(diastole[1:], systole[1:])[0][0]
    assert same_but_for_its_edge(alone, elsewhere)  # there is more of it
    beside = masks(diastole, systole)[0][1]
    assert beside is not None
    assert beside[18, 16]
    assert not beside[elsewhere].any()


def test_a_slice_without_a_left_ventricle_is_passed_over() -> None:
    pool = disc(32, 10, 8)
    early, late = masks([heart(pool), None, heart(pool)], [heart(), None, None])
    assert early[1] is late[1] is late[2] is None
    assert same_but_for_its_edge(early[0], pool)
    assert same_but_for_its_edge(early[2], pool)
    assert masks([None, None], [None, None]) == ([None, None], [None, None])
