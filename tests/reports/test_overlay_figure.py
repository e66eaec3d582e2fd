from dataclasses import replace

import numpy as np
import pytest
from reports.example import overlay, pixels

from medwsss.metrics.results import Overlay
from medwsss.reports.overlay_figure import MAPS_CAPTION, maps_caption, overlay_figure

RAMP = np.linspace(0, 1, 2000, dtype=np.float32).reshape(40, 50)


def with_maps(shown: Overlay, **maps: np.ndarray) -> Overlay:
    return replace(shown, slices=tuple(replace(piece, **maps) for piece in shown.slices))


@pytest.mark.parametrize("image", [True, False])
def test_contours_are_drawn_with_and_without_an_image(image: bool) -> None:
    picture = pixels(overlay_figure(overlay("best", image=image), ("heart",)))
    red = (picture[..., 0] > 0.7) & (picture[..., 1] < 0.45) & (picture[..., 2] < 0.5)
    assert red.sum() > 100


def test_a_slice_without_any_label_is_drawn_too() -> None:
    shown = overlay("worst", image=True)
    empty = replace(shown.slices[0], prediction=np.zeros((40, 50), np.uint8), reference=np.zeros((40, 50), np.uint8))
    assert pixels(overlay_figure(replace(shown, slices=(empty,)), ("heart",))).size


def test_every_map_adds_a_row() -> None:
    shown = overlay("best", image=True)
    shapes = [
        pixels(overlay_figure(with_maps(shown, **maps), ("heart",))).shape
        for maps in ({}, {"uncertainty": RAMP}, {"uncertainty": RAMP, "cam": RAMP})
    ]
    heights = [height / width for height, width, _ in shapes]
    assert heights[2] - heights[1] == pytest.approx(heights[1] - heights[0], abs=0.005)
    assert heights[1] - heights[0] == pytest.approx(1 / 4, abs=0.005)  # square slices, four abreast


def test_high_uncertainty_is_yellow_and_high_activation_pale() -> None:
    """The ends of viridis, (0.99, 0.91, 0.14), and of inferno, (0.99, 1.00, 0.64), over black."""
    black = np.zeros((40, 50), np.float32)
    shown = replace(overlay("best", image=True), slices=(replace(overlay("best", image=True).slices[0], image=black),))
    ones = np.ones((40, 50), np.float32)
    for name, blue in (("uncertainty", 0.14), ("cam", 0.64)):
        picture = pixels(overlay_figure(with_maps(shown, **{name: ones}), ("heart",)))
        row = picture[picture.shape[0] // 2 :]
        colours, counts = np.unique(np.round(row.reshape(-1, 3), 2), axis=0, return_counts=True)
        common = colours[counts.argsort()[::-1]]
        tinted = next(colour for colour in common if colour.max() - colour.min() > 0.1)
        assert tinted[2] == pytest.approx(0.6 * blue, abs=0.02)


def test_a_slice_without_the_map_that_another_has_keeps_its_place() -> None:
    shown = overlay("best", image=True)
    first, second = shown.slices
    mixed = replace(shown, slices=(replace(first, cam=RAMP), second))
    assert pixels(overlay_figure(mixed, ("heart",))).shape == pixels(
        overlay_figure(with_maps(shown, cam=RAMP), ("heart",))
    ).shape  # fmt: skip


def test_the_caption_speaks_of_maps_only_where_a_picture_has_them() -> None:
    shown = overlay("best", image=True)
    assert maps_caption((shown,)) == ""
    assert maps_caption((shown, with_maps(shown, cam=RAMP))) == MAPS_CAPTION
