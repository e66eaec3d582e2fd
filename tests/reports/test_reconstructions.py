from pathlib import Path

import numpy as np
from matplotlib.image import imread

from medwsss.reports.reconstructions import ReconstructionPanel, write_reconstructions


def test_a_row_for_every_image_and_the_folder_is_made(tmp_path: Path) -> None:
    seen = np.zeros((8, 8, 3), np.float32)
    panel = ReconstructionPanel("patient001 ED slice 3", np.zeros((8, 6, 3), np.float32), seen, seen)
    write_reconstructions([panel], tmp_path / "new" / "one.png")
    write_reconstructions([panel, panel], tmp_path / "new" / "two.png")
    assert imread(tmp_path / "new" / "two.png").shape[0] > 1.8 * imread(tmp_path / "new" / "one.png").shape[0]
