import colorsys
import inspect
import random

import numpy as np
import pytest
import torch
from jaxtyping import UInt8

from medwsss.config.data import PhotographAugmentationConfig
from medwsss.data.photograph_transforms import IMAGENET_MEAN, PhotographTransform, as_network_input

STILL = PhotographAugmentationConfig(scale=(1.0, 1.0), flip_probability=0.0, photometric_probability=0.0)
NO_COLOURS = {"brightness": 0.0, "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": 0.0}


def random_image(height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(colour: tuple[int, int, int]) -> UInt8[np.ndarray, "h w 3"]:
    return np.full((8, 8, 3), colour, dtype=np.uint8)


def recolouring(**changes: object) -> PhotographTransform:
    """One change of colours that always happens; the others do nothing."""
    colours = NO_COLOURS | {"photometric_probability": 1.0} | changes
    return PhotographTransform(STILL.model_copy(update=colours), 8)


def levels(transform: PhotographTransform, image: UInt8[np.ndarray, "h w 3"], seed: int) -> tuple[int, int, int]:
    """The one colour of the result, on 0-255."""
    colours = (transform(image, seed)[0] * 255).round().int().flatten(1).unique(dim=1)
    assert colours.shape == (3, 1)
    return tuple(colours[:, 0].tolist())


# --- scale, crop and box


def test_an_image_of_crop_size_stays_as_it_is() -> None:
    image = random_image(32, 32)
    augmented, box = PhotographTransform(STILL, 32)(image, 0)
    assert torch.equal(augmented, torch.tensor(image).permute(2, 0, 1) / 255)
    assert box.tolist() == [0, 32, 0, 32]


def test_a_smaller_image_lies_anywhere_in_the_crop_and_the_box_says_where() -> None:
    image, transform = random_image(28, 30), PhotographTransform(STILL, 32)
    boxes = set()
    for seed in range(120):
        augmented, box = transform(image, seed)
        top, bottom, left, right = box.tolist()
        assert torch.equal(augmented[:, top:bottom, left:right], as_network_input(image))
        boxes.add((top, bottom, left, right))
    assert boxes == {(top, top + 28, left, left + 30) for top in range(32 - 28 + 1) for left in range(32 - 30 + 1)}


def test_padding_is_exactly_the_mean_colour_of_imagenet() -> None:
    augmented, (top, bottom, left, right) = PhotographTransform(STILL, 32)(random_image(10, 20), 0)
    padding = torch.ones(32, 32, dtype=torch.bool)
    padding[top:bottom, left:right] = False
    assert padding.sum() == 32 * 32 - 10 * 20
    for channel, mean in zip(augmented, IMAGENET_MEAN, strict=True):
        assert channel[padding].unique().tolist() == [pytest.approx(mean, abs=1e-7)]


def test_crops_of_a_larger_image_lie_anywhere_within_it() -> None:
    image = np.zeros((35, 34, 3), dtype=np.uint8)
    image[..., 0], image[..., 1] = np.arange(35)[:, None], np.arange(34)
    transform = PhotographTransform(STILL, 32)
    crops = [transform(image, seed) for seed in range(120)]
    assert {tuple(box.tolist()) for _, box in crops} == {(0, 32, 0, 32)}
    corners = {tuple((crop[:2, 0, 0] * 255).round().int().tolist()) for crop, _ in crops}
    assert corners == {(top, left) for top in range(35 - 32 + 1) for left in range(34 - 32 + 1)}


def test_a_wide_low_image_is_cropped_across_and_padded_along() -> None:
    image = random_image(20, 50)
    augmented, box = PhotographTransform(STILL, 32)(image, 3)
    top, bottom, left, right = box.tolist()
    assert (bottom - top, left, right) == (20, 0, 32)
    assert any(
        torch.equal(augmented[:, top:bottom], as_network_input(image[:, start : start + 32])) for start in range(19)
    )


@pytest.mark.parametrize(("scale", "shown"), [(0.5, (12, 20)), (1.5, (36, 60))])
def test_scale_is_magnification_of_both_sides(scale: float, shown: tuple[int, int]) -> None:
    transform = PhotographTransform(STILL.model_copy(update={"scale": (scale, scale)}), 64)
    top, bottom, left, right = transform(random_image(24, 40), 0)[1].tolist()
    assert (bottom - top, right - left) == shown  # 24 and 40 times the scale


def test_scales_fill_their_range() -> None:
    transform = PhotographTransform(STILL.model_copy(update={"scale": (0.5, 2.0)}), 256)
    boxes = [transform(random_image(100, 100), seed)[1].tolist() for seed in range(60)]
    heights = [bottom - top for top, bottom, _, _ in boxes]
    assert 50 <= min(heights) < 65
    assert 185 < max(heights) <= 200
    assert np.mean(heights) == pytest.approx(125, abs=15)  # uniform: 100 · (0.5 + 2) / 2


def test_shrinking_averages_instead_of_leaving_pixels_out() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    augmented, (top, bottom, left, right) = PhotographTransform(STILL.model_copy(update={"scale": (0.5, 0.5)}), 32)(
        stripes, 0
    )
    inner = augmented[:, top:bottom, left + 1 : right - 1] * 255
    assert inner.min() >= 90
    assert inner.max() <= 110


def test_an_image_of_one_pixel_has_a_pixel_after_shrinking() -> None:
    transform = PhotographTransform(STILL.model_copy(update={"scale": (0.1, 0.1)}), 4)
    top, bottom, left, right = transform(random_image(1, 3), 0)[1].tolist()
    assert (bottom - top, right - left) == (1, 1)


def test_a_flip_mirrors_columns_alone() -> None:
    image = random_image(32, 32)
    augmented, _ = PhotographTransform(STILL.model_copy(update={"flip_probability": 1.0}), 32)(image, 0)
    assert torch.equal(augmented, as_network_input(image[:, ::-1]))


def test_half_of_the_images_are_flipped() -> None:
    image = random_image(8, 8)
    transform = PhotographTransform(STILL.model_copy(update={"flip_probability": 0.5}), 8)
    flipped = sum(not torch.equal(transform(image, seed)[0], as_network_input(image)) for seed in range(100))
    assert 35 <= flipped <= 65


# --- colours


def test_brightness_shifts_all_channels_alike_within_its_range() -> None:
    transform = recolouring(brightness=0.125)
    shifts = set()
    for seed in range(60):
        red, green, blue = levels(transform, plain((100, 150, 200)), seed)
        assert red - 100 == green - 150 == blue - 200
        shifts.add(red - 100)
    assert -32 <= min(shifts) < -24
    assert 24 < max(shifts) <= 32  # 0.125 · 255 = 31.9


def test_contrast_multiplies_and_black_stays_black() -> None:
    assert levels(recolouring(contrast=(1.5, 1.5)), plain((100, 0, 20)), 0) == (150, 0, 30)
    assert levels(recolouring(contrast=(0.5, 0.5)), plain((100, 0, 20)), 0) == (50, 0, 10)


def test_contrast_comes_before_saturation_or_after_it() -> None:
    transform = recolouring(contrast=(2.0, 2.0), saturation=(0.0, 0.0))
    # the grey of (200, 0, 0) is 0.299 · 200 ≈ 60, doubled 120; doubled first and clipped it is 0.299 · 255 ≈ 76
    greys = [levels(transform, plain((200, 0, 0)), seed)[0] for seed in range(40)]
    early, late = (sum(abs(grey - expected) <= 2 for grey in greys) for expected in (76, 120))
    assert early + late == 40
    assert min(early, late) > 8


def test_saturation_of_zero_leaves_grey() -> None:
    red, green, blue = levels(recolouring(saturation=(0.0, 0.0)), plain((200, 100, 0)), 0)
    assert red == green == blue
    assert red == pytest.approx(0.299 * 200 + 0.587 * 100, abs=1)  # ITU-R 601


def test_hue_turns_within_its_range_and_keeps_brightest_and_darkest_level() -> None:
    transform = recolouring(hue=0.1)
    turns = []
    for seed in range(60):
        colour = levels(transform, plain((40, 200, 200)), seed)  # cyan: hue 0.5
        assert (min(colour), max(colour)) == (40, 200)
        turns.append(colorsys.rgb_to_hsv(*colour)[0] - 0.5)
    assert -0.105 <= min(turns) < -0.07
    assert 0.07 < max(turns) <= 0.105


def test_saturation_and_hue_leave_grey_alone() -> None:
    assert levels(recolouring(saturation=(1.5, 1.5), hue=0.5), plain((90, 90, 90)), 0) == (90, 90, 90)


def test_each_change_of_colours_happens_by_itself() -> None:
    transform = recolouring(contrast=(1.5, 1.5), saturation=(0.0, 0.0), photometric_probability=0.5)
    seen = {levels(transform, plain((100, 0, 0)), seed) for seed in range(80)}
    assert (100, 0, 0) in seen
    assert (150, 0, 0) in seen
    assert len({colour for colour in seen if colour[1] > 0}) >= 2  # grey with and without contrast


def test_padding_keeps_its_colour_and_does_not_colour_the_image() -> None:
    transform = PhotographTransform(PhotographAugmentationConfig(scale=(1.0, 1.0), photometric_probability=1.0), 32)
    augmented, (top, bottom, left, right) = transform(plain((10, 200, 90)), 4)
    shown = augmented[:, top:bottom, left:right].flatten(1).unique(dim=1)
    assert shown.shape == (3, 1)
    augmented[:, top:bottom, left:right] = torch.tensor(IMAGENET_MEAN)[:, None, None]
    assert augmented.flatten(1).unique(dim=1).shape == (3, 1)


# --- randomness, range, borders


def test_the_seed_alone_decides_and_no_global_generator_is_touched() -> None:
    image, config = random_image(40, 44), PhotographAugmentationConfig()
    before = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002
    first, box = PhotographTransform(config, 32)(image, 5)
    again, box_again = PhotographTransform(config, 32)(image, 5)
    other, _ = PhotographTransform(config, 32)(image, 6)
    assert torch.equal(first, again)
    assert torch.equal(box, box_again)
    assert not torch.equal(first, other)
    after = (random.getstate(), np.random.get_state()[1], torch.get_rng_state())  # noqa: NPY002
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert torch.equal(before[2], after[2])


def test_a_crop_does_not_depend_on_whether_colours_change() -> None:
    image = random_image(40, 20)
    changed = PhotographTransform(PhotographAugmentationConfig(photometric_probability=1.0), 32)
    unchanged = PhotographTransform(PhotographAugmentationConfig(photometric_probability=0.0), 32)
    assert all(torch.equal(changed(image, seed)[1], unchanged(image, seed)[1]) for seed in range(10))


def test_the_result_lies_within_0_and_1_and_the_input_is_left_alone() -> None:
    image = random_image(40, 44)
    image.setflags(write=False)
    copy = image.copy()
    transform = PhotographTransform(PhotographAugmentationConfig(photometric_probability=1.0), 32)
    results = torch.stack([transform(image, seed)[0] for seed in range(10)])
    assert results.dtype == torch.float32
    assert 0.0 <= results.min() <= results.max() <= 1.0
    np.testing.assert_array_equal(image, copy)


def test_results_do_not_share_memory() -> None:
    transform = PhotographTransform(STILL, 32)
    first, _ = transform(random_image(8, 8), 0)
    first.zero_()
    assert transform(random_image(8, 8), 0)[0].max() > 0


def test_augmented_photographs_are_those_recorded() -> None:
    """A seed means the same for ever: recorded before labels could go along."""
    recorded = {5: ((23, 66, 141), 0.388434), 6: ((124, 174, 115), 0.496766), 7: ((43, 31, 73), 0.356547)}
    transform = PhotographTransform(PhotographAugmentationConfig(), 32)
    for seed, (colour, mean) in recorded.items():
        augmented, _ = transform(random_image(40, 44), seed)
        assert (augmented[:, 16, 12] * 255).tolist() == pytest.approx(colour, abs=1.5)
        assert augmented.mean().item() == pytest.approx(mean, abs=2e-3)


# --- maps that go along


@pytest.mark.parametrize("size", [(40, 44), (70, 25), (20, 27)])
def test_a_map_goes_where_its_photograph_goes(size: tuple[int, int]) -> None:
    """Where interpolation mixed nothing, the label map of a photograph of two colours tells its colours."""
    coarse = np.random.default_rng(0).integers(0, 2, (9, 9))
    bright = np.kron(coarse, np.ones((8, 8)))[: size[0], : size[1]].astype(np.uint8)
    transform = PhotographTransform(PhotographAugmentationConfig(photometric_probability=0.0), 32)
    for seed in range(12):
        image, (top, bottom, left, right) = transform(np.repeat(255 * bright[:, :, None], 3, axis=2), seed)
        shown = image[0, top:bottom, left:right]
        moved = transform.moved(bright[None].astype(np.float32), seed)
        labels = moved[0, top:bottom, left:right]
        unmixed = (shown == 0) | (shown == 1)
        assert unmixed.float().mean() > 0.4
        assert torch.equal(labels[unmixed], shown[unmixed])
        moved[0, top:bottom, left:right] = 0.0
        assert not moved.any()


def test_maps_go_along_whatever_becomes_of_colours() -> None:
    maps = np.random.default_rng(0).random((2, 40, 20), dtype=np.float32)
    for seed in range(5):
        changed, unchanged = (
            PhotographTransform(PhotographAugmentationConfig(photometric_probability=share), 32).moved(maps, seed)
            for share in (1.0, 0.0)
        )
        assert torch.equal(changed, unchanged)


def test_maps_without_pixels_or_of_a_negative_seed_are_refused() -> None:
    transform = PhotographTransform(STILL, 32)
    with pytest.raises(ValueError, match="seed"):
        transform.moved(np.zeros((1, 8, 8), dtype=np.float32), -1)
    with pytest.raises(ValueError, match="maps"):
        transform.moved(np.zeros((1, 0, 8), dtype=np.float32), 0)


def test_maps_are_left_alone() -> None:
    maps = np.ones((1, 8, 8), dtype=np.float32)
    maps.setflags(write=False)
    PhotographTransform(STILL, 32).moved(maps, 0).zero_()
    assert (maps == 1).all()


# --- whole photographs


def test_a_whole_photograph_becomes_channels_first_in_0_to_1() -> None:
    image = np.array([[[0, 51, 255], [102, 0, 0]]], dtype=np.uint8)
    result = as_network_input(image)
    assert result.shape == (3, 1, 2)
    torch.testing.assert_close(result[:, 0, 0], torch.tensor([0.0, 0.2, 1.0]))
    torch.testing.assert_close(result[:, 0, 1], torch.tensor([0.4, 0.0, 0.0]))
    assert result.is_contiguous()


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="crop"):
        PhotographTransform(STILL, 0)
    with pytest.raises(ValueError, match="seed"):
        PhotographTransform(STILL, 32)(random_image(8, 8), -1)
    with pytest.raises(ValueError, match="image"):
        as_network_input(random_image(0, 8))
    for wrong in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)):
        with pytest.raises(ValueError, match="image"):
            inspect.unwrap(as_network_input)(wrong)
