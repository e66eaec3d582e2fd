"""Slices come out in one patient orientation, and go back to where they came from."""

import math
from itertools import permutations, product

import numpy as np
import pytest

from medwsss.types import SpacingMm
from medwsss.volumes.io import load_volume
from medwsss.volumes.reassembly import reassemble, reassemble_channels
from medwsss.volumes.slicing import RIGHT, SUPERIOR, SliceAxes, in_plane_direction, slice_axes, slices_of
from medwsss.volumes.volume import Volume

ORDERS = [(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)]
GRIDS = [(slices, angle) for slices in (1, 7, 10) for angle in (0.0, 20.0, 45.0)]


def turned(degrees: float) -> np.ndarray:
    """Rotation by an angle about an axis that lies in no plane of the scanner."""
    axis = np.array([1.0, 2.0, 2.0]) / 3.0
    cross = np.cross(np.eye(3), axis)
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def anatomy(slices: int, degrees: float, spacing_mm: SpacingMm = (1.25, 1.5, 10.0)) -> Volume:
    """A volume of distinct numbers."""
    affine = np.eye(4)
    affine[:3, :3] = turned(degrees) * spacing_mm
    affine[:3, 3] = (-30.0, 12.5, 80.0)
    return Volume(np.arange(6 * 5 * slices, dtype=np.int32).reshape(6, 5, slices), spacing_mm, affine)


def stored_as(volume: Volume, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same anatomy in a file with other axes: voxels and affine change together."""
    array = volume.array.transpose(order)
    affine = volume.affine[:, [*order, 3]].copy()
    for axis in np.flatnonzero(flips):
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] *= -1
    x, y, z = (volume.spacing_mm[axis] for axis in order)
    return Volume(np.flip(array, tuple(np.flatnonzero(flips).tolist())).copy(), (x, y, z), affine)


@pytest.mark.parametrize(("slices", "degrees"), GRIDS)
def test_reassembled_slices_are_the_volume_for_all_48_axis_orders(slices: int, degrees: float) -> None:
    for order, flips in ORDERS:
        volume = stored_as(anatomy(slices, degrees), order, flips)
        again = reassemble(slices_of(volume).array, like=volume)
        np.testing.assert_array_equal(again.array, volume.array)
        np.testing.assert_array_equal(again.affine, volume.affine)
        assert (again.array.dtype, again.spacing_mm) == (volume.array.dtype, volume.spacing_mm)


@pytest.mark.parametrize(("slices", "degrees"), GRIDS)
def test_all_48_axis_orders_of_one_anatomy_give_one_stack(slices: int, degrees: float) -> None:
    expected = slices_of(anatomy(slices, degrees))
    for order, flips in ORDERS:
        stack = slices_of(stored_as(anatomy(slices, degrees), order, flips))
        np.testing.assert_array_equal(stack.array, expected.array)
        assert (stack.spacing_mm, stack.slice_spacing_mm) == (expected.spacing_mm, expected.slice_spacing_mm)


@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_all_48_axis_orders_of_an_isotropic_anatomy_give_one_stack(degrees: float) -> None:
    volume = anatomy(7, degrees, spacing_mm=(1.5, 1.5, 1.5))
    expected = slices_of(volume).array
    assert len(expected) == 7  # the axis closest to superior-inferior
    for order, flips in ORDERS:
        np.testing.assert_array_equal(slices_of(stored_as(volume, order, flips)).array, expected)


def test_an_axis_halfway_between_two_world_axes_still_gives_one_stack() -> None:
    half = np.sqrt(0.5)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[half, -half, 0], [half, half, 0], [0, 0, 1]]) * (1.5, 1.5, 10.0)
    volume = Volume(np.arange(120).reshape(6, 5, 4), (1.5, 1.5, 10.0), affine)
    for order, flips in ORDERS:
        np.testing.assert_array_equal(slices_of(stored_as(volume, order, flips)).array, slices_of(volume).array)


def test_a_volume_stored_left_posterior_superior_is_only_transposed() -> None:
    volume = Volume(np.arange(24).reshape(2, 3, 4), (1.5, 1.6, 10.0), np.diag([-1.5, -1.6, 10.0, 1.0]))
    stack = slices_of(volume)
    np.testing.assert_array_equal(stack.array, volume.array.transpose(2, 1, 0))
    assert (stack.spacing_mm, stack.slice_spacing_mm) == ((1.6, 1.5), 10.0)  # rows are y, columns are x


def test_a_volume_stored_right_anterior_superior_is_also_flipped_in_plane() -> None:
    axes = slice_axes(np.diag([1.5, 1.6, 10.0, 1.0]), (1.5, 1.6, 10.0), (2, 3, 4))
    assert axes == SliceAxes((2, 1, 0), (False, True, True))


def test_coronal_slices_have_the_head_on_top_and_the_right_side_first() -> None:
    affine = np.diag([1.5, 10.0, 1.5, 1.0])  # x right, y anterior in coarse steps, z superior
    axes = slice_axes(affine, (1.5, 10.0, 1.5), (4, 5, 6))
    assert axes == SliceAxes((1, 2, 0), (True, True, True))  # rows run toward inferior, columns toward left


def test_the_only_axis_with_one_voxel_is_the_slice_axis_even_when_it_is_thin() -> None:
    assert slice_axes(np.diag([-1.5, -1.5, 1.0, 1.0]), (1.5, 1.5, 1.0), (6, 5, 1)).permutation == (2, 1, 0)


def test_the_believed_spacing_decides_where_the_affine_is_unit_scale() -> None:
    assert slice_axes(np.diag([-1.0, -1.0, 1.0, 1.0]), (10.0, 1.5, 1.5), (6, 5, 4)).permutation[0] == 0


def test_channels_of_slices_become_the_last_axis() -> None:
    volume = anatomy(7, 20.0)
    stack = slices_of(volume).array
    probs = reassemble_channels(np.stack([stack, stack + 1000], axis=1), like=volume)
    np.testing.assert_array_equal(probs.array, np.stack([volume.array, volume.array + 1000], axis=-1))


def test_a_cine_is_refused() -> None:
    with pytest.raises(ValueError, match="volume must be 3D"):
        slices_of(Volume(np.zeros((4, 3, 2, 5)), (1.0, 1.0, 1.0), np.eye(4)))


def test_slices_that_do_not_fit_are_refused() -> None:
    volume = anatomy(7, 0.0)
    with pytest.raises(ValueError, match=r"slices must have shape \(7, 5, 6\)"):
        reassemble(np.zeros((7, 6, 5)), like=volume)


def test_a_singular_affine_is_refused() -> None:
    with pytest.raises(ValueError, match="affine must not be singular"):
        slice_axes(np.diag([1.0, 0.0, 1.0, 1.0]), (1.0, 1.0, 1.0), (2, 2, 2))


@pytest.mark.data
def test_slices_of_an_acdc_volume_are_its_transposed_array(shared_data) -> None:
    volume = load_volume(shared_data("acdc", "training", "patient001", "patient001_frame01.nii.gz"))
    np.testing.assert_array_equal(slices_of(volume).array, volume.array.transpose(2, 1, 0))


def test_the_patients_right_lies_at_the_same_side_of_the_slices_whatever_the_axis_order_and_flips() -> None:
    oblique = turned(20.0) @ np.diag([-1.5, -1.4, 8.0])
    affine = np.eye(4)
    affine[:3, :3] = oblique
    volume = Volume(np.zeros((6, 5, 4), np.float32), (1.5, 1.4, 8.0), affine)
    expected = in_plane_direction(volume, RIGHT)
    assert expected is not None
    assert expected[1] < -0.8  # columns run toward the patient's left
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        stored = np.eye(4)
        stored[:3, :3] = oblique[:, order] * np.array(signs)
        x, y, z = (volume.spacing_mm[axis] for axis in order)
        again = Volume(volume.array.transpose(order), (x, y, z), stored)
        assert in_plane_direction(again, RIGHT) == pytest.approx(expected)


def test_an_axis_across_the_slices_has_no_direction_within_them() -> None:
    volume = Volume(np.zeros((6, 5, 4), np.float32), (1.5, 1.5, 8.0), np.diag([-1.5, -1.5, 8.0, 1.0]))
    assert in_plane_direction(volume, SUPERIOR) is None
    assert in_plane_direction(volume, RIGHT) == (0.0, -1.0)


@pytest.mark.parametrize("grid", [(6, 5, 1), (1, 5, 4), (6, 1, 1), (1, 1, 1)])
def test_flipped_axes_of_one_voxel_make_no_stack_that_torch_refuses(grid: tuple[int, int, int]) -> None:
    volume = Volume(np.arange(math.prod(grid)).reshape(grid), (1.0, 1.0, 8.0), np.diag([-1.0, -1.0, -8.0, 1.0]))
    assert all(stride > 0 for stride in slices_of(volume).array.strides)
