import pytest
import torch
from fakes.networks import Threshold

from medwsss.config.training import InferenceConfig
from medwsss.engine.views import predict_views, rotated


def test_a_flipped_view_is_flipped_back_before_averaging() -> None:
    images = torch.rand(1, 3, 16, 16)
    averaged = predict_views(Threshold(), images, None, inference=InferenceConfig(flip=True))
    torch.testing.assert_close(averaged.probs[:, 1:], images[:, :1])


@pytest.mark.parametrize("shape", [(16, 16), (20, 28)])
def test_a_turned_view_is_turned_back_before_averaging(shape: tuple[int, int]) -> None:
    """A smooth blob keeps its place and, but for two interpolations, its values."""
    rows, columns = torch.meshgrid(*(torch.arange(side) - side / 2 for side in shape), indexing="ij")
    blob = torch.exp(-((rows - 1) ** 2 + (columns + 2) ** 2) / 12).expand(1, 3, *shape)
    averaged = predict_views(Threshold(), blob, None, inference=InferenceConfig(flip=True, rotations=(30.0, -15.0)))
    torch.testing.assert_close(averaged.probs[:, 1:], blob[:, :1], atol=0.08, rtol=0)


def test_a_quarter_turn_moves_the_last_column_to_the_top() -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    expected = torch.tensor([[2.0, 5.0, 8.0], [1.0, 4.0, 7.0], [0.0, 3.0, 6.0]])
    torch.testing.assert_close(rotated(image, 90.0, padding="zeros")[0, 0], expected)


def test_a_turn_is_rigid_on_pixels_whatever_the_aspect() -> None:
    """45 degrees take the pixel two to the right of the centre to the diagonal, at the same distance."""
    image = torch.zeros(1, 1, 9, 17)
    image[0, 0, 4, 8 + 3] = 1.0
    turned = rotated(image, 45.0, padding="zeros")[0, 0]
    row, column = divmod(int(turned.argmax()), 17)
    assert (row - 4, column - 8) == (-2, 2)


def test_no_rotation_is_bit_equal() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert rotated(images, 0.0, padding="zeros") is images
