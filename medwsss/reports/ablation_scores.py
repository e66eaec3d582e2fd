"""The numbers of an ablation: what each run's summary says, and their mean and standard deviation over seeds."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medwsss.metrics.results import MEAN_OF_CLASSES, PER_CASE
from medwsss.reports.tables import TITLES

VOLUME_METRICS: Mapping[str, str] = {
    metric: TITLES[metric] for metric in ("dice", "confusion_ratio", "precision", "recall")
}
IMAGE_METRICS: Mapping[str, str] = {
    "iou": "mIoU [%]",
    "confusion_ratio": "FP/TP",
    "precision": "Precision [%]",
    "recall": "Recall [%]",
    "j_and_f": "J&F [%]",
}
LOWER_IS_BETTER = ("confusion_ratio",)


@dataclass(frozen=True)
class Score:
    """One number of one run."""

    value: float
    """NaN where nothing could enter the mean over volumes or classes."""
    undefined: int = 0
    """Volumes or classes that are not in it because their value is undefined."""
    infinite: int = 0


@dataclass(frozen=True)
class Headline:
    """The numbers of one run that a table compares."""

    unit: str
    """What the run averages over: ``volumes`` or ``classes``."""
    scores: Mapping[str, Score]
    conclusion: str = ""
    """Whether it beats the masks that need no training; empty where the report has none."""
    report: str = ""
    """Folder of the run's report, seen from the table; empty if unknown."""

    @property
    def titles(self) -> Mapping[str, str]:
        """Metric -> heading."""
        return VOLUME_METRICS if self.unit == "volumes" else IMAGE_METRICS


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n - 1) over the runs whose value is defined."""

    mean: float
    """NaN without any."""
    deviation: float
    """NaN with fewer than two."""
    n: int
    undefined: int
    """Runs that are not in it."""


@dataclass(frozen=True)
class Row:
    """One setting of the ablation with its finished runs."""

    name: str
    shown: tuple[str, ...]
    """Values of the columns beside the name."""
    settings: tuple[str, ...]
    """What it changes."""
    runs: Mapping[int, Headline]
    """By seed."""

    def spreads(self, metrics: Mapping[str, str]) -> dict[str, Spread]:
        """Every metric over the finished runs."""
        return {metric: spread([run.scores[metric].value for run in self.runs.values()]) for metric in metrics}


@dataclass(frozen=True)
class Ablation:
    """Everything its table says."""

    title: str
    note: str
    columns: tuple[str, ...]
    """Headings of the settings shown beside the names."""
    seeds: tuple[int, ...]
    """All that are planned."""
    vary: tuple[str, ...]
    """Settings that a seed sets."""
    rows: tuple[Row, ...]
    about: Mapping[str, str]

    @property
    def example(self) -> Headline | None:
        """A finished run, which knows what all of them are scored by; None before there is one."""
        return next((run for row in self.rows for run in row.runs.values()), None)

    @property
    def metrics(self) -> Mapping[str, str]:
        """Metric -> heading; nothing before the first run is finished."""
        return {} if self.example is None else self.example.titles


def headline(summary: Mapping[str, Any], *, report: str = "") -> Headline:
    """The compared numbers of a run's summary.json: per case for volumes, with background for photographs.

    With several classes volumes are scored by the mean over classes. ``report`` is where the run's report lies.

    Raises:
        ValueError: the summary lacks one of them.
    """
    try:
        if PER_CASE in summary:
            scores = _volume_scores(summary[PER_CASE])
            return Headline("volumes", scores, str(summary.get("conclusion", "")), report)
        return Headline("classes", _image_scores(summary), report=report)
    except (KeyError, TypeError, StopIteration, AttributeError) as error:
        raise ValueError(f"summary is not that of a run ({type(error).__name__}: {error})") from None


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of the values that are finite; the others are counted."""
    defined = [value for value in values if math.isfinite(value)]
    return Spread(
        mean=statistics.fmean(defined) if defined else math.nan,
        deviation=statistics.stdev(defined) if len(defined) > 1 else math.nan,
        n=len(defined),
        undefined=len(values) - len(defined),
    )


def _volume_scores(per_case: Mapping[str, Any]) -> dict[str, Score]:
    found = per_case[MEAN_OF_CLASSES] if MEAN_OF_CLASSES in per_case else next(iter(per_case.values()))
    return {
        metric: Score(_value(found[metric]["estimate"]), found[metric]["undefined"], found[metric]["infinite"])
        for metric in VOLUME_METRICS
    }


def _image_scores(summary: Mapping[str, Any]) -> dict[str, Score]:
    found = summary["with_background"]
    left_out = {
        "confusion_ratio": (found["undefined_ratios"], found["infinite_ratios"]),
        "precision": (found["undefined_precisions"], 0),
    }
    return {metric: Score(_value(found[metric]), *left_out.get(metric, (0, 0))) for metric in IMAGE_METRICS}


def _value(stored: float | None) -> float:
    return math.nan if stored is None else float(stored)
