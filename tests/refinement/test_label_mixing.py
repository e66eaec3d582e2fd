import numpy as np
import pytest

from medwsss.refinement.label_mixing import mixed_probs

LABELS = np.array([[[0, 1, 255]]], np.uint8)
PROBS = np.array([[[[0.9, 0.9, 0.2]], [[0.1, 0.1, 0.8]]]], np.float32)
"""Two classes on three pixels in a row."""


def test_without_blur_each_pixel_is_the_weighted_mean_of_both_votes() -> None:
    mixed = mixed_probs(PROBS, LABELS, share=0.6, blur=(0.0, 0.0))
    expected = [0.6 * 0.1 + 0.4 * 0, 0.6 * 0.1 + 0.4 * 1, 0.8]  # the network stands alone where there is no label
    assert mixed[0, 1, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_probabilities_sum_to_one(share: float) -> None:
    mixed = mixed_probs(PROBS, LABELS, share=share, blur=(1.0, 1.5))
    np.testing.assert_allclose(mixed.sum(axis=1), 1.0, atol=1e-6)


def test_share_one_is_the_network_and_share_zero_without_blur_the_labels() -> None:
    labels = np.array([[[0, 1, 1]]], np.uint8)
    np.testing.assert_allclose(mixed_probs(PROBS, labels, share=1.0, blur=(2.0, 2.0)), PROBS, atol=1e-6)
    assert mixed_probs(PROBS, labels, share=0.0, blur=(0.0, 0.0))[0, 1, 0].tolist() == [0.0, 1.0, 1.0]


def test_blur_makes_an_edge_doubtful_and_leaves_the_inside_sure() -> None:
    labels = np.repeat(np.array([0, 1], np.uint8), 10)[None, None]
    probs = np.full((1, 2, 1, 20), 0.5, np.float32)
    blurred = mixed_probs(probs, labels, share=0.0, blur=(0.0, 1.0))[0, 1, 0]
    assert blurred[0] == pytest.approx(0.0, abs=1e-6)
    assert blurred[-1] == pytest.approx(1.0, abs=1e-6)
    assert blurred[9] + blurred[10] == pytest.approx(1.0)  # the edge is symmetric
    assert 0.25 < blurred[9] < 0.5


def test_slices_do_not_blur_into_each_other() -> None:
    labels = np.stack([np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)])
    probs = np.full((2, 2, 4, 4), 0.5, np.float32)
    mixed = mixed_probs(probs, labels, share=0.0, blur=(3.0, 3.0))
    np.testing.assert_allclose(mixed[0, 1], 0.0, atol=1e-6)
    np.testing.assert_allclose(mixed[1, 1], 1.0, atol=1e-6)
