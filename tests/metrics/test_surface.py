"""Surface distances in millimetres."""

import inspect
import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy import ndimage
from scipy.spatial.distance import cdist

from medwsss.metrics.surface import SPARSE, filled_distances_mm, searched_distances_mm, surface_distances

SPACING_MM = (1.5, 1.25, 8.0)


def blob(seed: int, shape: tuple[int, ...] = (24, 20, 6)) -> np.ndarray:
    """A random smooth mask that may touch the edge of the array."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (3, 3, 1)[: len(shape)])
    return np.asarray(noise > np.quantile(noise, 0.8))


def voxel(*index: int) -> np.ndarray:
    mask = np.zeros((8, 8, 8), dtype=np.bool_)
    mask[index] = True
    return mask


def test_two_single_voxels_lie_apart_by_their_offset_in_mm() -> None:
    distances = surface_distances(voxel(1, 1, 1), voxel(3, 1, 2), spacing_mm=(1.5, 1.0, 10.0))
    expected = math.hypot(2 * 1.5, 1 * 10.0)
    assert (distances.hd95, distances.assd) == pytest.approx((expected, expected))


def test_hd95_is_the_larger_direction_and_assd_averages_all_surface_voxels() -> None:
    prediction, reference = voxel(1, 1, 1), voxel(1, 1, 1)
    prediction[5, 1, 1] = True  # prediction to reference: 0 and 4 voxels of 2 mm; reference to prediction: 0
    distances = surface_distances(prediction, reference, spacing_mm=(2.0, 1.0, 1.0))
    assert distances.hd95 == pytest.approx(0.95 * 8.0)  # linear between 0 and 8
    assert distances.assd == pytest.approx((0 + 8 + 0) / 3)


def test_only_the_surface_counts_and_the_edge_of_the_array_is_outside() -> None:
    full = np.ones((5, 5), dtype=np.bool_)
    rim = full.copy()
    rim[1:-1, 1:-1] = False  # the same surface: a voxel at the edge has no neighbour beyond
    assert surface_distances(full, rim, spacing_mm=(1.0, 1.0)).hd95 == 0.0


def test_empty_masks_are_nan_together_and_infinite_alone() -> None:
    empty = np.zeros((8, 8, 8), dtype=np.bool_)
    both = surface_distances(empty, empty, spacing_mm=SPACING_MM)
    assert math.isnan(both.hd95)
    assert math.isnan(both.assd)
    for pair in [(empty, voxel(1, 1, 1)), (voxel(1, 1, 1), empty)]:
        one = surface_distances(*pair, spacing_mm=SPACING_MM)
        assert one.hd95 == one.assd == math.inf


def test_distances_scale_with_the_spacing_and_are_symmetric() -> None:
    first = surface_distances(blob(0), blob(1), spacing_mm=SPACING_MM)
    swapped = surface_distances(blob(1), blob(0), spacing_mm=SPACING_MM)
    doubled = surface_distances(blob(0), blob(1), spacing_mm=tuple(2 * step for step in SPACING_MM))
    assert (first.hd95, first.assd) == pytest.approx((swapped.hd95, swapped.assd))
    assert (doubled.hd95, doubled.assd) == pytest.approx((2 * first.hd95, 2 * first.assd))


def surface_points_mm(mask: np.ndarray) -> np.ndarray:
    """Voxels with an outside face neighbour, found by looking at each neighbour."""
    padded = np.pad(mask, 1)
    inner = np.ones_like(mask)
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis=axis)[(slice(1, -1),) * mask.ndim]
    return np.argwhere(mask & ~inner) * SPACING_MM


@pytest.mark.parametrize("seed", range(4))
def test_distances_match_all_pairs_of_surface_points(seed: int) -> None:
    prediction, reference = blob(seed), blob(seed + 100)
    pairs = cdist(surface_points_mm(prediction), surface_points_mm(reference))
    forth, back = pairs.min(axis=1), pairs.min(axis=0)
    distances = surface_distances(prediction, reference, spacing_mm=SPACING_MM)
    assert distances.hd95 == pytest.approx(max(np.percentile(forth, 95), np.percentile(back, 95)))
    assert distances.assd == pytest.approx((forth.sum() + back.sum()) / (len(forth) + len(back)))


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("seed", range(4))
def test_distances_match_monai(seed: int) -> None:
    prediction, reference = blob(seed), blob(seed + 100)
    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    hd95 = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=SPACING_MM)
    assd = compute_average_surface_distance(*pair, include_background=True, symmetric=True, spacing=SPACING_MM)
    distances = surface_distances(prediction, reference, spacing_mm=SPACING_MM)
    assert (distances.hd95, distances.assd) == pytest.approx((float(hd95), float(assd)), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_searching_and_filling_find_the_same_distances(seed: int) -> None:
    pair = blob(seed), blob(seed + 100)
    for start, target in (pair, pair[::-1]):
        searched = searched_distances_mm(start, target, SPACING_MM)
        np.testing.assert_allclose(searched, filled_distances_mm(start, target, SPACING_MM), rtol=1e-12, atol=1e-12)


def test_stray_voxels_far_away_count_like_any_others() -> None:
    """They make the box so large that surfaces are searched, not filled in."""
    prediction, reference = (np.pad(blob(seed), ((20, 60), (10, 70), (0, 2))) for seed in (0, 1))
    prediction[0, 0, 0] = prediction[-1, -1, -1] = True
    assert 2 * prediction.sum() < SPARSE * prediction.size
    pairs = cdist(surface_points_mm(prediction), surface_points_mm(reference))
    forth, back = pairs.min(axis=1), pairs.min(axis=0)
    distances = surface_distances(prediction, reference, spacing_mm=SPACING_MM)
    assert distances.hd95 == pytest.approx(max(np.percentile(forth, 95), np.percentile(back, 95)))
    assert distances.assd == pytest.approx((forth.sum() + back.sum()) / (len(forth) + len(back)))


def test_spacing_must_fit_the_masks() -> None:
    for spacing_mm in [(1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, math.nan)]:
        with pytest.raises(ValueError, match="spacing_mm"):
            surface_distances(blob(0), blob(1), spacing_mm=spacing_mm)
    with pytest.raises(ValueError, match="shape"):
        inspect.unwrap(surface_distances)(blob(0), blob(1)[1:], spacing_mm=SPACING_MM)
