import numpy as np

from medwsss.priors.cardiac.axis import continuous_path, enclosures


def ring_scene(*, open_to_the_right: bool = False) -> np.ndarray:
    rows, columns = np.mgrid[:41, :41] - 20
    distance = np.hypot(rows, columns)
    image = np.where(distance <= 7, 1.0, np.where(distance <= 12, 0.2, 0.6)).astype(np.float32)
    if open_to_the_right:
        image[(columns > 0) & (np.abs(rows) < 7)] = 1.0
    return image[None]


def test_a_disc_in_a_dark_ring_scores_most_at_its_centre_and_radius() -> None:
    radii = np.array([3.0, 5.0, 7.0, 9.0])
    found = enclosures(ring_scene(), radii, ring=4.0)
    radius, _, row, column = np.unravel_index(found.argmax(), found.shape)
    assert (radii[radius], row, column) == (7.0, 20, 20)
    assert abs(found[2, 0, 20, 20] - (1.0 - 0.2)) < 0.02


def test_a_ring_that_is_open_on_one_side_encloses_nothing() -> None:
    closed, opened = (
        enclosures(ring_scene(open_to_the_right=o), np.array([7.0]), ring=4.0)[0, 0, 20, 20] for o in (False, True)
    )
    assert opened < 0.3 * closed


def test_the_path_stays_where_its_neighbours_are() -> None:
    score = np.zeros((3, 20, 20), np.float32)
    score[:, 5, 5] = 0.8
    score[1, 15, 15] = 1.0  # higher, and 200 squared pixels away, twice
    assert continuous_path(score, candidates=5, bend=1e-2).tolist() == [[5, 5]] * 3
    assert continuous_path(score, candidates=5, bend=1e-5).tolist() == [[5, 5], [15, 15], [5, 5]]


def test_a_slice_without_any_peak_is_passed_at_its_middle() -> None:
    score = np.zeros((2, 10, 12), np.float32)
    score[0, 2, 3] = 1.0
    assert continuous_path(score, candidates=3, bend=0.0).tolist() == [[2, 3], [5, 6]]
