"""The pictures of a report, each as PNG bytes."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from medwsss.metrics.results import Evaluation, Overlay, OverlaySlice
from medwsss.metrics.statistics import Interval
from medwsss.reports.tables import ranked

COLOURS: Mapping[str, str] = {"heart": "#d1495b", "RV": "#2f7fc1", "MYO": "#e09f3e", "LV": "#d1495b"}
REFERENCE_COLOUR = "#ffffff"
INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
_DPI = 160
_CROP_MM = 130.0
"""Smallest side of the field shown around the structures."""


def dice_figure(evaluation: Evaluation) -> bytes:
    """Dice of every volume by class, then by phase and by group where they are known."""
    frame = evaluation.per_case
    strata = [column for column in ("phase", "group") if (frame[column] != "").any()]
    widths = [1 + frame[column].nunique() * len(evaluation.classes) / 2.2 for column in ["class", *strata]]
    figure, axes = panels(1, len(widths), size=(10.0, 3.4), width_ratios=widths, sharey=True)
    _strips(axes[0], [(name, name, _dice(frame, {"class": name})) for name in evaluation.classes])
    for axis, column in zip(axes[1:], strata, strict=True):
        values = sorted(str(value) for value in frame[column].unique() if value)
        _strips(
            axis,
            [
                (value, name, _dice(frame, {column: value, "class": name}))
                for value in values
                for name in evaluation.classes
            ],
        )
    for axis, title in zip(axes, ["all volumes", *(f"by {column}" for column in strata)], strict=True):
        titled(axis, title)
    axes[0].set_ylabel("Dice [%]", color=INK, fontsize=9)
    axes[0].set_ylim(-3, 103)
    _class_legend(figure, evaluation.classes)
    return png(figure)


def _dice(frame: pd.DataFrame, where: Mapping[str, str]) -> list[float]:
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return [100 * float(value) for value in frame["dice"] if math.isfinite(value)]


def _strips(axis: Axes, groups: Sequence[tuple[str, str, list[float]]]) -> None:
    """One box and one cloud of points for each (tick, class, values); neighbours with one tick share it."""
    ticks: dict[str, list[float]] = {}
    position = 0.0
    for index, (tick, name, values) in enumerate(groups):
        position += 0.0 if index == 0 else 1.5 if groups[index - 1][0] != tick else 0.9
        ticks.setdefault(tick, []).append(position)
        colour = COLOURS.get(name, INK)
        if not values:
            continue
        drawn = axis.boxplot(
            [values], positions=[position], widths=0.6, showfliers=False, patch_artist=True, manage_ticks=False
        )
        _soften(drawn, colour)
        shifts = np.random.default_rng(0).uniform(-0.2, 0.2, len(values))
        axis.scatter(position + shifts, values, s=9, color=colour, alpha=0.75, linewidths=0, zorder=3)
    axis.set_xticks([float(np.mean(places)) for places in ticks.values()], list(ticks))
    axis.set_xlim(-0.7, position + 0.7)


def _soften(drawn: Mapping[str, list[Any]], colour: str) -> None:
    for box in drawn["boxes"]:
        box.set(facecolor=colour + "22", edgecolor=colour, linewidth=0.9)
    for part in ("whiskers", "caps"):
        for line in drawn[part]:
            line.set(color=colour, linewidth=0.9)
    for line in drawn["medians"]:
        line.set(color=INK, linewidth=1.4)


def baseline_figure(evaluation: Evaluation) -> bytes:
    """Mean Dice with interval of the predictions and of every training-free mask, one panel for each structure."""
    targets = list(dict.fromkeys(baseline.target for baseline in evaluation.baselines))
    counts = [len(ranked(evaluation, target)) + 1 for target in targets]
    rows = math.ceil(len(targets) / 2)
    figure, axes = panels(rows, min(2, len(targets)), size=(10.0, rows * (0.9 + 0.27 * max(counts))))
    for axis, target in zip(axes, targets, strict=False):
        masks = [(baseline.title, baseline.dice, FAINT) for baseline in ranked(evaluation, target)]
        _forest(axis, [("these predictions", evaluation.targets[target]["dice"], COLOURS.get(target, INK)), *masks])
        titled(axis, target)
        axis.set_xlabel("mean Dice per case [%]", color=INK, fontsize=9)
    for axis in axes[len(targets) :]:
        axis.remove()
    return png(figure)


def _forest(axis: Axes, rows: Sequence[tuple[str, Interval, str]]) -> None:
    for height, (_, score, colour) in enumerate(rows):
        if math.isfinite(score.low) and math.isfinite(score.high):
            axis.plot([100 * score.low, 100 * score.high], [height, height], color=colour, linewidth=1.6)
        axis.scatter([100 * score.estimate], [height], s=26, color=colour, zorder=3)
    axis.axvline(100 * rows[0][1].estimate, color=rows[0][2], linewidth=0.8, linestyle=(0, (3, 3)))
    axis.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(0, 100)
    axis.grid(axis="x", color=GRID)
    axis.grid(axis="y", visible=False)


def volume_figure(evaluation: Evaluation) -> bytes:
    """Predicted against reference volume, and their difference against their mean with bias and limits of agreement."""
    figure, (scatter, agreement) = panels(1, 2, size=(10.0, 4.0))
    frame = evaluation.per_case
    limit = 1.05 * max(float(frame[["volume_ml", "reference_volume_ml"]].max().max()), 1.0)
    scatter.plot([0, limit], [0, limit], color=FAINT, linewidth=0.9, linestyle=(0, (3, 3)))
    for name in evaluation.classes:
        rows = frame[frame["class"] == name]
        predicted, reference = rows["volume_ml"].to_numpy(), rows["reference_volume_ml"].to_numpy()
        for axis, x, y in (
            (scatter, reference, predicted),
            (agreement, (predicted + reference) / 2, predicted - reference),
        ):
            _phase_points(axis, x, y, rows["phase"].to_numpy(), COLOURS.get(name, INK))
        _limits_of_agreement(agreement, predicted - reference, COLOURS.get(name, INK))
    scatter.set(xlim=(0, limit), ylim=(0, limit), aspect="equal")
    axis_labels(scatter, "reference [mL]", "prediction [mL]")
    axis_labels(agreement, "mean of both [mL]", "prediction − reference [mL]")
    titled(scatter, "volumes; the dashed line is equality")
    titled(agreement, "differences; lines: mean and 1.96 standard deviations")
    _class_legend(figure, evaluation.classes, phases="ES" in set(frame["phase"]))
    return png(figure)


def _phase_points(axis: Axes, x: np.ndarray, y: np.ndarray, phases: np.ndarray, colour: str) -> None:
    hollow = phases == "ES"
    axis.scatter(x[~hollow], y[~hollow], s=18, color=colour, linewidths=0.9, zorder=3)
    axis.scatter(x[hollow], y[hollow], s=18, facecolors="white", edgecolors=colour, linewidths=0.9, zorder=3)


def _limits_of_agreement(axis: Axes, differences: np.ndarray, colour: str) -> None:
    bias = float(differences.mean())
    spread = 1.96 * float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    axis.axhline(bias, color=colour, linewidth=1.2)
    for end in (bias - spread, bias + spread):
        axis.axhline(end, color=colour, linewidth=0.8, linestyle=(0, (3, 3)))


def overlay_figure(overlay: Overlay, classes: Sequence[str]) -> bytes:
    """Slices of one case: reference contours in white, predicted contours in the colour of their class."""
    figure, axes = panels(1, len(overlay.slices), size=(10.0, 10.0 / max(4, len(overlay.slices)) + 0.15))
    rows, columns = _field(overlay.slices)
    for axis, piece in zip(axes, overlay.slices, strict=True):
        _draw_slice(axis, piece, classes, rows, columns)
    return png(figure)


def _draw_slice(axis: Axes, piece: OverlaySlice, classes: Sequence[str], rows: slice, columns: slice) -> None:
    row_mm, column_mm = piece.pixel_mm
    height, width = piece.reference[rows, columns].shape
    if piece.image is None:
        axis.set_facecolor("#3e4c59")
    else:
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        axis.imshow(piece.image[rows, columns], cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bilinear")
    for label, name in enumerate(classes, start=1):
        _contour(axis, piece.reference[rows, columns] == label, REFERENCE_COLOUR, 1.5)
        _contour(axis, piece.prediction[rows, columns] == label, COLOURS.get(name, INK), 1.3)
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[], aspect=row_mm / column_mm)
    axis.grid(visible=False)
    bar = 50.0 / column_mm
    axis.plot([width - 3 - bar, width - 3], [height - 4, height - 4], color="white", linewidth=2, solid_capstyle="butt")
    title = axis.text(0.03, 0.97, f"slice {piece.index}", transform=axis.transAxes, color="white", fontsize=8, va="top")
    title.set_path_effects([withStroke(linewidth=2.0, foreground="#000000aa")])


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


def panels(
    rows: int,
    columns: int,
    *,
    size: tuple[float, float],
    sharey: bool = False,
    width_ratios: Any = None,
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey, width_ratios=width_ratios)
    axes: list[Axes] = list(grid.ravel())
    for axis in axes:
        axis.spines[["top", "right", "left", "bottom"]].set_visible(False)
        axis.tick_params(labelsize=9, colors=INK, length=0)
        axis.grid(axis="y", color=GRID)
        axis.set_axisbelow(True)
    return figure, axes


def titled(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=10, color=INK, loc="left")


def axis_labels(axis: Axes, x: str, y: str) -> None:
    axis.set_xlabel(x, color=INK, fontsize=9)
    axis.set_ylabel(y, color=INK, fontsize=9)
    axis.grid(axis="both", color=GRID)


def _class_legend(figure: Figure, classes: Sequence[str], *, phases: bool = False) -> None:
    """Names of the classes in their colours below the panels, and what hollow points mean."""
    axis = figure.axes[0]
    handles = [axis.scatter([], [], s=18, color=COLOURS.get(name, INK), label=name) for name in classes]
    if phases:
        handles.append(axis.scatter([], [], s=18, color=FAINT, label="ED"))
        handles.append(axis.scatter([], [], s=18, facecolors="white", edgecolors=FAINT, label="ES"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
