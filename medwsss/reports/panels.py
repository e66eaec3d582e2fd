"""Pictures from a training run: slice, activation, uncertainty, pseudo-label and prediction side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from medwsss.labels import IGNORE

_IGNORED = 4
_LABEL_COLOURS = ListedColormap(["black", "#3b7dd8", "#e6a117", "#d64550", "#777777"])
"""Background, three classes, ignored."""
_COLUMNS = ("slice", "activation (CAM)", "uncertainty", "pseudo-label", "prediction")


@dataclass(frozen=True)
class Panel:
    """One slice and what the method makes of it; all maps have the slice's size."""

    title: str
    image: Float32[np.ndarray, "h w"]
    cam: Float32[np.ndarray, "h w"]
    uncertainty: Float32[np.ndarray, "h w"]
    pseudo_labels: Int64[np.ndarray, "h w"]
    prediction: Int64[np.ndarray, "h w"]


def write_panels(panels: Sequence[Panel], path: Path) -> None:
    """One row per slice; CAM and uncertainty in [0, 1], labels in colour over the slice, ignored pixels grey."""
    figure = Figure(figsize=(2.4 * len(_COLUMNS), 2.6 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(_COLUMNS), squeeze=False)
    for row, panel in zip(grid, panels, strict=True):
        for axis, name in zip(row, _COLUMNS, strict=True):
            axis.imshow(panel.image, cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
            axis.set_title(name, fontsize=8)
        row[0].set_title(panel.title, fontsize=8)
        row[1].imshow(panel.cam, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
        row[2].imshow(panel.uncertainty, cmap="viridis", vmin=0, vmax=1, alpha=0.6)
        for axis, labels in ((row[3], panel.pseudo_labels), (row[4], panel.prediction)):
            shown = np.where(labels == IGNORE, _IGNORED, labels)
            axis.imshow(np.ma.masked_equal(shown, 0), cmap=_LABEL_COLOURS, vmin=0, vmax=_IGNORED, alpha=0.55)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
