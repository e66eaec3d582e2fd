from pathlib import Path

import numpy as np
from matplotlib.image import imread

from medwsss.reports.panels import Panel, _coloured, write_panels


def test_ignored_pixels_look_like_no_class_and_background_is_clear() -> None:
    colours = _coloured(np.arange(81).reshape(9, 9))
    ignored = _coloured(np.full((1, 1), 255))[0, 0]
    assert colours[0, 0, 3] == 0
    assert not (colours[..., :3] == ignored[:3]).all(axis=-1).any()


def test_a_row_for_every_image(tmp_path: Path) -> None:
    maps, labels = np.zeros((8, 6), np.float32), np.zeros((8, 6), np.int64)
    panel = Panel("2007_000032: aeroplane, person", np.zeros((8, 6, 3), np.float32), maps, maps, labels, labels)
    write_panels([panel], tmp_path / "one.png")
    write_panels([panel, panel], tmp_path / "two.png")
    assert imread(tmp_path / "two.png").shape[0] > 1.8 * imread(tmp_path / "one.png").shape[0]
