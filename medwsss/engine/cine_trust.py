"""Which mask-free criteria could have been trusted: for research on data that has masks, after the choice."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from medwsss.engine.cine_constants import Measured, improvements, table
from medwsss.engine.cine_trials import DICE_CLASSES
from medwsss.priors.cardiac.criteria import CRITERIA

SCORES = (*DICE_CLASSES, "mean")


def mean_dice(rows: Sequence[Measured], *, prefix: str = "dice") -> dict[str, float]:
    """Mean over volumes of the Dice of heart, RV, MYO and LV, undefined ones left out, and the mean of the last three.

    Args:
        rows: one configuration, measured with references.
        prefix: ``dice`` with true tags, ``no_tags_dice`` without.
    """
    scores = {
        name: float(np.nanmean([[row.dice[f"{prefix}_{name}_{phase}"] for phase in ("ED", "ES")] for row in rows]))
        for name in DICE_CLASSES
    }
    return scores | {"mean": (scores["RV"] + scores["MYO"] + scores["LV"]) / 3}


def trust(rows: Sequence[Measured], *, prefix: str = "no_tags_dice") -> dict[str, Mapping[str, float]]:
    """Spearman's rank correlation over configurations between each criterion and the mean Dice of each class.

    1 where the criterion orders the configurations as the masks do, −1 where it misleads; NaN where it does not vary.
    "all together" is the mean of the standardised criteria, the score of the search.

    Args:
        rows: three configurations or more, each on the same patients; the first named is what others are compared with.
        prefix: as of ``mean_dice``; the criteria see labels without tags.
    """
    names, patients = _in_order([row.name for row in rows]), _in_order([row.patient for row in rows])
    better = improvements(table(rows, names, patients)).mean(axis=1)
    overlap = [mean_dice([row for row in rows if row.name == name], prefix=prefix) for name in names]
    columns = {name: better[:, index] for index, name in enumerate(CRITERIA)}
    columns["all together"] = better[:, ~np.isnan(better).any(axis=0)].mean(axis=1)
    return {
        criterion: {name: _spearman(column, np.array([scores[name] for scores in overlap])) for name in SCORES}
        for criterion, column in columns.items()
    }


def _spearman(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> float:
    ranked = [np.round(values, 9) for values in (first, second)]  # equal but for rounding is equal
    if np.isnan(first).any() or any(len(set(values)) < 2 for values in ranked):
        return float("nan")
    return float(spearmanr(*ranked).statistic)


def _in_order(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
