"""Boundary F-score from counts."""

import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from medwsss.metrics.contour import (
    _dense_counts,
    contour_counts,
    contour_counts_of_arrays,
    contour_f,
    mean_contour_f,
)


def with_square(top: int, left: int, size: int = 16) -> torch.Tensor:
    """A map of 0 with a 4×4 square of 1."""
    labels = torch.zeros(size, size, dtype=torch.int64)
    labels[top : top + 4, left : left + 4] = 1
    return labels


def test_the_boundary_of_a_square_is_the_strip_above_left_and_inside_its_far_edges() -> None:
    # Pixels that differ from right, lower or lower-right: a ring of 5×5 less its interior 3×3, so 16.
    counts = contour_counts(with_square(6, 6), with_square(6, 6), classes=2)
    assert counts[1].tolist() == [16, 16, 16, 16]
    assert contour_f(counts).tolist() == [1.0, 1.0]


def test_a_square_shifted_by_two_columns_keeps_ten_of_sixteen_boundary_pixels_within_one_pixel() -> None:
    # Rings over rows 5-9 and columns 5-9 or 7-11; the tolerance is ceil(0.04 * 22.6) = 1 pixel. Top and bottom rows of
    # the reference match from column 6 on (2 * 4), its left side never, its right side next to the corners (2).
    counts = contour_counts(with_square(6, 8), with_square(6, 6), classes=2, tolerance=0.04)
    assert counts[1].tolist() == [10, 10, 16, 16]
    assert contour_f(counts)[1] == pytest.approx(10 / 16)  # precision equals recall by symmetry


def boundary_by_loop(inside: np.ndarray) -> list[tuple[int, int]]:
    """The definition of the boundary, pixel by pixel."""
    height, width = inside.shape
    found = []
    for r in range(height):
        for c in range(width):
            beside = [(r, c + 1), (r + 1, c), (r + 1, c + 1)]
            if any(y < height and x < width and inside[y, x] != inside[r, c] for y, x in beside):
                found.append((r, c))
    return found


def matches(start: list[tuple[int, int]], other: list[tuple[int, int]], radius: int) -> int:
    return int((cdist(start, other).min(axis=1) <= radius).sum()) if start and other else 0


def test_counts_match_a_loop_over_pixels_on_random_maps() -> None:
    rng = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.3):
        maps = np.where(rng.random((2, 13, 17)) < density, rng.integers(1, 4, (2, 13, 17)), 0)
        counts = contour_counts(torch.from_numpy(maps[0]), torch.from_numpy(maps[1]), classes=3, tolerance=0.08)
        for label in range(3):
            predicted, true = (boundary_by_loop(labels == label) for labels in maps)
            expected = [matches(true, predicted, 2), matches(predicted, true, 2), len(true), len(predicted)]
            assert counts[label].tolist() == expected  # ceil(0.08 * |(13, 17)| = 1.71) = 2


def blobs(rng: np.random.Generator, shape: tuple[int, int], kinds: list[int]) -> np.ndarray:
    """Blocks of labels, some of which touch the border."""
    small = rng.choice(kinds, size=(shape[0] // 7 + 1, shape[1] // 7 + 1))
    return np.kron(small, np.ones((7, 7), dtype=np.int64))[: shape[0], : shape[1]].astype(np.uint8)


@pytest.mark.parametrize("shape", [(40, 61), (1, 30), (30, 1), (1, 1)])
@pytest.mark.parametrize("tolerance", [0.0, 0.03, 0.2])
def test_boundary_pixels_alone_give_the_integers_of_whole_maps(shape: tuple[int, int], tolerance: float) -> None:
    rng = np.random.default_rng(0)
    for kinds in ([0], [0, 1, 2, 255], [0, 0, 0, 0, 3, 254, 255]):
        maps = [blobs(rng, shape, kinds), blobs(rng, shape, kinds)]
        maps[1] = np.where(rng.random(shape) < 0.03, 2, maps[1]).astype(np.uint8)
        radius = math.ceil(tolerance * math.hypot(*shape))
        whole = _dense_counts(*(torch.from_numpy(labels).long()[None] for labels in maps), 4, radius)
        sparse = contour_counts_of_arrays(maps[0], maps[1], classes=4, tolerance=tolerance)
        np.testing.assert_array_equal(sparse, whole.numpy())


@pytest.mark.gpu
def test_counts_on_the_gpu_are_those_of_the_cpu() -> None:
    maps = torch.randint(0, 4, (2, 3, 50, 40), generator=torch.Generator().manual_seed(0))
    on_cpu = contour_counts(maps[0], maps[1], classes=4, tolerance=0.03)
    assert torch.equal(contour_counts(*maps.cuda(), classes=4, tolerance=0.03).cpu(), on_cpu)


def test_negative_labels_and_empty_maps_have_no_boundary() -> None:
    square = with_square(6, 6)
    counts = contour_counts(-square, square, classes=2)
    assert counts[1].tolist() == [0, 0, 16, 0]
    empty = square[:0].numpy()
    assert contour_counts_of_arrays(empty, empty, classes=2).tolist() == [[0] * 4] * 2


def test_counts_of_a_batch_are_the_sum_over_its_images() -> None:
    maps = torch.randint(0, 3, (2, 4, 9, 8), generator=torch.Generator().manual_seed(0))
    single = [contour_counts(p, r, classes=3) for p, r in zip(*maps, strict=True)]
    assert torch.equal(contour_counts(maps[0], maps[1], classes=3), torch.stack(single).sum(dim=0))


def test_a_missing_boundary_scores_zero_on_one_side_and_nan_on_both() -> None:
    counts = torch.tensor([[0, 0, 5, 0], [0, 0, 0, 7], [0, 0, 0, 0], [0, 0, 5, 5], [3, 4, 6, 5]])
    best = 2 * (4 / 5) * (3 / 6) / (4 / 5 + 3 / 6)
    assert contour_f(counts).tolist() == pytest.approx([0, 0, math.nan, 0, best], nan_ok=True)
    assert mean_contour_f(counts) == pytest.approx((0 + 0 + best) / 3)  # three classes have a reference boundary
    assert math.isnan(mean_contour_f(counts[2:3]))


def test_bad_arguments_are_refused() -> None:
    raw, square = inspect.unwrap(contour_counts), with_square(2, 2)
    with pytest.raises(ValueError, match="shape"):
        raw(square, square[1:], classes=2)
    with pytest.raises(ValueError, match="reference must hold integers"):
        raw(square, square.float(), classes=2)
    with pytest.raises(ValueError, match="classes"):
        raw(square, square, classes=0)
    with pytest.raises(ValueError, match="tolerance"):
        raw(square, square, classes=2, tolerance=1.0)
    with pytest.raises(ValueError, match="shape"):
        inspect.unwrap(contour_counts_of_arrays)(square.numpy(), square.numpy()[1:], classes=2)
    with pytest.raises(ValueError, match="counts"):
        inspect.unwrap(contour_f)(torch.zeros(2, 3, dtype=torch.int64))


@pytest.mark.data
def test_counts_and_score_match_published_code(golden: Callable[[str], dict[str, np.ndarray]]) -> None:
    cases = golden("hfpl_contour_fscore")
    counts = torch.stack(
        [
            contour_counts(
                torch.from_numpy(cases[f"c0_in_pred{i}"]), torch.from_numpy(cases[f"c0_in_gt{i}"]), classes=3
            )
            for i in range(3)
        ]
    )
    np.testing.assert_array_equal(counts[:, 1:].numpy(), cases["c0_out_f_matches"])  # without background
    score = 100 * mean_contour_f(counts[:, 1:].sum(dim=0))
    assert score == pytest.approx(float(cases["c0_out_mean_f_percent"]), abs=1e-3)
