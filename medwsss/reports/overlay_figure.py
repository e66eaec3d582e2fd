"""The pictures of single cases: contours on a few slices, and what the method saw there."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from medwsss.metrics.results import Overlay, OverlaySlice
from medwsss.reports.figures import DPI, INK, class_colours, panels, png

REFERENCE_COLOUR = "#ffffff"
MAP_COLOURS: Mapping[str, str] = {"uncertainty": "viridis", "cam": "inferno"}
"""Field of a slice -> colours of its row, as in the pictures of a training run."""
MAP_TITLES: Mapping[str, str] = {"uncertainty": "uncertainty", "cam": "activation (CAM)"}
MAPS_CAPTION = (
    "Below the contours, from 0 to 1, with the prediction in white: uncertainty, and activation (CAM), the largest "
    "over the classes; a method that learned pixels has its probability in the place of activation."
)
_OPACITY = 0.6
_DPI_OF_MAPS = 120
"""Maps are smooth, and a page may hold many of these pictures."""
_LEAST_COLUMNS = 4
"""Fewer slices leave room beside them rather than being drawn larger."""
_CROP_MM = 130.0
"""Smallest side of the field shown around the structures."""


def maps_of(overlay: Overlay) -> tuple[str, ...]:
    """Fields of its slices that hold a map."""
    return tuple(name for name in MAP_COLOURS if any(getattr(piece, name) is not None for piece in overlay.slices))


def maps_caption(overlays: Sequence[Overlay]) -> str:
    """What the rows below the contours are; empty where no picture has any."""
    return MAPS_CAPTION if any(map(maps_of, overlays)) else ""


def overlay_figure(overlay: Overlay, classes: Sequence[str]) -> bytes:
    """Slices of one case: reference contours in white, predicted contours in the colour of their class.

    Below them, where the slices have maps, a row for each over the image.
    """
    maps, columns = maps_of(overlay), max(_LEAST_COLUMNS, len(overlay.slices))
    figure, axes = panels(1 + len(maps), columns, size=(10.0, (1 + len(maps)) * 10.0 / columns + 0.15))
    rows = [axes[start : start + len(overlay.slices)] for start in range(0, len(axes), columns)]
    for axis in {*axes} - {axis for row in rows for axis in row}:
        axis.remove()
    field = _field(overlay.slices)
    for axis, piece in zip(rows[0], overlay.slices, strict=True):
        _draw_slice(axis, piece, field)
        for label, colour in enumerate(class_colours(classes).values(), start=1):
            _contour(axis, piece.reference[field] == label, REFERENCE_COLOUR, 1.5)
            _contour(axis, piece.prediction[field] == label, colour, 1.3)
    for name, row in zip(maps, rows[1:], strict=True):
        for axis, piece in zip(row, overlay.slices, strict=True):
            _draw_slice(axis, piece, field)
            _draw_map(axis, piece, name, field)
    if maps:
        for title, row in zip(("contours", *map(MAP_TITLES.__getitem__, maps)), rows, strict=True):
            row[0].set_ylabel(title, color=INK, fontsize=9)
    return png(figure, dpi=_DPI_OF_MAPS if maps else DPI)


def _draw_slice(axis: Axes, piece: OverlaySlice, field: tuple[slice, slice]) -> None:
    row_mm, column_mm = piece.pixel_mm
    height, width = piece.reference[field].shape
    if piece.image is None:
        axis.set_facecolor("#3e4c59")
    else:
        axis.imshow(
            piece.image[field], cmap="gray", vmin=0, vmax=1, extent=_extent(height, width), interpolation="bilinear"
        )
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[], aspect=row_mm / column_mm)
    axis.grid(visible=False)
    bar = 50.0 / column_mm
    axis.plot([width - 3 - bar, width - 3], [height - 4, height - 4], color="white", linewidth=2, solid_capstyle="butt")
    title = axis.text(0.03, 0.97, f"slice {piece.index}", transform=axis.transAxes, color="white", fontsize=8, va="top")
    title.set_path_effects([withStroke(linewidth=2.0, foreground="#000000aa")])


def _draw_map(axis: Axes, piece: OverlaySlice, name: str, field: tuple[slice, slice]) -> None:
    """The map over the image, from 0 to 1, and the prediction."""
    values = getattr(piece, name)
    if values is not None:
        height, width = piece.prediction[field].shape
        axis.imshow(
            values[field], cmap=MAP_COLOURS[name], vmin=0, vmax=1, alpha=_OPACITY, extent=_extent(height, width),
            interpolation="bilinear",
        )  # fmt: skip
    for label in np.unique(piece.prediction[field]):
        if label:
            _contour(axis, piece.prediction[field] == label, "white", 0.8)


def _extent(height: int, width: int) -> tuple[float, float, float, float]:
    return (-0.5, width - 0.5, height - 0.5, -0.5)


def _contour(axis: Axes, mask: Bool[np.ndarray, "h w"], colour: str, width: float) -> None:
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(np.float32)
    grid = [np.arange(length) - 1.0 for length in padded.shape]
    axis.contour(grid[1], grid[0], padded, levels=[0.5], colors=[colour], linewidths=[width])


def _field(slices: Sequence[OverlaySlice]) -> tuple[slice, slice]:
    """Rows and columns around everything that is labelled, at least ``_CROP_MM`` wide where the image allows."""
    labelled = np.any([(piece.prediction > 0) | (piece.reference > 0) for piece in slices], axis=0)
    spans = [_span(labelled.any(axis=1 - axis)) for axis in (0, 1)]
    axes = list(zip(spans, slices[0].pixel_mm, labelled.shape, strict=True))
    side_mm = max(_CROP_MM, *(1.15 * (end - start + 1) * mm for (start, end), mm, _ in axes))
    rows, columns = (_window((start + end) / 2, side_mm / mm, length) for (start, end), mm, length in axes)
    return rows, columns


def _span(present: Bool[np.ndarray, " n"]) -> tuple[int, int]:
    places = np.flatnonzero(present)
    return (int(places[0]), int(places[-1])) if len(places) else (0, len(present) - 1)


def _window(centre: float, side: float, length: int) -> slice:
    side = min(round(side), length)
    start = min(max(0, round(centre - side / 2)), length - side)
    return slice(start, start + side)
