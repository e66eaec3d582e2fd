"""Whether estimates made without masks would have found the bad volumes: a sentence and a figure."""

import math

import numpy as np
import pandas as pd

from medwsss.metrics.results import Evaluation
from medwsss.metrics.trust import rank_correlation, risk_coverage
from medwsss.reports.figures import FAINT, INK, axis_labels, panels, png, titled
from medwsss.reports.tables import number

TRUST_TITLE = "Would the bad volumes have been found without masks?"
TRUST_CAPTION = (
    "Every prediction comes with an estimate that needs no mask (quality.csv beside it): the Dice that its "
    "probabilities expect. It is too high as a number; its order counts."
)
REVIEWED = 0.2
"""Share of the volumes, lowest estimates first, that the sentence supposes to be reviewed."""


def estimates_and_dice(evaluation: Evaluation) -> pd.DataFrame:
    """Of the volumes that have an estimate: ``estimate`` and ``dice``, the mean over classes, by case."""
    dice = evaluation.per_case.groupby("case")["dice"].mean()
    return pd.DataFrame({"estimate": pd.Series(evaluation.estimates, dtype=float), "dice": dice}).dropna()


def trust_sentence(evaluation: Evaluation) -> str:
    """How well the estimates order the volumes by Dice; empty for fewer than three."""
    found = estimates_and_dice(evaluation)
    correlation = rank_correlation(found["estimate"].tolist(), found["dice"].tolist())
    if math.isnan(correlation):
        return ""
    share, kept = risk_coverage(found["estimate"].tolist(), found["dice"].tolist())
    left = kept[np.searchsorted(share, 1.0 - REVIEWED, side="right") - 1]
    means = [number(float(value), "dice") for value in (kept[-1], left)]
    ordered = f"Rank correlation of the estimate with Dice over {len(found)} volumes: {correlation:.2f}"
    return (
        f"{ordered.replace('-', '−')}. Mean Dice is {means[0]} % over all of them and {means[1]} % without the "
        f"{100 * REVIEWED:.0f} % of lowest estimate."
    )


def trust_figure(evaluation: Evaluation) -> bytes:
    """Dice against estimate, and the mean Dice of the volumes that are kept when those of low estimate are reviewed."""
    found = estimates_and_dice(evaluation)
    estimate, dice = found["estimate"].tolist(), found["dice"].tolist()
    figure, (scatter, curve) = panels(1, 2, size=(10.0, 3.6))
    scatter.scatter(100 * found["estimate"], 100 * found["dice"], s=18, color=INK, alpha=0.75, linewidths=0, zorder=3)
    titled(scatter, "every volume")
    axis_labels(scatter, "estimate without mask [%]", "Dice, mean over classes [%]")
    for order, style, name in ((estimate, "-", "by estimate"), (dice, (0, (3, 3)), "by Dice itself, the best order")):
        share, kept = risk_coverage(order, dice)
        colour = INK if order is estimate else FAINT
        curve.plot(100 * share, 100 * kept, color=colour, linewidth=1.6, linestyle=style, label=name)
    curve.axhline(100 * float(np.mean(dice)), color=FAINT, linewidth=0.8)
    lowest, highest = curve.get_ylim()
    curve.set_ylim(lowest - 0.2 * (highest - lowest), highest)  # room for the legend
    curve.legend(frameon=False, fontsize=8, loc="lower left")
    titled(curve, "when the others are reviewed")
    axis_labels(curve, "volumes kept [%]", "their mean Dice [%]")
    return png(figure)
