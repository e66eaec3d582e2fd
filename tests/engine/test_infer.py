import numpy as np
import pytest
import torch
from fakes.networks import Threshold, tiny_run_config

from medwsss.config.data import GridConfig
from medwsss.config.training import InferenceConfig
from medwsss.engine.infer import segment_volume
from medwsss.labels import LabelSet
from medwsss.methods import build_method
from medwsss.volumes.volume import Volume

CPU = torch.device("cpu")


def volume(shape: tuple[int, ...] = (24, 20, 3), axes: tuple[int, int, int] = (0, 1, 2)) -> Volume:
    """A bright block in the dark, stored with permuted axes and the matching affine."""
    array = np.zeros(shape, np.float32)
    array[4:12, 6:14, 1:] = 100.0
    affine = np.diag([-1.5, -1.5, 8.0, 1.0])
    spacing = np.array([1.5, 1.5, 8.0])
    matrix = np.eye(4)
    matrix[:3, :3] = affine[:3, :3][:, axes]
    return Volume(array.transpose(axes), tuple(spacing[list(axes)].tolist()), matrix)


def segment(of: Volume, tags: np.ndarray | None = None, spacing_mm: float = 1.5) -> np.ndarray:
    result = segment_volume(
        Threshold(),
        of,
        grid=GridConfig(spacing_mm=spacing_mm, percentiles=(0.0, 100.0)),
        inference=InferenceConfig(flip=True, batch_size=2),
        device=CPU,
        image_labels=tags,
    )
    assert result.labels.array.dtype == np.uint8
    assert result.probs.array.shape == (*of.grid, 2)
    assert result.uncertainty.array.shape == of.grid
    assert result.tag_probs.shape == (3, 1)
    np.testing.assert_array_equal(result.labels.affine, of.affine)
    return result.labels.array


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_labels_lie_on_the_voxels_they_belong_to_whatever_the_axis_order(axes: tuple[int, int, int]) -> None:
    native = volume(axes=axes)
    np.testing.assert_array_equal(segment(native), native.array > 50)


def test_resampling_moves_no_border_by_more_than_a_working_pixel() -> None:
    native = volume((48, 40, 3))
    found, truth = segment(native, spacing_mm=2.0), native.array > 50
    assert abs(int(found.sum()) - int(truth.sum())) <= 0.15 * truth.sum()
    assert (found & truth).sum() >= 0.85 * truth.sum()


def test_tags_clear_the_slices_they_rule_out() -> None:
    labels = segment(volume(), tags=np.array([[1.0], [0.0], [1.0]], dtype=np.float32))
    assert labels[..., 1].sum() == 0
    assert labels[..., 2].sum() == 64


def test_the_smaller_of_two_blocks_goes_with_the_filter_by_components() -> None:
    native = volume()
    native.array[18:20, 2:4, 1] = 100.0
    grid, settings = GridConfig(spacing_mm=1.5, percentiles=(0.0, 100.0)), InferenceConfig(largest_components=True)
    result = segment_volume(Threshold(), native, grid=grid, inference=settings, device=CPU)
    assert result.labels.array.sum() == 8 * 8 * 2
    assert (result.probs.array[18:20, 2:4, 1, 1] > 0.5).all()  # probabilities are left alone


def test_every_real_method_segments_a_volume_of_odd_size() -> None:
    torch.manual_seed(0)
    method = build_method(tiny_run_config(), LabelSet("two", ("a", "b"))).eval()
    rng = np.random.default_rng(0)
    native = Volume(rng.random((33, 29, 2)).astype(np.float32), (1.4, 1.4, 9.0), np.diag([1.4, 1.4, 9.0, 1.0]))
    result = segment_volume(
        method, native, grid=GridConfig(), inference=InferenceConfig(scales=(1.0, 0.75)), device=CPU
    )
    assert result.labels.array.shape == (33, 29, 2)
    np.testing.assert_allclose(result.probs.array.sum(axis=-1), 1.0, atol=1e-5)
