import inspect

import pytest
import torch

from medwsss.boxes import inside_boxes

LABELS = torch.zeros(2, 2, 3, dtype=torch.int64)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_a_box_holds_its_top_left_and_not_its_bottom_right(dtype: torch.dtype) -> None:
    boxes = torch.tensor([[0, 1, 1, 3], [1, 1, 0, 3]], dtype=dtype)
    assert inside_boxes(boxes, LABELS).int().tolist() == [[[0, 1, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]


def test_without_boxes_everything_is_inside() -> None:
    inside = inside_boxes(None, LABELS)
    assert inside.shape == LABELS.shape
    assert inside.all()


@pytest.mark.parametrize("box", [[0, 3, 0, 3], [0, 2, -1, 3], [1, 0, 0, 3], [0, 2, 2, 1]])
def test_boxes_that_leave_the_image_or_run_backwards_are_refused(box: list[int]) -> None:
    with pytest.raises(ValueError, match="boxes"):
        inside_boxes(torch.tensor([box, box]), LABELS)


def test_boxes_of_another_shape_or_type_are_refused() -> None:
    for boxes in (torch.zeros(2, 4), torch.zeros(1, 4).long(), torch.zeros(2, 3).long(), torch.zeros(2, 4).bool()):
        with pytest.raises(ValueError, match="boxes"):
            inspect.unwrap(inside_boxes)(boxes, LABELS)
