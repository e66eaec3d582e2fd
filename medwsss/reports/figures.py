"""The pictures of a report, each as PNG bytes."""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from medwsss.metrics.results import Evaluation
from medwsss.metrics.statistics import Interval
from medwsss.reports.tables import ranked
from medwsss.writing import written_whole

COLOURS: Mapping[str, str] = {"heart": "#d1495b", "RV": "#2f7fc1", "MYO": "#e09f3e", "LV": "#d1495b"}
OTHER_COLOURS = ("#2d9d78", "#8e5bc4", "#2f7fc1", "#e09f3e", "#d1495b", "#9a8c2d", "#b5651d", "#c25b9f")
"""Of classes that are no part of the heart, in their order; with more of them the colours begin again."""
INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
DPI = 160


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """A colour for each class: parts of the heart have their own."""
    free = cycle(colour for colour in OTHER_COLOURS if colour not in {COLOURS.get(name) for name in classes})
    return {name: COLOURS[name] if name in COLOURS else next(free) for name in classes}


def dice_figure(evaluation: Evaluation) -> bytes:
    """Dice of every volume by class, then by phase where phases are known."""
    frame = evaluation.per_case
    phases = sorted(str(value) for value in frame["phase"].unique() if value)
    widths = [1.0, 1.0 + len(phases) / 2.2][: 2 if phases else 1]
    figure, axes = panels(1, len(widths), size=(10.0, 3.4), width_ratios=widths, sharey=True)
    colours = class_colours(evaluation.classes)
    _strips(
        axes[0],
        [(name, colour, dice_percent(frame[frame["class"] == name])) for name, colour in colours.items()],
    )
    titled(axes[0], "all volumes")
    if phases:
        _strips(
            axes[1],
            [
                (phase, colour, dice_percent(frame[(frame["phase"] == phase) & (frame["class"] == name)]))
                for phase in phases
                for name, colour in colours.items()
            ],
        )
        titled(axes[1], "by phase")
    axes[0].set_ylabel("Dice [%]", color=INK, fontsize=9)
    axes[0].set_ylim(-3, 103)
    _class_legend(figure, evaluation.classes)
    return png(figure)


def dice_percent(frame: pd.DataFrame) -> list[float]:
    """The values of these rows that are defined."""
    return [100 * float(value) for value in frame["dice"] if math.isfinite(value)]


def _strips(axis: Axes, groups: Sequence[tuple[str, str, list[float]]]) -> None:
    """One box and one cloud of points for each (tick, colour, values); neighbours with one tick share it."""
    ticks: dict[str, list[float]] = {}
    position = 0.0
    for index, (tick, colour, values) in enumerate(groups):
        position += 0.0 if index == 0 else 1.5 if groups[index - 1][0] != tick else 0.9
        ticks.setdefault(tick, []).append(position)
        strip(axis, position, values, colour)
    axis.set_xticks([float(np.mean(places)) for places in ticks.values()], list(ticks))
    axis.set_xlim(-0.7, position + 0.7)


def strip(axis: Axes, position: float, values: Sequence[float], colour: str, hollow: Sequence[bool] = ()) -> None:
    """One box and one cloud of points, of which some are ``hollow``; nothing without values."""
    if not values:
        return
    drawn = axis.boxplot(
        [values], positions=[position], widths=0.6, showfliers=False, patch_artist=True, manage_ticks=False
    )
    _soften(drawn, colour)
    shifts = np.random.default_rng(0).uniform(-0.2, 0.2, len(values))
    faces = ["white" if empty else colour for empty in hollow] or colour
    axis.scatter(
        position + shifts, values, s=9, facecolors=faces, edgecolors=colour, alpha=0.75,
        linewidths=0.8 if hollow else 0.0, zorder=3,
    )  # fmt: skip


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
    colours = dict(COLOURS) | class_colours(evaluation.classes)
    counts = [len(ranked(evaluation, target)) + 1 for target in targets]
    rows = math.ceil(len(targets) / 2)
    figure, axes = panels(rows, min(2, len(targets)), size=(10.0, rows * (0.9 + 0.27 * max(counts))))
    for axis, target in zip(axes, targets, strict=False):
        masks = [(baseline.title, baseline.dice, FAINT) for baseline in ranked(evaluation, target)]
        _forest(axis, [("these predictions", evaluation.targets[target]["dice"], colours.get(target, INK)), *masks])
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
    for name, colour in class_colours(evaluation.classes).items():
        rows = frame[frame["class"] == name]
        predicted, reference = rows["volume_ml"].to_numpy(), rows["reference_volume_ml"].to_numpy()
        for axis, x, y in (
            (scatter, reference, predicted),
            (agreement, (predicted + reference) / 2, predicted - reference),
        ):
            _phase_points(axis, x, y, rows["phase"].to_numpy(), colour)
        _limits_of_agreement(agreement, predicted - reference, colour)
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
    handles = [axis.scatter([], [], s=18, color=colour, label=name) for name, colour in class_colours(classes).items()]
    if phases:
        handles.append(axis.scatter([], [], s=18, color=FAINT, label="ED"))
        handles.append(axis.scatter([], [], s=18, facecolors="white", edgecolors=FAINT, label="ES"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)


def png(figure: Figure, *, dpi: int = DPI) -> bytes:
    """The figure, with every text as it is written: matplotlib takes what stands between dollar signs for a formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def write_png(figure: Figure, path: Path, *, dpi: int) -> None:
    """Store ``png``; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with written_whole(path) as temporary:
        temporary.write_bytes(png(figure, dpi=dpi))
