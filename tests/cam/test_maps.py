import inspect

import pytest
import torch

from medwsss.cam.maps import keep_tagged, max_normalised, min_max_normalised, reweighted_cams


def test_min_max_normalisation_subtracts_the_minimum_and_divides_by_the_range_plus_epsilon() -> None:
    maps = torch.tensor([[[[1.0, 3.0], [5.0, 1.0]]]])
    expected = torch.tensor([[[[0.0, 2.0], [4.0, 0.0]]]]) / (4 + 1e-5)
    torch.testing.assert_close(min_max_normalised(maps), expected)


def test_min_max_normalisation_of_a_constant_map_is_zero_and_maps_do_not_mix() -> None:
    maps = torch.stack([torch.full((2, 2), 7.0), torch.tensor([[0.0, 1e3], [0.0, 0.0]])])[None]
    normalised = min_max_normalised(maps)
    assert normalised[0, 0].eq(0).all()
    assert normalised[0, 1].max() == pytest.approx(1.0)


def test_max_normalisation_cuts_negative_scores_before_it_takes_the_minimum() -> None:
    maps = torch.tensor([[[[-3.0, 0.5], [2.0, 1.0]]]])
    expected = torch.tensor([[[[0.0, 0.5 - 1e-5], [2.0 - 1e-5, 1.0 - 1e-5]]]]) / (2.0 + 1e-5)
    torch.testing.assert_close(max_normalised(maps), expected)


@pytest.mark.data
def test_max_normalisation_equals_the_recorded_cases(golden) -> None:
    cases = golden("hfpl_max_norm")
    for case in range(int(cases["n_cases"])):
        maps, expected = (torch.from_numpy(cases[f"c{case}_{key}"]) for key in ("in_p", "out_out"))
        result = max_normalised(maps, epsilon=float(cases[f"c{case}_p_e"]))
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-4)


def test_keep_tagged_zeroes_the_maps_of_untagged_classes_only_even_where_they_are_nan() -> None:
    cams = torch.tensor([[[[0.3]], [[torch.nan]]], [[[0.1]], [[0.2]]]])
    kept = keep_tagged(cams, torch.tensor([[1, 0], [1, 1]]))
    assert kept.flatten().tolist() == pytest.approx([0.3, 0.0, 0.1, 0.2])


def test_keep_tagged_refuses_tags_that_are_not_multi_hot() -> None:
    with pytest.raises(ValueError, match="image_labels"):
        keep_tagged(torch.rand(1, 2, 3, 3), torch.tensor([[0.5, 1.0]]))
    with pytest.raises(ValueError, match="image_labels"):
        inspect.unwrap(keep_tagged)(torch.rand(1, 2, 3, 3), torch.ones(1, 3))


def test_reweighted_cams_keep_scores_above_the_threshold_and_drop_scores_at_it() -> None:
    cams = torch.tensor([[[[0.69, 0.5, 0.75, 0.0]]]])
    assert reweighted_cams(cams, 0.5).flatten().tolist() == pytest.approx([0.69, 0.0, 0.75, 0.0])


def test_maps_that_are_not_float_batches_are_refused_by_name() -> None:
    for function in (min_max_normalised, max_normalised):
        with pytest.raises(ValueError, match="maps"):
            inspect.unwrap(function)(torch.rand(2, 3, 3))
    with pytest.raises(ValueError, match="cams"):
        inspect.unwrap(reweighted_cams)(torch.ones(1, 1, 2, 2, dtype=torch.int64), 0.5)


def test_normalisation_inside_a_box_is_that_of_the_box_alone() -> None:
    maps = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    inside = torch.zeros(2, 4, 6, dtype=torch.bool)
    inside[:, 1:3, 2:5] = True
    normalised = min_max_normalised(maps, inside=inside)
    torch.testing.assert_close(normalised[..., 1:3, 2:5], min_max_normalised(maps[..., 1:3, 2:5]))
    assert normalised.masked_fill(inside[:, None], 0.0).abs().max() == 0
