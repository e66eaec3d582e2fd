import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from reports.example import baseline, evaluation, overlay

from medwsss.reports.figures import baseline_figure, dice_figure, overlay_figure, volume_figure


def pixels(png: bytes) -> np.ndarray:
    return imread(io.BytesIO(png), format="png")[..., :3]


def test_every_figure_is_a_wide_picture_with_something_on_it() -> None:
    found = evaluation(baseline("disc", 0.3, 0.1), baseline("motion", 0.6, -0.2))
    for png in (dice_figure(found), volume_figure(found), baseline_figure(found)):
        picture = pixels(png)
        assert picture.shape[1] > picture.shape[0] > 100
        assert picture.std() > 0.02


def test_volumes_without_phase_and_group_have_one_panel() -> None:
    found = evaluation()
    bare = replace(found, per_case=found.per_case.assign(phase="", group=""))
    assert pixels(dice_figure(bare)).shape == pixels(dice_figure(found)).shape


@pytest.mark.parametrize("image", [True, False])
def test_contours_are_drawn_with_and_without_an_image(image: bool) -> None:
    picture = pixels(overlay_figure(overlay("best", image=image), ("heart",)))
    red = (picture[..., 0] > 0.7) & (picture[..., 1] < 0.45) & (picture[..., 2] < 0.5)
    assert red.sum() > 100


def test_a_slice_without_any_label_is_drawn_too() -> None:
    shown = overlay("worst", image=True)
    empty = replace(shown.slices[0], prediction=np.zeros((40, 50), np.uint8), reference=np.zeros((40, 50), np.uint8))
    assert pixels(overlay_figure(replace(shown, slices=(empty,)), ("heart",))).size


def test_equal_evaluations_give_equal_pictures() -> None:
    assert dice_figure(evaluation()) == dice_figure(evaluation())
