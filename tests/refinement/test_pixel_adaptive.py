import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from benchmarks.plain import plain_refinement
from torch import Tensor

from medwsss.refinement.pixel_adaptive import pixel_adaptive_refinement, refined_pseudo_labels

DILATIONS = (1, 2, 4, 8, 12, 24)


def plain_labels(images: Tensor, cams: Tensor, tags: Tensor, high: float, low: float, downscale: int) -> Tensor:
    """Image by image, tagged classes only."""
    size = [side // downscale for side in images.shape[2:]]
    labels = []
    for image, maps, tagged in zip(images, cams, tags, strict=True):
        keys = torch.tensor([0, *(tagged.nonzero()[:, 0] + 1).tolist()])
        found = []
        for background in (high, low):
            scores = torch.cat([torch.full_like(maps[:1], background), maps])[keys][None]
            probs = F.interpolate(scores, size=size, mode="bilinear", align_corners=False).softmax(dim=1)
            small = F.interpolate(image[None], size=size, mode="bilinear", align_corners=False)
            refined = plain_refinement(small, probs)
            full = F.interpolate(refined, size=images.shape[2:], mode="bilinear", align_corners=False)
            found.append(keys[full.argmax(dim=1)[0]])
        in_high, in_low = found
        labels.append(torch.where(in_high > 0, in_high, torch.where(in_low > 0, 255, 0)))
    return torch.stack(labels)


def smooth(batch: int, channels: int, height: int, width: int, seed: int) -> Tensor:
    noise = torch.rand(batch, channels, height // 8 + 2, width // 8 + 2, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("shape", [(2, 3, 40, 56), (1, 1, 7, 5), (3, 4, 33, 1)])
def test_shifted_accumulation_equals_the_plain_form(shape: tuple[int, int, int, int]) -> None:
    images, masks = smooth(*shape, seed=0), smooth(shape[0], 5, *shape[2:], seed=1)
    torch.testing.assert_close(
        pixel_adaptive_refinement(images, masks), plain_refinement(images, masks), atol=1e-5, rtol=1e-5
    )


def test_other_dilations_and_iterations_equal_the_plain_form() -> None:
    images, masks = smooth(1, 3, 20, 31, seed=2), smooth(1, 2, 20, 31, seed=3)
    for dilations, iterations in (((1,), 1), ((3, 5), 4)):
        torch.testing.assert_close(
            pixel_adaptive_refinement(images, masks, dilations=dilations, iterations=iterations),
            plain_refinement(images, masks, dilations=dilations, iterations=iterations),
        )


def test_the_only_neighbour_of_the_same_colour_gives_its_value() -> None:
    images = torch.full((1, 1, 3, 3), 0.9)
    images[0, 0, 1, 1] = images[0, 0, 0, 0] = 0.1
    masks = torch.zeros(1, 1, 3, 3)
    masks[0, 0, 0, 0] = 1.0
    # Seven of the eight neighbours of the centre differ by 0.8, about 2.8 deviations: weight exp(−90) ≈ 0. The corner
    # has colour weight 1; its position weight is below that of the four direct neighbours, hence under 1/8.
    centre = pixel_adaptive_refinement(images, masks, dilations=(1,), iterations=1)[0, 0, 1, 1].item()
    assert 1.0 <= centre < 1.0 + 0.01 / 8


def test_mass_grows_by_one_per_cent_an_iteration_on_constant_masks() -> None:
    images, masks = smooth(1, 3, 16, 16, seed=4), torch.ones(1, 2, 16, 16)
    torch.testing.assert_close(pixel_adaptive_refinement(images, masks, iterations=3), masks * 1.01**3)


def test_a_flat_image_and_any_scale_of_intensities_are_no_trouble() -> None:
    masks = smooth(1, 2, 24, 24, seed=5)
    assert pixel_adaptive_refinement(torch.full((1, 3, 24, 24), 0.7), masks).isfinite().all()
    images = smooth(1, 3, 24, 24, seed=6)
    torch.testing.assert_close(
        pixel_adaptive_refinement(255 * images, masks), pixel_adaptive_refinement(images, masks), atol=1e-4, rtol=0
    )


def test_no_gradient_is_kept_even_without_iterations_and_dilations_may_be_an_array() -> None:
    images, masks = smooth(1, 3, 9, 9, seed=0), smooth(1, 2, 9, 9, seed=1).requires_grad_()
    assert not pixel_adaptive_refinement(images, masks, iterations=0).requires_grad
    function = inspect.unwrap(pixel_adaptive_refinement)
    assert torch.equal(function(images, masks, dilations=np.array([1, 2])), function(images, masks, dilations=(1, 2)))


def test_smaller_masks_are_upsampled_with_aligned_corners() -> None:
    images, masks = smooth(1, 3, 24, 30, seed=7), smooth(1, 2, 7, 9, seed=8)
    upsampled = F.interpolate(masks, size=(24, 30), mode="bilinear", align_corners=True)
    assert torch.equal(pixel_adaptive_refinement(images, masks), pixel_adaptive_refinement(images, upsampled))


def test_half_precision_masks_keep_their_type_and_the_arguments_their_values() -> None:
    images, masks = smooth(1, 3, 16, 16, seed=9), smooth(1, 2, 16, 16, seed=10)
    kept = masks.clone()
    refined = pixel_adaptive_refinement(images.half(), masks.half())
    assert refined.dtype == torch.float16
    torch.testing.assert_close(refined.float(), pixel_adaptive_refinement(images, masks), atol=2e-2, rtol=0)
    pixel_adaptive_refinement(images, masks, iterations=0)
    assert torch.equal(masks, kept)


@pytest.mark.data
def test_masks_equal_the_recorded_cases(golden) -> None:
    cases = golden("afa_PAR")
    for case in range(int(cases["n_cases"])):
        images, masks, expected = (
            torch.from_numpy(cases[f"c{case}_{key}"]) for key in ("in_images", "in_masks", "out_masks")
        )
        result = pixel_adaptive_refinement(
            images,
            masks,
            dilations=cases[f"c{case}_p_dilations"].tolist(),
            iterations=int(cases[f"c{case}_p_num_iter"]),
        )
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)


def test_labels_equal_those_made_image_by_image_with_tagged_classes_only() -> None:
    images, cams = smooth(4, 3, 45, 38, seed=11), smooth(4, 4, 45, 38, seed=12)
    tags = torch.tensor([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    for downscale in (1, 2, 3):
        labels = refined_pseudo_labels(images, cams, tags, high=0.6, low=0.3, downscale=downscale)
        expected = plain_labels(images, cams, tags, 0.6, 0.3, downscale)
        assert labels.ne(expected).float().mean() <= 0.001
    assert labels.unique().tolist() == [0, 1, 2, 3, 4, 255]
    assert labels[2].eq(0).all()


def test_a_batch_without_any_tag_is_background_inside_its_boxes() -> None:
    images, cams = smooth(2, 3, 16, 20, seed=13), smooth(2, 3, 16, 20, seed=14)
    boxes = torch.tensor([[0, 16, 0, 20], [2, 10, 3, 15]])
    labels = refined_pseudo_labels(images, cams, torch.zeros(2, 3), high=0.7, low=0.25, boxes=boxes)
    assert labels[0].eq(0).all()
    assert labels[1, 2:10, 3:15].eq(0).all()
    assert labels[1].eq(255).sum() == 16 * 20 - 8 * 12


@pytest.mark.data
def test_labels_equal_the_recorded_cases(golden) -> None:
    cases = golden("toco_refine_cams_with_bkg_v2")
    for case in range(int(cases["n_cases"])):
        images, cams, tags, boxes = (
            torch.from_numpy(cases[f"c{case}_in_{key}"]) for key in ("images", "cams", "cls_labels", "img_box")
        )
        labels = refined_pseudo_labels(
            images,
            cams,
            tags,
            high=float(cases[f"c{case}_p_high_thre"]),
            low=float(cases[f"c{case}_p_low_thre"]),
            boxes=boxes,
            downscale=int(cases[f"c{case}_p_down_scale"]),
            dilations=cases[f"c{case}_p_par_dilations"].tolist(),
            iterations=int(cases[f"c{case}_p_par_num_iter"]),
        )
        expected = torch.from_numpy(cases[f"c{case}_out_refined_label"])
        assert labels.ne(expected).float().mean() <= 0.001


def test_shapes_and_ranges_are_checked_by_name() -> None:
    images, maps, tags = torch.rand(1, 3, 8, 8), torch.rand(1, 2, 8, 8), torch.tensor([[1, 0]])
    refine, label = (inspect.unwrap(function) for function in (pixel_adaptive_refinement, refined_pseudo_labels))
    for name, call in {
        "images": lambda: refine(images[0], maps),
        "masks": lambda: refine(images, maps.expand(2, -1, -1, -1)),
        "dilations": lambda: refine(images, maps, dilations=()),
        "iterations": lambda: refine(images, maps, iterations=-1),
        "cams": lambda: label(images, maps[0], tags, high=0.7, low=0.25),
        "image_labels": lambda: label(images, maps, tags[:, :1], high=0.7, low=0.25),
        "low and high": lambda: label(images, maps, tags, high=0.25, low=0.7),
        "downscale": lambda: label(images, maps, tags, high=0.7, low=0.25, downscale=9),
        "boxes": lambda: label(images, maps, tags, high=0.7, low=0.25, boxes=torch.tensor([[0, 9, 0, 8]])),
    }.items():
        with pytest.raises(ValueError, match=name):
            call()
