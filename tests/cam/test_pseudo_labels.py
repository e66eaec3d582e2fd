import inspect

import numpy as np
import pytest
import torch
from torch import Tensor

from medwsss.cam.pseudo_labels import argmax_cams, threshold_cams

THRESHOLDS = {"low": 0.25, "high": 0.75}


def row(*scores: float) -> Tensor:
    return torch.tensor(scores)[None, None, None]


def test_scores_up_to_low_are_background_up_to_high_ignored_and_above_the_class() -> None:
    labels = threshold_cams(row(0.0, 0.25, 0.26, 0.75, 0.76), torch.tensor([[1]]), **THRESHOLDS)
    assert labels.tolist() == [[[0, 0, 255, 255, 1]]]
    assert labels.dtype == torch.int64


def test_the_lower_class_wins_a_tie_and_untagged_classes_never_win() -> None:
    cams = torch.tensor([0.9, 0.9, 0.9, 1.0])[None, :, None, None]
    for tags, expected in ([[1, 1, 1, 0], 1], [[0, 1, 1, 0], 2], [[1, 1, 1, 1], 4], [[0, 0, 0, 0], 0]):
        assert threshold_cams(cams, torch.tensor([tags]), **THRESHOLDS).item() == expected
        assert argmax_cams(cams, torch.tensor([tags]), background=0.5).item() == expected


def test_pixels_outside_the_box_are_ignored_and_no_box_means_everywhere() -> None:
    cams = torch.full((3, 1, 3, 4), 0.9)
    boxes = torch.tensor([[0, 2, 1, 3], [0, 3, 0, 4], [1, 1, 0, 4]], dtype=torch.int16)
    labels = threshold_cams(cams, torch.tensor([[1], [0], [1]]), boxes=boxes, **THRESHOLDS)
    assert labels[0].tolist() == [[255, 1, 1, 255], [255, 1, 1, 255], [255, 255, 255, 255]]
    assert labels[1].eq(0).all()  # no tag: background
    assert labels[2].eq(255).all()  # empty box
    assert threshold_cams(cams, torch.ones(3, 1), **THRESHOLDS).eq(1).all()


def test_argmax_labels_are_background_up_to_the_threshold_and_never_ignored() -> None:
    assert argmax_cams(row(0.49, 0.5, 0.51), torch.tensor([[True]]), background=0.5).tolist() == [[[0, 0, 1]]]


def literal_labels(cams: np.ndarray, tags: np.ndarray, low: float, high: float) -> np.ndarray:
    """Pixel by pixel, as one would explain it."""
    batch, classes, height, width = cams.shape
    labels = np.zeros((batch, height, width), dtype=np.int64)
    for image, y, x in np.ndindex(batch, height, width):
        best, score = 0, 0.0
        for cls in range(classes):
            if tags[image, cls] and cams[image, cls, y, x] > score:
                best, score = cls + 1, cams[image, cls, y, x]
        labels[image, y, x] = 0 if score <= low else 255 if score <= high else best
    return labels


def test_thresholding_equals_a_pixel_by_pixel_implementation_on_random_maps() -> None:
    random = np.random.default_rng(0)
    cams = random.integers(0, 11, size=(3, 4, 5, 7)).astype(np.float32) / 10  # coarse, so that ties and edges occur
    tags = random.integers(0, 2, size=(3, 4))
    labels = threshold_cams(torch.from_numpy(cams), torch.from_numpy(tags), low=0.3, high=0.7)
    assert np.array_equal(labels.numpy(), literal_labels(cams, tags, np.float32(0.3), np.float32(0.7)))


@pytest.mark.data
def test_labels_equal_the_recorded_cases(golden) -> None:
    cases = golden("toco_cam_to_label")
    for case in range(int(cases["n_cases"])):
        cams, tags, expected = (
            torch.from_numpy(cases[f"c{case}_{key}"]) for key in ("in_cam", "in_cls_label", "out_pseudo_label")
        )
        if f"c{case}_in_img_box" in cases:
            thresholds = {key: float(cases[f"c{case}_p_{key}_thre"]) for key in ("low", "high")}
            boxes = torch.from_numpy(cases[f"c{case}_in_img_box"])
            labels = threshold_cams(cams, tags, boxes=boxes, **thresholds)
        else:
            labels = argmax_cams(cams, tags, background=float(cases[f"c{case}_p_bkg_thre"]))
        assert torch.equal(labels, expected.long())


@pytest.mark.parametrize(("low", "high"), [(0.8, 0.7), (-0.1, 0.7), (0.2, 1.1), (float("nan"), 0.7)])
def test_thresholds_out_of_order_or_range_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low and high"):
        threshold_cams(row(0.5), torch.tensor([[1]]), low=low, high=high)
    with pytest.raises(ValueError, match="background"):
        argmax_cams(row(0.5), torch.tensor([[1]]), background=-0.1)


@pytest.mark.parametrize("box", [[0, 2, 0, 1], [0, 1, -1, 1], [1, 0, 0, 1]])
def test_boxes_that_leave_the_image_or_run_backwards_are_refused(box: list[int]) -> None:
    with pytest.raises(ValueError, match="boxes"):
        threshold_cams(row(0.5, 0.5), torch.tensor([[1]]), boxes=torch.tensor([box]), **THRESHOLDS)


def test_boxes_of_wrong_shape_or_type_are_refused_by_name() -> None:
    function = inspect.unwrap(threshold_cams)
    for boxes in (torch.tensor([0, 1, 0, 1]), torch.tensor([[0, 1, 0, 1]] * 2), torch.tensor([[0.0, 1.0, 0.0, 1.0]])):
        with pytest.raises(ValueError, match="boxes"):
            function(row(0.5), torch.tensor([[1]]), boxes=boxes, **THRESHOLDS)
