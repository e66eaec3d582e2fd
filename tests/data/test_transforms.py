import random

import numpy as np
import pytest
import torch

from medwsss.config.data import AugmentationConfig, GridConfig
from medwsss.data.transforms import (
    TrainingTransform,
    channels_of,
    native_labels,
    native_maps,
    working_labels,
    working_slices,
)
from medwsss.errors import MedwsssWarning
from medwsss.volumes.volume import Volume

STILL = AugmentationConfig(
    flip_probability=0.0, rotation_degrees=0.0, zoom=(1.0, 1.0), intensity_scale=0.0, gamma=(1.0, 1.0)
)


def volume(array: np.ndarray, spacing_mm: tuple[float, float, float]) -> Volume:
    """Stored left to right, front to back, feet to head: array[x, y, z] is slice z, row y, column x."""
    x, y, z = spacing_mm
    return Volume(array.astype(np.float32), spacing_mm, np.diag([-x, -y, z, 1.0]))


def random_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((3, height, width), dtype=np.float32)


# --- resampling and grey levels


def test_each_in_plane_side_follows_its_own_spacing() -> None:
    native = volume(np.random.default_rng(0).random((30, 50, 3)), (2.0, 1.0, 8.0))
    slices = working_slices(native, GridConfig(spacing_mm=1.5))
    assert slices.shape == (3, 33, 40)  # rows 50 × 1.0 / 1.5 = 33.3, columns 30 × 2.0 / 1.5 = 40
    assert slices.dtype == np.float32


def test_a_side_never_vanishes() -> None:
    native = volume(np.random.default_rng(0).random((4, 5, 2)), (0.1, 0.1, 8.0))
    assert working_slices(native, GridConfig(spacing_mm=4.0)).shape == (2, 1, 1)


def test_percentiles_of_the_volume_become_0_and_1() -> None:
    levels = np.arange(101 * 4, dtype=np.float32).reshape(101, 2, 2)  # 0 to 403: percentile p is 4.03 p
    slices = working_slices(volume(levels, (1.5, 1.5, 8.0)), GridConfig(percentiles=(10.0, 90.0)))
    expected = np.clip((levels - 40.3) / (362.7 - 40.3), 0.0, 1.0).transpose(2, 1, 0)
    np.testing.assert_allclose(slices, expected, atol=1e-6)


def test_scale_and_offset_of_the_scanner_do_not_matter() -> None:
    levels = np.random.default_rng(0).random((20, 24, 3))
    first, second = (working_slices(volume(a, (1.2, 1.2, 8.0)), GridConfig()) for a in (levels, 700.0 * levels - 50.0))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_a_constant_volume_becomes_zeros_with_a_warning_that_names_it() -> None:
    with pytest.warns(MedwsssWarning, match=r"scan\.nii is constant"):
        slices = working_slices(volume(np.full((8, 8, 2), 7.0), (1.5, 1.5, 8.0)), GridConfig(), name="scan.nii")
    assert not slices.any()


def test_a_volume_of_nearly_one_level_falls_back_to_its_extremes() -> None:
    levels = np.zeros((40, 40, 2))
    levels[3, 4, 1] = 5.0
    slices = working_slices(volume(levels, (1.5, 1.5, 8.0)), GridConfig())
    assert slices[1, 4, 3] == 1.0
    assert slices.sum() == 1.0


def test_a_voxel_that_is_not_finite_and_a_time_axis_are_refused() -> None:
    levels = np.zeros((8, 8, 2))
    levels[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="volume must be finite"):
        working_slices(volume(levels, (1.5, 1.5, 8.0)), GridConfig())
    with pytest.raises(ValueError, match="volume must be 3D"):
        working_slices(volume(np.zeros((8, 8, 2, 2)), (1.5, 1.5, 8.0)), GridConfig())


def test_shrinking_averages_a_fine_checkerboard_away() -> None:
    board = np.indices((60, 60, 1)).sum(axis=0) % 2
    slices = working_slices(volume(board, (0.5, 0.5, 8.0)), GridConfig(spacing_mm=1.5))
    inner = slices[0, 2:-2, 2:-2]
    assert np.abs(inner - 0.5).max() < 0.1  # sampling alone would keep 0 and 1


def test_native_maps_undo_the_resampling_of_a_smooth_slice() -> None:
    x, y = np.meshgrid(np.linspace(0, np.pi, 60), np.linspace(0, np.pi, 50), indexing="ij")
    smooth = (np.sin(x) * np.sin(y))[:, :, None]
    slices = working_slices(volume(smooth, (1.2, 1.2, 8.0)), GridConfig(percentiles=(0.0, 100.0)))
    back = native_maps(torch.from_numpy(slices)[:, None], (50, 60))
    np.testing.assert_allclose(back[0, 0].numpy(), smooth[:, :, 0].T, atol=0.02)


def test_probabilities_still_sum_to_one_on_the_native_grid() -> None:
    probs = torch.rand(2, 4, 17, 13, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    torch.testing.assert_close(native_maps(probs, (23, 11)).sum(dim=1), torch.ones(2, 23, 11))
    with pytest.raises(ValueError, match="native_size"):
        native_maps(probs, (0, 11))


def test_labels_on_the_working_grid_are_those_whose_centres_are_nearest() -> None:
    labels = np.array([1, 2, 3, 4], dtype=np.uint8).reshape(1, 4, 1).repeat(2, axis=0)  # one slice of 4 rows, 2 columns
    native = Volume(labels, (1.5, 1.5, 8.0), np.diag([-1.5, -1.5, 8.0, 1.0]))
    # pixel i of n has its centre at (i + 1/2) 4 / n native pixels: 0.67, 2, 3.33 of three; 0.25, 0.75, ... of eight
    assert working_labels(native, (3, 2))[0, :, 0].tolist() == [1, 3, 4]
    assert working_labels(native, (8, 2))[0, :, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    np.testing.assert_array_equal(working_labels(native, (4, 2))[0], labels[:, :, 0].T)
    with pytest.raises(ValueError, match="size"):
        working_labels(native, (0, 2))


@pytest.mark.parametrize("spacing_mm", [1.0, 1.5, 2.7])
def test_labels_stay_on_what_they_label_whatever_grid_and_orientation(spacing_mm: float) -> None:
    x, y = np.indices((50, 40))
    disc = np.repeat(((x - 20) ** 2 + (y - 25) ** 2 < 120)[:, :, None], 3, axis=2)
    turned = Volume(disc.astype(np.float32), (1.5, 1.5, 8.0), np.diag([1.5, -1.5, 8.0, 1.0]))
    slices = working_slices(turned, GridConfig(spacing_mm=spacing_mm, percentiles=(0.0, 100.0)))
    labels = working_labels(turned.with_array(disc.astype(np.uint8)), slices.shape[1:])
    assert labels.dtype == np.uint8
    assert labels.shape == slices.shape
    clear = np.abs(slices - 0.5) > 0.45
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(labels[clear], slices[clear] > 0.5)


# --- channels and padding


def test_channels_repeat_the_slice_or_show_its_neighbours() -> None:
    stack = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 2, 3), dtype=np.float32)
    neighbours = GridConfig(channels="neighbours")
    assert channels_of(stack, 2, GridConfig())[:, 0, 0].tolist() == [2, 2, 2]
    assert channels_of(stack, 2, neighbours)[:, 0, 0].tolist() == [1, 2, 3]
    assert channels_of(stack, 0, neighbours)[:, 0, 0].tolist() == [0, 0, 1]
    assert channels_of(stack, 3, neighbours)[:, 0, 0].tolist() == [2, 3, 3]
    with pytest.raises(ValueError, match="index must be within 0 to 3, not 4"):
        channels_of(stack, 4, neighbours)


# --- augmentation


def test_without_augmentation_a_slice_of_crop_size_stays_as_it_is() -> None:
    image = random_image(32, 32)
    augmented, box = TrainingTransform(GridConfig(crop=32), STILL)(image, 0)
    np.testing.assert_allclose(augmented.numpy(), image, atol=1e-5)
    assert box.tolist() == [0, 32, 0, 32]


def test_a_smaller_slice_is_padded_on_both_ends_and_the_box_says_where() -> None:
    image = random_image(20, 27)
    augmented, box = TrainingTransform(GridConfig(crop=32), STILL)(image, 0)
    assert box.tolist() == [6, 26, 2, 29]  # (32 - 20) / 2 = 6; (32 - 27) // 2 = 2
    np.testing.assert_allclose(augmented[:, 6:26, 2:29].numpy(), image, atol=1e-5)
    augmented[:, 6:26, 2:29] = 0.0
    assert not augmented.any()


def test_crops_of_a_larger_slice_lie_anywhere_within_it() -> None:
    rows = np.broadcast_to(np.linspace(0.0, 1.0, 41, dtype=np.float32)[:, None], (3, 41, 20))
    transform = TrainingTransform(GridConfig(crop=32), STILL)
    crops = [transform(rows, seed) for seed in range(60)]
    assert {tuple(box.tolist()) for _, box in crops} == {(0, 32, 6, 26)}
    tops = {round(float(image[0, 0, 6]) * 40) for image, _ in crops}
    assert {min(tops), max(tops)} == {0, 41 - 32}


def test_the_seed_alone_decides_and_no_global_generator_is_touched() -> None:
    image, transform = random_image(40, 44), TrainingTransform(GridConfig(crop=32), AugmentationConfig())
    before = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002
    first, _ = transform(image, 5)
    other, _ = transform(image, 6)
    again, _ = TrainingTransform(GridConfig(crop=32), AugmentationConfig())(image, 5)
    torch.testing.assert_close(first, again, rtol=0.0, atol=0.0)
    assert not torch.equal(first, other)
    after = (random.getstate(), np.random.get_state()[1], torch.get_rng_state())  # noqa: NPY002
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert torch.equal(before[2], after[2])


def test_the_result_is_a_plain_tensor_within_0_and_1_and_leaves_the_input_alone() -> None:
    image = random_image(40, 44)
    image.setflags(write=False)
    copy = image.copy()
    transform = TrainingTransform(GridConfig(crop=32), AugmentationConfig(intensity_scale=1.0))
    results = torch.stack([transform(image, seed)[0] for seed in range(10)])
    assert type(results) is torch.Tensor
    assert results.dtype == torch.float32
    assert 0.0 <= results.min() <= results.max() <= 1.0
    np.testing.assert_array_equal(image, copy)


@pytest.mark.parametrize("zoom", [0.5, 2.0])
def test_zoom_is_magnification_alike_on_both_axes(zoom: float) -> None:
    square = np.zeros((3, 96, 96), dtype=np.float32)
    square[:, 38:58, 38:58] = 1.0
    augmented, _ = TrainingTransform(GridConfig(crop=96), STILL.model_copy(update={"zoom": (zoom, zoom)}))(square, 0)
    assert augmented[0].sum().item() == pytest.approx(20 * 20 * zoom**2, rel=0.05)
    assert augmented[0].amax(dim=0).sum().item() == pytest.approx(augmented[0].amax(dim=1).sum().item(), rel=1e-3)


def test_flips_mirror_each_axis() -> None:
    image = random_image(32, 32)
    augmented, _ = TrainingTransform(GridConfig(crop=32), STILL.model_copy(update={"flip_probability": 1.0}))(image, 0)
    np.testing.assert_allclose(augmented.numpy(), image[:, ::-1, ::-1], atol=1e-5)


def test_rotation_stays_within_its_range() -> None:
    bar = np.zeros((3, 65, 65), dtype=np.float32)
    bar[:, 32, :] = 1.0
    transform = TrainingTransform(GridConfig(crop=65), STILL.model_copy(update={"rotation_degrees": 20.0}))
    degrees = []
    for seed in range(20):
        rows, columns = np.nonzero(transform(bar, seed)[0][0].numpy() > 0.4)
        degrees.append(np.rad2deg(np.arctan(np.polyfit(columns - 32, rows - 32, 1)[0])))
    assert -20.5 < min(degrees) < -5 < 5 < max(degrees) < 20.5


def test_a_negative_seed_is_refused() -> None:
    transform = TrainingTransform(GridConfig(crop=32), STILL)
    with pytest.raises(ValueError, match="seed"):
        transform(random_image(8, 8), -1)


def test_augmented_slices_are_those_recorded() -> None:
    """A seed means the same for ever: recorded before labels could go along."""
    recorded = {
        5: ([0.31336537, 0.38512820, 0.16799675], 0.48207000),
        6: ([0.33837172, 0.58133042, 0.48514456], 0.43189153),
    }
    transform = TrainingTransform(GridConfig(crop=32), AugmentationConfig())
    for seed, (levels, mean) in recorded.items():
        augmented, _ = transform(random_image(40, 44), seed)
        assert augmented[0, 16, 12:15].tolist() == pytest.approx(levels, abs=1e-5)
        assert augmented.mean().item() == pytest.approx(mean, abs=1e-5)


# --- maps that go along


@pytest.mark.parametrize("size", [(40, 44), (70, 25), (20, 27)])
def test_a_map_goes_where_its_slice_goes(size: tuple[int, int]) -> None:
    """Where interpolation mixed nothing, the label map of a slice of two levels is the augmented slice."""
    coarse = np.random.default_rng(0).integers(0, 2, (9, 9))
    bright = np.kron(coarse, np.ones((8, 8)))[: size[0], : size[1]].astype(np.float32)
    only_moving = AugmentationConfig(rotation_degrees=40.0, zoom=(0.7, 1.6), intensity_scale=0.0, gamma=(1.0, 1.0))
    transform = TrainingTransform(GridConfig(crop=32), only_moving)
    for seed in range(12):
        image, _ = transform(np.stack([bright] * 3), seed)
        moved = transform.moved(bright[None], seed)
        unmixed = (image[0] < 1e-4) | (image[0] > 1 - 1e-4)
        assert unmixed.float().mean() > 0.5
        assert torch.equal(moved[0][unmixed], image[0][unmixed].round())
        disagree = (moved[0] - image[0]).abs() > 0.75  # nearest is among the four pixels that were mixed
        assert not disagree.any()


def test_maps_go_along_whatever_becomes_of_grey_levels() -> None:
    maps = random_image(40, 44)
    strong = AugmentationConfig(intensity_scale=1.0, gamma=(0.2, 5.0))
    for seed in range(5):
        one, two = (TrainingTransform(GridConfig(crop=32), a).moved(maps, seed) for a in (strong, AugmentationConfig()))
        assert torch.equal(one, two)


def test_maps_keep_their_values_and_are_0_where_there_is_no_image() -> None:
    maps = np.full((1, 20, 27), 255.0, dtype=np.float32)
    transform = TrainingTransform(GridConfig(crop=32), AugmentationConfig(rotation_degrees=30.0))
    moved, (_, box) = transform.moved(maps, 3), transform(np.ones((3, 20, 27), dtype=np.float32), 3)
    assert set(moved.unique().tolist()) == {0.0, 255.0}
    top, bottom, left, right = box.tolist()
    moved[:, top:bottom, left:right] = 0.0
    assert not moved.any()


def test_maps_of_a_negative_seed_are_refused_and_the_input_is_left_alone() -> None:
    maps, transform = random_image(40, 44), TrainingTransform(GridConfig(crop=32), AugmentationConfig())
    maps.setflags(write=False)
    transform.moved(maps, 0).zero_()
    np.testing.assert_array_equal(maps, random_image(40, 44))
    with pytest.raises(ValueError, match="seed"):
        transform.moved(maps, -1)


def test_labels_come_back_from_a_grid_that_is_a_whole_number_of_times_finer() -> None:
    stack = np.random.default_rng(0).integers(0, 4, (2, 3, 4)).astype(np.uint8)
    finer = native_labels(stack, (9, 8))
    assert finer[0, :, 0].tolist() == np.repeat(stack[0, :, 0], 3).tolist()
    np.testing.assert_array_equal(native_labels(finer, (3, 4)), stack)
    with pytest.raises(ValueError, match="size"):
        native_labels(stack, (0, 4))
