"""Fast counts of label pairs are those of a count over all pixels."""

import inspect

import numpy as np
import pytest

from medwsss.metrics.label_pairs import add_label_pairs, label_pair_counts


def by_pixel(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Every pixel on its own."""
    pairs = reference.astype(np.int64) * 256 + prediction
    return np.bincount(pairs.ravel(), minlength=256 * 256).reshape(256, 256)


def test_counts_of_six_pixels() -> None:
    reference = np.array([[0, 0, 2], [2, 255, 0]], dtype=np.uint8)
    prediction = np.array([[0, 0, 1], [1, 1, 255]], dtype=np.uint8)
    counts = label_pair_counts(prediction, reference)
    assert counts[0, 0] == 2  # first two pixels
    assert counts[2, 1] == 2  # a run that goes on in the next row
    assert counts[255, 1] == 1
    assert counts[0, 255] == 1
    assert counts.sum() == 6


def blocks(rng: np.random.Generator, shape: tuple[int, int], size: int) -> np.ndarray:
    """A piecewise constant map."""
    small = rng.choice(np.array([0, 1, 7, 20, 255], dtype=np.uint8), size=(shape[0] // size + 1, shape[1] // size + 1))
    return np.kron(small, np.ones((size, size), dtype=np.uint8))[: shape[0], : shape[1]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (13, 1), (37, 50), (0, 4)])
@pytest.mark.parametrize("size", [1, 6])
def test_counts_match_a_count_over_pixels_on_random_maps(shape: tuple[int, int], size: int) -> None:
    rng = np.random.default_rng(0)
    prediction, reference = blocks(rng, shape, size), blocks(rng, shape, size)
    np.testing.assert_array_equal(label_pair_counts(prediction, reference), by_pixel(prediction, reference))


def test_maps_that_are_views_or_read_only_are_counted_alike() -> None:
    rng = np.random.default_rng(0)
    prediction, reference = rng.integers(0, 256, (2, 12, 10), dtype=np.uint8)
    reference.flags.writeable = False
    views = prediction.T[::2], reference.T[::2]
    np.testing.assert_array_equal(label_pair_counts(*views), by_pixel(*(view.copy() for view in views)))


def test_counts_of_two_images_add_up_in_one_table() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 2, 5, 6), dtype=np.uint8)
    table = np.zeros((256, 256), dtype=np.int64)
    for prediction, reference in images:
        add_label_pairs(table, prediction, reference)
    np.testing.assert_array_equal(table, sum(by_pixel(*pair) for pair in images))


def test_bad_arguments_are_refused() -> None:
    raw, labels = inspect.unwrap(add_label_pairs), np.zeros((2, 3), dtype=np.uint8)
    table = np.zeros((256, 256), dtype=np.int64)
    with pytest.raises(ValueError, match="shape"):
        raw(table, labels, labels.T)
    with pytest.raises(ValueError, match="reference must be of uint8"):
        raw(table, labels, labels.astype(np.int64))
    for bad in (table[:21, :21], table.T[:], table.astype(np.float64)):
        with pytest.raises(ValueError, match="counts must be"):
            raw(bad, labels, labels)
