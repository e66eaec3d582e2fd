import numpy as np

from medwsss.priors.cardiac.shapes import component, grown, hull, opened

ROW = np.array([[0, 1, 1, 1, 0, 0, 1, 0]], dtype=bool)


def test_growing_adds_what_is_near_and_nothing_to_nothing() -> None:
    assert grown(ROW, 1.0).astype(int).tolist() == [[1, 1, 1, 1, 1, 1, 1, 1]]
    assert not grown(np.zeros((2, 2), bool), 5.0).any()


def test_the_heaviest_component_is_not_always_the_largest() -> None:
    weights = np.array([[9.0, 1, 1, 1, 9, 9, 4, 9]])  # outside does not count
    assert component(ROW, weights).astype(int).tolist() == [[0, 0, 0, 0, 0, 0, 1, 0]]
    assert not component(ROW, np.zeros((1, 8))).any()


def test_opening_cuts_a_bridge_and_keeps_both_blocks() -> None:
    mask = np.zeros((9, 20), bool)
    mask[1:8, 1:8] = mask[1:8, 12:19] = True
    mask[4, 8:12] = True
    found = opened(mask, 1.5)
    assert not found[4, 9:11].any()
    assert found[2:7, 2:7].all()
    assert found[2:7, 13:18].all()


def test_the_hull_of_nothing_is_nothing() -> None:
    assert not hull(np.zeros((3, 3), bool)).any()
    corner = np.zeros((5, 5), bool)
    corner[0, 0] = corner[4, 0] = corner[0, 4] = True
    assert hull(corner)[1, 1]
