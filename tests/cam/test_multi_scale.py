import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from medwsss.cam.multi_scale import multi_scale_cams


def test_one_scale_is_the_maximum_of_both_flips_minus_minimum_over_maximum() -> None:
    images = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]])

    def score_maps(batch: Tensor) -> tuple[Tensor, ...]:
        return (batch * torch.tensor([1.0, 0.0]),)  # scores the left column only

    # The image scores [[1, 0], [3, 0]]; its mirror image scores [[2, 0], [5, 0]], mirrored back [[0, 2], [0, 5]].
    expected = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]]).sub(1) / (4 + 1e-5)
    (cams,) = multi_scale_cams(score_maps, images, scales=(1,))
    torch.testing.assert_close(cams, expected)


@pytest.mark.parametrize("scales", [(), (1.0,), (0.5, 1.0, 1.5), (0.5, 1.5), (1, 0.5, 1.0, 1.5)])
def test_scale_one_runs_first_and_once_whether_listed_or_not(scales: tuple[float, ...]) -> None:
    sizes: list[tuple[int, ...]] = []

    def score_maps(batch: Tensor) -> tuple[Tensor, ...]:
        sizes.append(tuple(batch.shape))
        return (batch[:, :1],)

    multi_scale_cams(score_maps, torch.rand(2, 3, 10, 13), scales=scales)
    others = [(4, 3, int(10 * scale), int(13 * scale)) for scale in scales if scale != 1]
    assert sizes == [(4, 3, 10, 13), *others]


def test_scales_may_be_an_array() -> None:
    images, scales = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0)), (1.0, 0.5, 1.5)
    expected = multi_scale_cams(lambda batch: (batch,), images, scales=scales)
    for array in (np.array(scales, dtype=np.float32), torch.tensor(scales)):
        (cams,) = inspect.unwrap(multi_scale_cams)(lambda batch: (batch,), images, scales=array)
        assert torch.equal(cams, expected[0])


def test_a_mirrored_image_gets_mirrored_cams() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 32, 48, generator=generator)
    kernel = torch.randn(4, 3, 8, 8, generator=generator)

    def score_maps(batch: Tensor) -> tuple[Tensor, ...]:
        return (F.conv2d(batch, kernel, stride=8),)

    (cams,) = multi_scale_cams(score_maps, images, scales=(1, 0.5))
    (mirrored,) = multi_scale_cams(score_maps, images.flip(-1), scales=(1, 0.5))
    torch.testing.assert_close(mirrored, cams.flip(-1), atol=1e-5, rtol=1e-4)


def test_every_head_answers_at_image_size_without_gradient() -> None:
    weight = torch.ones(1, requires_grad=True)

    def score_maps(batch: Tensor) -> tuple[Tensor, ...]:
        coarse = F.adaptive_avg_pool2d(batch, (2, 3))
        return coarse * weight, F.interpolate(coarse[:, :1], size=(40, 40))

    first, second = multi_scale_cams(score_maps, torch.rand(2, 3, 9, 17), scales=(1, 0.75))
    assert first.shape == (2, 3, 9, 17)
    assert second.shape == (2, 1, 9, 17)
    assert not first.requires_grad


@pytest.mark.data
def test_both_heads_equal_the_recorded_cases(golden) -> None:
    cases = golden("toco_multi_scale_cam2")
    for case in range(int(cases["n_cases"])):
        weights = {key.split("_in_w_")[1]: torch.from_numpy(cases[key]) for key in cases if f"c{case}_in_w_" in key}

        def score_maps(batch: Tensor, weights: dict[str, Tensor] = weights) -> tuple[Tensor, ...]:
            features = F.conv2d(batch, weights["p_weight"], weights["p_bias"], stride=16).relu()
            final = F.conv2d(features, weights["q_weight"], weights["q_bias"], padding=1)
            return F.conv2d(final, weights["c_weight"]), F.conv2d(features, weights["a_weight"])

        images = torch.from_numpy(cases[f"c{case}_in_inputs"])
        result = multi_scale_cams(score_maps, images, scales=cases[f"c{case}_p_scales"].tolist())
        for cams, name in zip(result, ("cam", "cam_aux"), strict=True):
            torch.testing.assert_close(cams, torch.from_numpy(cases[f"c{case}_out_{name}"]), atol=1e-5, rtol=1e-4)


def test_a_scale_that_would_leave_no_pixel_leaves_one() -> None:
    sizes = []

    def score_maps(batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        sizes.append(tuple(batch.shape[2:]))
        return (batch,)

    multi_scale_cams(score_maps, torch.rand(1, 3, 1, 5), scales=(0.5, 0.05))
    assert sizes == [(1, 5), (1, 2), (1, 1)]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_no_magnification_are_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scales"):
        multi_scale_cams(lambda batch: (batch,), torch.rand(1, 3, 8, 8), scales=(scale,))


def test_images_and_score_maps_of_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="images"):
        inspect.unwrap(multi_scale_cams)(lambda batch: (batch,), torch.rand(3, 8, 8), scales=(1,))
    with pytest.raises(ValueError, match="score_maps"):
        multi_scale_cams(lambda batch: (batch[:1],), torch.rand(1, 3, 8, 8), scales=(1,))


def test_score_maps_that_are_known_already_stand_for_the_straight_view() -> None:
    images, sizes = torch.rand(2, 3, 8, 10, generator=torch.Generator().manual_seed(0)), []

    def score_maps(batch: torch.Tensor) -> tuple[torch.Tensor]:
        sizes.append(len(batch))
        return (batch[:, :2] - 0.5 + 0.1 * torch.arange(batch.shape[-1]),)  # not the same for a mirror image

    (plain,) = multi_scale_cams(score_maps, images, scales=(1, 0.5))
    known = score_maps(images)
    sizes.clear()
    (shared,) = multi_scale_cams(score_maps, images, scales=(1, 0.5), straight=known)
    assert torch.equal(shared, plain)
    assert sizes == [2, 4]
