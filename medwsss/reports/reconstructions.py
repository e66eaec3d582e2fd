"""Pictures from pretraining: image, what is seen of it, and what is made of the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from matplotlib.figure import Figure

from medwsss.reports.figures import write_png

_COLUMNS = ("image", "masked", "reconstruction")


@dataclass(frozen=True)
class ReconstructionPanel:
    """One image, RGB in [0, 1]; image and the others may differ in size by part of a patch."""

    title: str
    image: Float32[np.ndarray, "h w 3"]
    masked: Float32[np.ndarray, "p q 3"]
    filled: Float32[np.ndarray, "p q 3"]


def write_reconstructions(panels: Sequence[ReconstructionPanel], path: Path) -> None:
    """One row per image; the folder is made where it is missing."""
    figure = Figure(figsize=(2.4 * len(_COLUMNS), 2.6 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(_COLUMNS), squeeze=False)
    for row, panel in zip(grid, panels, strict=True):
        for axis, name, image in zip(row, _COLUMNS, (panel.image, panel.masked, panel.filled), strict=True):
            axis.imshow(image)
            axis.set_axis_off()
            axis.set_title(name, fontsize=8)
        row[0].set_title(panel.title, fontsize=8)
    write_png(figure, path, dpi=80)
