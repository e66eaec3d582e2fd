"""A volume refuses grids that cannot be."""

import numpy as np
import pytest

from medwsss.volumes.volume import Volume


def cine() -> Volume:
    return Volume(np.arange(48).reshape(4, 3, 2, 2), (1.0, 2.0, 3.0), np.diag([1.0, 2.0, 3.0, 1.0]))


def test_a_frame_is_one_time_point() -> None:
    np.testing.assert_array_equal(cine().frame(1).array, cine().array[..., 1])
    assert (cine().frames, cine().frame(0).frames, cine().grid) == (2, 1, (4, 3, 2))


def test_the_only_frame_of_a_3d_volume_is_itself() -> None:
    frame = cine().frame(0)
    assert frame.frame(0) is frame


@pytest.mark.parametrize("spacing_mm", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, float("nan"))])
def test_spacing_must_be_positive(spacing_mm: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="spacing_mm"):
        Volume(np.zeros((2, 2, 2)), spacing_mm, np.eye(4))


def test_an_affine_must_be_finite() -> None:
    with pytest.raises(ValueError, match="affine"):
        Volume(np.zeros((2, 2, 2)), (1.0, 1.0, 1.0), np.full((4, 4), np.nan))


def test_other_voxels_must_have_the_same_grid() -> None:
    with pytest.raises(ValueError, match="grid"):
        cine().with_array(np.zeros((4, 3, 3)))
