"""Contact sheets of seed labels: every patient's slices with contours, for a person to look through."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter, map_coordinates

from medwsss.errors import OutputError
from medwsss.reports.figures import COLOURS, INK, write_png

PATIENTS_A_PAGE = 24
CROP_MM = 140.0
"""Side of the square field that is shown."""
SHOWN_SLICES = (0.2, 0.5, 0.8)
"""Which slices of a stack are shown: places along it, from one end to the other."""
_COLUMNS = 4
_PIXELS = 96
"""Side of one slice on the page, before the page is enlarged for print."""
_HEADER, _GAP = 20, 12
"""Pixels above a patient for its name, and between patients."""
_DPI = 100
_SMOOTH = 0.8
"""Pixels by which labels are blurred before their outline is drawn, so that it shows no steps."""
_OFF = "#ff8a80"


@dataclass(frozen=True, eq=False)
class SeedTile:
    """One patient on a sheet."""

    name: str
    images: tuple[Float32[np.ndarray, "n h w"], ...]
    """Working slices of each phase, grey levels in [0, 1]."""
    labels: tuple[UInt8[np.ndarray, "n h w"], ...]
    """Labels of each phase: i for the i-th class; 255 is not drawn."""
    left_out: tuple[str, ...] = field(default=())
    """Why the patient has no labels; empty if it has some."""


def write_sheets(
    tiles: Sequence[SeedTile], folder: Path, *, phases: Sequence[str], classes: Sequence[str], spacing_mm: float
) -> list[Path]:
    """Write ``sheet.png``, or ``sheet-1.png``, … where there are more than ``PATIENTS_A_PAGE`` patients.

    A patient is a block: a row for each phase, a column for each of three slices along the stack. One that was left out
    is shown without contours, with the reason.

    Args:
        tiles: at least one.
        folder: to write to; it exists.
        phases: names of the rows.
        classes: names of the labels 1, 2, …
        spacing_mm: of square pixels.

    Raises:
        OutputError: a page cannot be written.
    """
    pages = [tiles[start : start + PATIENTS_A_PAGE] for start in range(0, len(tiles), PATIENTS_A_PAGE)]
    names = ["sheet.png"] if len(pages) == 1 else [f"sheet-{number}.png" for number in range(1, len(pages) + 1)]
    paths = [folder / name for name in names]
    for page, path in zip(pages, paths, strict=True):
        figure = sheet(page, phases=phases, classes=classes, spacing_mm=spacing_mm)
        try:
            write_png(figure, path, dpi=_DPI)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; choose another --out") from None
    return paths


def sheet(tiles: Sequence[SeedTile], *, phases: Sequence[str], classes: Sequence[str], spacing_mm: float) -> Figure:
    """One page; the whole of it is one picture and one set of contours a class, which is quick to draw."""
    columns = min(_COLUMNS, len(tiles))
    height, width = _HEADER + len(phases) * _PIXELS + _GAP, len(SHOWN_SLICES) * _PIXELS + _GAP
    rows = math.ceil(len(tiles) / columns)
    picture = np.zeros((rows * height, columns * width), np.float32)
    labels = np.zeros(picture.shape, np.uint8)
    figure, axis = _page(picture.shape)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * height, (index % columns) * width
        block = slice(top + _HEADER, top + height - _GAP), slice(left, left + width - _GAP)
        picture[block], labels[block] = block_of(tile, spacing_mm)
        _write_names(axis, tile, phases, top, left, width - _GAP)
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
    for code, name in enumerate(classes, start=1):
        mask = labels == code
        if mask.any():
            axis.contour(
                gaussian_filter(mask.astype(np.float32), _SMOOTH),
                levels=[0.5],
                colors=[COLOURS.get(name, INK)],
                linewidths=[1.1],
            )
    _legend(axis, classes)
    return figure


def block_of(
    tile: SeedTile, spacing_mm: float
) -> tuple[Float32[np.ndarray, "rows columns"], UInt8[np.ndarray, "rows columns"]]:
    """Picture and labels of a patient: a row for each phase, the shown slices side by side, around what is labelled."""
    shown = [np.where(labels == 255, 0, labels) for labels in tile.labels]
    centre = _centre(shown)
    half_px = CROP_MM / 2 / spacing_mm
    pictures, drawn = [], []
    for images, labels in zip(tile.images, shown, strict=True):
        chosen = [min(int(place * len(images)), len(images) - 1) for place in SHOWN_SLICES]
        pictures.append(np.hstack([_resampled(images[index], centre, half_px, order=1) for index in chosen]))
        drawn.append(np.hstack([_resampled(labels[index], centre, half_px, order=0) for index in chosen]))
    return np.vstack(pictures), np.vstack(drawn)


def _centre(labels: Sequence[UInt8[np.ndarray, "n h w"]]) -> tuple[float, float]:
    """Middle of everything labelled in the first phase that has labels; of the image where none has."""
    for stack in labels:
        places = np.argwhere(stack.any(axis=0))
        if len(places):
            row, column = (places.min(axis=0) + places.max(axis=0)) / 2
            return float(row), float(column)
    return (labels[0].shape[1] - 1) / 2, (labels[0].shape[2] - 1) / 2


def _resampled(plane: np.ndarray, centre: tuple[float, float], half_px: float, *, order: int) -> np.ndarray:
    """The square around the centre at ``_PIXELS`` pixels a side, linear or nearest; outside the image is 0."""
    steps = (np.arange(_PIXELS) + 0.5) / _PIXELS * 2 * half_px - half_px
    rows, columns = centre[0] + steps, centre[1] + steps
    found: np.ndarray = map_coordinates(plane, np.meshgrid(rows, columns, indexing="ij"), order=order)
    return found


def _page(shape: tuple[int, ...]) -> tuple[Figure, Axes]:
    """A black page on which one pixel of the picture takes one and a half of the file."""
    enlarge = 1.5
    figure = Figure(figsize=(enlarge * shape[1] / _DPI, enlarge * (shape[0] + _HEADER) / _DPI), facecolor="black")
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set_axis_off()
    axis.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] + _HEADER - 0.5, -0.5), autoscale_on=False)
    return figure, axis


def _write_names(axis: Axes, tile: SeedTile, phases: Sequence[str], top: int, left: int, width: int) -> None:
    """Name of the patient and of its rows, and the mark of one that was left out."""
    axis.text(left + 3, top + _HEADER - 5, tile.name, color="white", fontsize=11, va="baseline")
    for row, phase in enumerate(phases):
        place = top + _HEADER + row * _PIXELS + 4
        axis.text(left + 3, place, phase, color="white", fontsize=9, va="top", alpha=0.8)
    if tile.left_out:
        axis.text(left + width - 3, top + _HEADER - 5, "prior off", color=_OFF, fontsize=11, ha="right", va="baseline")
        reason = "\n".join(textwrap.wrap("; ".join(tile.left_out), 44))
        axis.text(
            left + 5,
            top + _HEADER + len(phases) * _PIXELS - 5,
            reason,
            color=_OFF,
            fontsize=9,
            va="bottom",
            bbox={"facecolor": "#000000b0", "edgecolor": "none", "pad": 3},
        )


def _legend(axis: Axes, classes: Sequence[str]) -> None:
    """Names of the classes in their colours, below everything."""
    bottom = axis.get_ylim()[0]
    for column, name in enumerate(classes):
        axis.text(6 + 48 * column, bottom - 6, name, color=COLOURS.get(name, INK), fontsize=11, weight="bold")
