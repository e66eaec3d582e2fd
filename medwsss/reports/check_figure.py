"""The picture sheet of a check: what moves in a handful of patients, and where in a volume each class is tagged."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure, SubFigure

from medwsss.metrics.survey import Preview
from medwsss.metrics.tag_statistics import ClassTags, TagTable, shares_by_position
from medwsss.reports.check_content import Check
from medwsss.reports.figures import COLOURS, GRID, INK, png
from medwsss.types import Image2D

BINS = 10
"""Equal parts of a volume, from its first to its last slice."""
_ROW_INCHES, _DPI = 1.75, 130
_ROWS_OF_A_COLUMN = 40


def check_figure(check: Check) -> bytes | None:
    """Middle slices and their change on the left, tags on the right, as PNG; None where there is neither."""
    placed = [table for table in check.tables if np.isfinite(table.positions).any()]
    bare = [statistics for statistics in check.statistics if statistics.slices] if not placed else []
    panels = list({name: (table, index) for table in placed for index, name in enumerate(table.names)}.values())
    if not check.previews and not panels and not bare:
        return None
    if bare:
        return png(_class_sheet([tags for statistics in bare for tags in statistics.classes], check.unit), dpi=_DPI)
    rows = max(len(check.previews), 3 if panels else 1)
    widths = [6.2 if check.previews else 0.0, 5.0 if panels else 0.0]
    figure = _figure((sum(widths), rows * _ROW_INCHES + 0.5))
    parts = iter(
        figure.subfigures(1, sum(width > 0 for width in widths), squeeze=False, width_ratios=[w for w in widths if w])[
            0
        ]
    )
    if check.previews:
        _motion_part(next(parts), check.previews, check.least_change)
    if panels:
        _tag_part(next(parts), panels)
    return png(figure, dpi=_DPI)


def _motion_part(part: SubFigure, previews: Sequence[Preview], least_change: float) -> None:
    """A row for each patient: ED, ES and the change, on one scale."""
    grid = part.subplots(len(previews), 3, squeeze=False)
    largest = max(least_change, *(float(preview.change.max()) for preview in previews))
    for row, preview in zip(grid, previews, strict=True):
        for axis, image in zip(row[:2], (preview.diastole, preview.systole), strict=True):
            axis.imshow(_square(image), cmap="gray", vmin=0, vmax=1)
        shown = row[2].imshow(_square(preview.change), cmap="magma", norm=PowerNorm(0.6, 0, largest))
        for axis in row:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(f"{preview.patient}\nup to {preview.change.max():.2f}", color=INK, fontsize=9)
    for axis, title in zip(grid[0], ("ED, middle slice", "ES, same slice", "change, smoothed"), strict=True):
        axis.set_title(title, fontsize=10, color=INK)
    bar = part.colorbar(shown, ax=grid[:, 2].tolist(), shrink=0.6, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=INK, length=0)
    bar.ax.axhline(least_change, color="white", linewidth=1.5)
    bar.set_label(f"share of the grey levels; white: limit {least_change:g}", fontsize=8, color=INK)


def _tag_part(part: SubFigure, panels: Sequence[tuple[TagTable, int]]) -> None:
    """A panel for each class: the share of slices that show it, by place in the volume."""
    axes = part.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axis, (table, index) in zip(axes, panels, strict=True):
        _position_bars(axis, shares_by_position(table, bins=BINS)[index], COLOURS.get(table.names[index], INK))
        count = int(table.tags[:, index].sum())
        title = f"{table.names[index]}: {count} of {len(table.tags)} slices"
        axis.set_title(title, fontsize=10, color=INK, loc="left")
    axes[-1].set_xticks([0, BINS - 1], ["first slice\n(feet)", "last slice\n(head)"])
    part.supylabel("slices that show the class [%]", fontsize=9, color=INK)


def _position_bars(axis: Axes, shares: Float[np.ndarray, " bins"], colour: str) -> None:
    places = np.arange(len(shares))
    axis.bar(places, 100 * np.nan_to_num(shares), width=0.8, color=colour)
    axis.bar(places, 100 * (1 - shares), width=0.8, bottom=100 * shares, color="#eef1f4")
    for place, share in zip(places, shares, strict=True):
        if math.isfinite(share):
            axis.annotate(
                f"{100 * share:.0f}", (place, 100 * share), xytext=(0, -2 if share > 0.2 else 2),
                textcoords="offset points", ha="center", va="top" if share > 0.2 else "bottom", fontsize=7.5,
                color="white" if share > 0.2 else INK,
            )  # fmt: skip
    axis.set(ylim=(0, 100), yticks=[0, 50, 100])
    _bare(axis)


def _class_sheet(classes: Sequence[ClassTags], unit: str) -> Figure:
    """A bar for each class: the share of images that show it."""
    columns = math.ceil(len(classes) / _ROWS_OF_A_COLUMN)
    groups = [group.tolist() for group in np.array_split(np.arange(len(classes)), columns)]
    figure = _figure((9.0, 0.9 + 0.2 * len(groups[0])))
    largest = max(100 * tags.fraction for tags in classes)
    for axis, group in zip(figure.subplots(1, columns, squeeze=False)[0], groups, strict=True):
        shares = [100 * classes[index].fraction for index in group]
        axis.barh(range(len(group)), shares, height=0.7, color=COLOURS["RV"])
        for place, (index, share) in enumerate(zip(group, shares, strict=True)):
            axis.annotate(
                f"{share:.1f} % ({classes[index].positives})", (share, place), xytext=(3, 0),
                textcoords="offset points", va="center", fontsize=8, color=INK,
            )  # fmt: skip
        axis.set_yticks(range(len(group)), [classes[index].name for index in group])
        axis.set(xlim=(0, 1.3 * largest), ylim=(len(groups[0]) - 0.4, -0.6))
        axis.set_xlabel(f"{unit} that show the class [%]", fontsize=9, color=INK)
        _bare(axis)
        axis.grid(visible=False)
    return figure


def _square(image: Image2D) -> Float32[np.ndarray, "side side"]:
    """The slice in the middle of a black square."""
    side = max(image.shape)
    before = [(side - length) // 2 for length in image.shape]
    padded: Float32[np.ndarray, "side side"] = np.pad(
        image, [(start, side - length - start) for start, length in zip(before, image.shape, strict=True)]
    )
    return padded


def _bare(axis: Axes) -> None:
    axis.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axis.tick_params(labelsize=8.5, colors=INK, length=0)
    axis.grid(axis="y", color=GRID)
    axis.set_axisbelow(True)


def _figure(size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure
