import inspect
from functools import partial

import pytest
import torch
from torch import Tensor

from medwsss.refinement.crf import dense_crf
from medwsss.refinement.response_scaling import response_scaling_weights

SCALES = (0.15, 0.2, 0.25, 4.0, 5.0, 6.0)


def test_a_pixel_that_flips_at_half_of_the_scales_gets_no_weight_and_a_certain_one_full_weight() -> None:
    background = torch.tensor([[0.95, 0.45, 0.0]])
    probs = torch.stack([background, 1 - background])
    # Left: 0.05^0.15 = 0.64 < 0.95 and 0.95^6 = 0.74 > 0.05: never flips. Middle: class 0.55^4 = 0.09 loses against
    # 0.45 at the three large scales: the greatest variance, so U = v / (v + 1e-6). Right: never flips.
    variance = 6 * 0.25 / 5
    expected = [1.0, 1 - variance / (variance + 1e-6), 1.0]
    assert response_scaling_weights(probs, scales=SCALES).flatten().tolist() == pytest.approx(expected, abs=1e-7)


def test_channels_that_win_nowhere_take_no_part() -> None:
    generator = torch.Generator().manual_seed(0)
    probs = torch.randn(3, 8, 9, generator=generator).softmax(dim=0)
    loser = probs.amin(dim=0, keepdim=True) * 0.999
    with_loser = torch.cat([probs[:1], loser, probs[1:]])
    assert torch.equal(
        response_scaling_weights(with_loser, scales=SCALES), response_scaling_weights(probs, scales=SCALES)
    )


def test_a_prediction_that_never_flips_has_weight_one_everywhere() -> None:
    probs = torch.stack([torch.full((4, 5), 0.999), torch.full((4, 5), 0.001)])
    assert response_scaling_weights(probs, scales=SCALES).eq(1).all()


def test_refinement_sees_the_present_channels_of_every_class_and_scale() -> None:
    seen: list[Tensor] = []

    def refine(scaled: Tensor) -> Tensor:
        seen.append(scaled)
        return scaled

    probs = torch.tensor([[[0.6, 0.3]], [[0.1, 0.1]], [[0.3, 0.6]]])
    plain = response_scaling_weights(probs, scales=(0.5, 2.0))
    assert torch.equal(response_scaling_weights(probs, scales=(0.5, 2.0), refine=refine), plain)
    assert len(seen) == 2 * 2
    torch.testing.assert_close(seen[1], torch.stack([probs[0] ** 2, probs[2]]))
    torch.testing.assert_close(seen[2], torch.stack([probs[0], probs[2] ** 0.5]))


@pytest.mark.parametrize("levels", [3, 1000])
def test_comparing_with_the_rivals_gives_the_arg_max_of_every_scaled_map_even_where_channels_tie(levels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    probs = torch.randint(0, levels + 1, (5, 30, 31), generator=generator) / levels  # few levels: many equal channels
    every = response_scaling_weights(probs, scales=SCALES, refine=lambda scaled: scaled)
    assert torch.equal(response_scaling_weights(probs, scales=SCALES), every)


@pytest.mark.data
@pytest.mark.parametrize("with_crf", [False, True])
def test_weights_equal_the_recorded_cases(golden, with_crf: bool) -> None:
    cases = golden("urn_uncertainty_weight_map")
    for case in range(int(cases["n_cases"])):
        image, probs = (torch.from_numpy(cases[f"c{case}_in_{key}"]) for key in ("img", "probs"))
        crf = partial(dense_crf, image, gaussian_weight=3, bilateral_xy=67, bilateral_rgb=3)
        weights = response_scaling_weights(
            probs, scales=cases[f"c{case}_p_scales"].tolist(), refine=crf if with_crf else None
        )
        expected = torch.from_numpy(cases[f"c{case}_out_{'with' if with_crf else 'no'}_crf_weight"])
        different = (255 * weights).floor().ne(expected).float().mean()
        assert different <= 0.001


def test_probabilities_of_16_bits_are_not_rounded_once_more_by_the_power() -> None:
    probs = torch.randn(4, 40, 40, generator=torch.Generator().manual_seed(0)).softmax(dim=0).half()
    weights = response_scaling_weights(probs, scales=SCALES)
    assert weights.dtype == torch.float16
    torch.testing.assert_close(
        weights.float(), response_scaling_weights(probs.float(), scales=SCALES), atol=1e-3, rtol=0
    )


def test_inputs_out_of_range_are_refused_by_name() -> None:
    probs = torch.rand(2, 3, 3)
    for scales in ((), (1.0,), (1.0, 0.0), (1.0, -2.0)):
        with pytest.raises(ValueError, match="scales"):
            response_scaling_weights(probs, scales=scales)
    with pytest.raises(ValueError, match="probs"):
        response_scaling_weights(probs + 1, scales=SCALES)
    with pytest.raises(ValueError, match="probs"):
        inspect.unwrap(response_scaling_weights)(probs[None], scales=SCALES)
