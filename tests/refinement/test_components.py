import numpy as np

from medwsss.refinement.components import keep_largest_components, largest_component


def test_the_larger_of_two_pieces_stays() -> None:
    mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0]], bool)
    assert largest_component(mask).tolist() == [[True, True, False, False], [True, False, False, False]]


def test_pieces_that_touch_by_a_corner_are_one() -> None:
    mask = np.array([[1, 0], [0, 1]], bool)
    assert largest_component(mask).tolist() == mask.tolist()


def test_an_empty_mask_stays_empty() -> None:
    assert not largest_component(np.zeros((2, 3, 4), bool)).any()


def test_a_class_keeps_its_largest_piece_within_the_largest_heart() -> None:
    labels = np.array([[1, 2, 2, 1, 1, 0, 2, 2, 2]], np.uint8)
    #        heart:     -------------        ------- the other heart is smaller
    assert keep_largest_components(labels).tolist() == [[0, 2, 2, 1, 1, 0, 0, 0, 0]]


def test_slices_hang_together_through_the_volume() -> None:
    labels = np.zeros((3, 3, 2), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = 1
    labels[2, 2, 1] = 1
    assert keep_largest_components(labels).tolist() == labels.tolist()


def test_the_input_is_left_alone() -> None:
    labels = np.array([[1, 0, 1, 1]], np.uint8)
    keep_largest_components(labels)
    assert labels.tolist() == [[1, 0, 1, 1]]
