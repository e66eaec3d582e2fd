"""All slices of a study with their numbers, for a person who writes down what each of them shows."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from matplotlib.figure import Figure

from medwsss.errors import OutputError
from medwsss.reports.figures import DPI, write_png

_COLUMNS = 6
_INCHES = 1.8


def write_slice_sheet(slices: Float32[np.ndarray, "n h w"], path: Path, *, title: str) -> None:
    """One picture of all slices, each under its number, counted from 0 as in the tables of tags.

    Raises:
        OutputError: the picture cannot be written.
    """
    columns = min(_COLUMNS, len(slices))
    rows = math.ceil(len(slices) / columns)
    figure = Figure(figsize=(_INCHES * columns, (_INCHES + 0.25) * rows + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for number, axis in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axis.set_axis_off()
        if number < len(slices):
            axis.imshow(slices[number], cmap="gray", vmin=0.0, vmax=1.0)
            axis.set_title(f"slice {number}", fontsize=8)
    try:
        write_png(figure, path, dpi=DPI)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose a writable folder") from error
