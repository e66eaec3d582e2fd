"""Pictures from a training run: image, activation, uncertainty, pseudo-label and prediction side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int64
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from medwsss.labels import BACKGROUND, IGNORE
from medwsss.reports.figures import write_png

_CODES = ("3b7dd8", "e6a117", "d64550", "2d9d78", "8e5bc4", "5bc0de", "b5651d", "e377c2", "bcbd22", "17becf")
_CLASS_COLOURS = np.array([to_rgb(f"#{code}") for code in _CODES])
"""Of classes 1, 2, …; with more classes than colours they begin again."""
_IGNORED_COLOUR = to_rgb("#777777")
_OPACITY = 0.55
_COLUMNS = ("image", "activation (CAM)", "uncertainty", "pseudo-label", "prediction")


@dataclass(frozen=True)
class Panel:
    """One image and what the method makes of it; all maps have the image's size."""

    title: str
    image: Float32[np.ndarray, "h w 3"]
    """RGB in [0, 1]."""
    cam: Float32[np.ndarray, "h w"]
    uncertainty: Float32[np.ndarray, "h w"]
    pseudo_labels: Int64[np.ndarray, "h w"]
    prediction: Int64[np.ndarray, "h w"]


def write_panels(panels: Sequence[Panel], path: Path) -> None:
    """One row per image; CAM and uncertainty in [0, 1], labels in colour over the image, ignored pixels grey."""
    figure = Figure(figsize=(2.4 * len(_COLUMNS), 2.6 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(_COLUMNS), squeeze=False)
    for row, panel in zip(grid, panels, strict=True):
        for axis, name in zip(row, _COLUMNS, strict=True):
            axis.imshow(panel.image)
            axis.set_axis_off()
            axis.set_title(name, fontsize=8)
        row[0].set_title(panel.title, fontsize=8)
        row[1].imshow(panel.cam, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
        row[2].imshow(panel.uncertainty, cmap="viridis", vmin=0, vmax=1, alpha=0.6)
        for axis, labels in ((row[3], panel.pseudo_labels), (row[4], panel.prediction)):
            axis.imshow(_coloured(labels))
    write_png(figure, path, dpi=80)


def _coloured(labels: Int64[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 4"]:
    """RGBA of a label map: background is transparent."""
    rgb = _CLASS_COLOURS[(labels - 1) % len(_CLASS_COLOURS)]
    rgb[labels == IGNORE] = _IGNORED_COLOUR
    return np.dstack([rgb, np.where(labels == BACKGROUND, 0.0, _OPACITY)])
