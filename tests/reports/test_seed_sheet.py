from pathlib import Path

import numpy as np
import pytest

from medwsss.errors import OutputError
from medwsss.reports.seed_sheet import SHOWN_SLICES, SeedTile, block_of, sheet, write_sheets

PHASES, CLASSES = ("ED", "ES"), ("RV", "MYO", "LV")
IMAGE = np.full((5, 100, 80), 0.5, np.float32)


def tile(name: str = "patient001", *, off: bool = False) -> SeedTile:
    labels = np.zeros(IMAGE.shape, np.uint8)
    labels[:, 60:70, 20:30] = 3
    reasons = ("nothing moves",) if off else ()
    return SeedTile(name, (IMAGE, IMAGE), ((np.full_like(labels, 255) if off else labels),) * 2, reasons)


def test_a_block_has_a_row_for_each_phase_and_is_centred_on_the_labels() -> None:
    picture, labels = block_of(tile(), 1.5)
    side = picture.shape[0] // 2
    assert picture.shape == labels.shape == (2 * side, len(SHOWN_SLICES) * side)
    for row in range(2):
        for column in range(len(SHOWN_SLICES)):
            piece = labels[row * side : (row + 1) * side, column * side : (column + 1) * side]
            assert np.argwhere(piece == 3).mean(axis=0) == pytest.approx([(side - 1) / 2] * 2, abs=1.0)


def test_what_was_left_out_has_no_contours_and_says_why() -> None:
    assert not block_of(tile(off=True), 1.5)[1].any()
    figure = sheet([tile(off=True)], phases=PHASES, classes=CLASSES, spacing_mm=1.5)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"patient001", "prior off", "nothing moves", "ED", "ES"} <= texts
    assert not figure.axes[0].collections
    assert sheet([tile()], phases=PHASES, classes=CLASSES, spacing_mm=1.5).axes[0].collections


def test_25_patients_take_two_pages_and_24_take_one(tmp_path: Path) -> None:
    tiles = [tile(f"patient{number:03d}") for number in range(25)]
    options = {"phases": PHASES, "classes": CLASSES, "spacing_mm": 1.5}
    assert [page.name for page in write_sheets(tiles, tmp_path, **options)] == ["sheet-1.png", "sheet-2.png"]
    assert [page.name for page in write_sheets(tiles[:24], tmp_path, **options)] == ["sheet.png"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    with pytest.raises(OutputError, match=r"cannot write .*sheet\.png"):
        write_sheets([tile()], tmp_path / "none", phases=PHASES, classes=CLASSES, spacing_mm=1.5)
