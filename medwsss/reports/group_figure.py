"""Dice of each group of patients, side by side."""

import math

import pandas as pd
from matplotlib.axes import Axes

from medwsss.metrics.results import Evaluation
from medwsss.reports.figures import FAINT, INK, class_colours, dice_percent, panels, png, strip, titled

GROUPS_CAPTION = (
    "Dice by group: one point each, filled at end-diastole and hollow at end-systole; n counts the volumes whose Dice "
    "is defined."
)
_COLUMNS = 3
_MOST_ABREAST = 6
"""With more groups, each class has the whole width."""


def groups_of(evaluation: Evaluation) -> list[str]:
    """The groups that are known, in alphabetical order."""
    return sorted({str(group) for group in evaluation.per_case["group"] if group})


def group_figure(evaluation: Evaluation) -> bytes:
    """A panel for each class: a box and a cloud of points for each group, hollow at end-systole."""
    groups, frame = groups_of(evaluation), evaluation.per_case
    columns = min(_COLUMNS, len(evaluation.classes)) if len(groups) <= _MOST_ABREAST else 1
    rows = math.ceil(len(evaluation.classes) / columns)
    figure, axes = panels(rows, columns, size=(10.0, 3.2 * rows), sharey=True)
    for axis, (name, colour) in zip(axes, class_colours(evaluation.classes).items(), strict=False):
        _class_panel(axis, frame[frame["class"] == name], groups, colour)
        titled(axis, name)
    for axis in axes[::columns]:
        axis.set_ylabel("Dice [%]", color=INK, fontsize=9)
    for axis in axes[len(evaluation.classes) :]:
        axis.remove()
    axes[0].set_ylim(-3, 103)
    if "ES" in set(frame["phase"]):
        points = [
            axes[0].scatter([], [], s=18, facecolors=face, edgecolors=FAINT, label=phase)
            for phase, face in (("ED", FAINT), ("ES", "white"))
        ]
        figure.legend(handles=points, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return png(figure)


def _class_panel(axis: Axes, frame: pd.DataFrame, groups: list[str], colour: str) -> None:
    ticks = []
    for position, group in enumerate(groups):
        rows = frame[(frame["group"] == group) & frame["dice"].notna()]
        strip(axis, position, dice_percent(rows), colour, (rows["phase"] == "ES").tolist())
        ticks.append(f"{group}\nn = {len(rows)}")
    axis.set_xticks(range(len(groups)), ticks)
    axis.set_xlim(-0.6, len(groups) - 0.4)
