from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from medwsss.errors import OutputError
from medwsss.reports import slice_sheet
from medwsss.reports.figures import write_png
from medwsss.reports.slice_sheet import write_slice_sheet


@pytest.mark.parametrize("count", [1, 6, 7])
def test_every_slice_stands_under_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    drawn: list[Figure] = []

    def watched(figure: Figure, path: Path, *, dpi: int) -> None:
        drawn.append(figure)
        write_png(figure, path, dpi=dpi)

    monkeypatch.setattr(slice_sheet, "write_png", watched)
    slices = np.linspace(0.0, 1.0, count, dtype=np.float32)[:, None, None] * np.ones((count, 8, 9), np.float32)
    write_slice_sheet(slices, tmp_path / "pictures" / "P1.png", title="P1")
    shown = [axis for axis in drawn[0].axes if axis.images]
    assert [axis.get_title() for axis in shown] == [f"slice {number}" for number in range(count)]
    for number, axis in enumerate(shown):
        np.testing.assert_array_equal(axis.images[0].get_array(), slices[number])
    assert (tmp_path / "pictures" / "P1.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose a writable folder"):
        write_slice_sheet(np.zeros((1, 4, 4), np.float32), tmp_path / "file" / "P1.png", title="P1")
