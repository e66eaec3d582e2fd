"""The picture of a report on label images, as PNG bytes."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medwsss.metrics.image_results import ImageEvaluation
from medwsss.reports.figures import INK, png

SHARES = {"iou": ("IoU", "#2f7fc1"), "false_positive_rate": ("FP", "#e07a5f"), "false_negative_rate": ("FN", "#d9dee4")}
"""What a bar is made of, with name and colour: shares of the union of prediction and reference."""
_ROWS_OF_A_COLUMN = 45
_ROW_INCHES, _DPI = 0.2, 160


def iou_figure(evaluation: ImageEvaluation) -> bytes:
    """A bar for each class that occurs or is predicted, highest IoU first: what is right, too much and missed."""
    iou = evaluation.per_class["iou"]
    order = [int(row) for row in np.argsort(-iou, kind="stable") if np.isfinite(iou[row])]
    columns = 1 if len(order) <= _ROWS_OF_A_COLUMN else 2
    groups = [group.tolist() for group in np.array_split(order, columns)]
    height = 0.9 + _ROW_INCHES * max(1, len(groups[0]))
    figure = Figure(figsize=(10.0, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis, group in zip(axes, groups, strict=True):
        _bars(axis, evaluation, group, rows=len(groups[0]))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(SHARES), frameon=False, fontsize=9)
    return png(figure, dpi=_DPI)


def _bars(axis: Axes, evaluation: ImageEvaluation, group: list[int], *, rows: int) -> None:
    names, places = [evaluation.class_names[row] for row in group], np.arange(len(group))
    left = np.zeros(len(group))
    for metric, (title, colour) in SHARES.items():
        share = 100 * evaluation.per_class[metric][group]
        axis.barh(places, share, left=left, height=0.72, color=colour, label=title)
        left = left + share
    for place, value in zip(places, 100 * evaluation.per_class["iou"][group], strict=True):
        inside = value > 10
        axis.annotate(
            f"{value:.1f}",
            (value, place),
            xytext=(-3 if inside else 3, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontsize=8,
            color="white" if inside else INK,
        )
    axis.set_yticks(places, names)
    axis.set(xlim=(0, 100), ylim=(rows - 0.4, -0.6))
    axis.set_xlabel("share of the union of prediction and reference [%]", color=INK, fontsize=9)
    axis.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axis.tick_params(labelsize=9, colors=INK, length=0)
