"""A report in words, and all of its numbers as JSON."""

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from medwsss.metrics.results import (
    MEAN_OF_CLASSES,
    PER_CASE,
    POOLED,
    BaselineResult,
    Evaluation,
    Scores,
    Sources,
)
from medwsss.metrics.statistics import Interval
from medwsss.reports.tables import number, ranked, score_cell, spoken, total

NOT_A_DEVICE = (
    "Research software: not a medical device, not validated for diagnosis, treatment or any clinical decision. "
    "The volumes are measurements of label maps, not of patients."
)
VERSIONED = ("medwsss", "torch", "numpy", "scipy", "nibabel")


@dataclass(frozen=True)
class Verdict:
    """Whether the predictions are better than masks that need no training, for one structure."""

    target: str
    beats_all: bool
    sentence: str
    """Begins with the target."""


def verdicts(evaluation: Evaluation) -> tuple[Verdict, ...]:
    """One for each structure the baselines were scored on."""
    targets = dict.fromkeys(baseline.target for baseline in evaluation.baselines)
    return tuple(_verdict(evaluation, target) for target in targets)


def _verdict(evaluation: Evaluation, target: str) -> Verdict:
    baselines = ranked(evaluation, target)
    lost = [baseline for baseline in baselines if not baseline.beaten]
    dice = number(evaluation.targets[target]["dice"].estimate, "dice")
    if lost:
        listed = "; ".join(f"{mask.title} ({number(mask.dice.estimate, 'dice')} %)" for mask in lost)
        sentence = f"{target}: {dice} % mean Dice does not beat: {listed}. It has learned nothing useful beyond "
        sentence += f"{_these(lost)}."
        return Verdict(target, False, sentence)
    best = baselines[0]
    gain = best.difference
    points, low, high = (number(value, "dice", signed=True) for value in (gain.estimate, gain.low, gain.high))
    sentence = (
        f"{target}: {dice} % mean Dice beats all {len(baselines)} training-free masks; the best of them, {best.title}, "
        f"reaches {number(best.dice.estimate, 'dice')} % (difference {points} points, interval {low} to {high})."
    )
    if gain.low <= 0:
        sentence += " The interval of that difference includes zero: more patients could reverse it."
    return Verdict(target, True, sentence)


def _these(lost: list[BaselineResult]) -> str:
    return "this mask, which needs no training" if len(lost) == 1 else "these masks, which need no training"


def conclusion(evaluation: Evaluation) -> str:
    """The verdicts in one sentence."""
    found = verdicts(evaluation)
    if not found:
        return "No training-free baseline stands beside these numbers."
    lost = [verdict.target for verdict in found if not verdict.beats_all]
    if not lost:
        return f"The predictions beat every training-free baseline ({', '.join(verdict.target for verdict in found)})."
    won = [verdict.target for verdict in found if verdict.beats_all]
    kept = f", though they do for {', '.join(won)}" if won else ""
    return f"The predictions do not beat every training-free baseline for {', '.join(lost)}{kept}."


def summary_sentences(evaluation: Evaluation) -> tuple[str, str, str]:
    """What was compared; how well it agrees; whether that is better than no training at all."""
    what = (
        f"{evaluation.cases} volumes of {evaluation.patients} patients ({evaluation.slices} slices) were compared with "
        f"their references, task {evaluation.task} ({', '.join(evaluation.classes)})."
    )
    dice = {name: _headline(scores)["dice"] for name, scores in evaluation.scores.items()}
    per_case = score_cell(dice[PER_CASE], "dice")
    others = ", ".join(f"{number(s.estimate, 'dice')} % {spoken(name)}" for name, s in dice.items() if name != PER_CASE)
    of = " over the classes" if len(evaluation.classes) > 1 else ""
    ratio = number(_headline(evaluation.scores[POOLED])["confusion_ratio"].estimate, "confusion_ratio")
    how = (
        f"Mean Dice{of} is {per_case.value} % {per_case.interval} per case, {others}; "
        f"the pooled confusion ratio FP/TP is {ratio}."
    )
    return what, how, conclusion(evaluation)


def _headline(scores: Scores) -> Mapping[str, Interval]:
    return scores[MEAN_OF_CLASSES] if MEAN_OF_CLASSES in scores else next(iter(scores.values()))


def left_out_sentence(evaluation: Evaluation) -> str:
    """How many of the per-case values could not enter a mean."""
    found = [score for name in evaluation.classes for score in evaluation.scores[PER_CASE][name].values()]
    undefined, infinite = sum(score.undefined for score in found), sum(score.infinite for score in found)
    count = sum(total(score) for score in found)
    if not undefined + infinite:
        return f"All {count} values per case are defined and finite."
    return (
        f"{undefined} of {count} values per case are undefined and {infinite} infinite; "
        "they are left out of the means and listed below, never counted as 0 or 1."
    )


def summary_json(evaluation: Evaluation, sources: Sources, notes: Mapping[str, str]) -> dict[str, Any]:
    """All aggregated numbers, ready for strict JSON: undefined and infinite numbers are null, and counted beside it."""
    summary = {
        "task": evaluation.task,
        "classes": list(evaluation.classes),
        **evaluation.scores,
        "by_phase": evaluation.by_phase,
        "by_group": evaluation.by_group,
        "clinical": {name: asdict(found) for name, found in evaluation.clinical.agreement.items()},
        "estimates": dict(evaluation.estimates),
        "baselines": [
            {**asdict(baseline), "difference_aggregation": PER_CASE, "beaten": baseline.beaten}
            for baseline in evaluation.baselines
        ],
        "baseline_targets": evaluation.targets,
        "verdicts": [asdict(verdict) for verdict in verdicts(evaluation)],
        "conclusion": conclusion(evaluation),
        "counts": {"cases": evaluation.cases, "patients": evaluation.patients, "slices": evaluation.slices},
        "unmatched": {
            "predictions": list(sources.unmatched_predictions),
            "references": list(sources.unmatched_references),
        },
        "codes": {"predictions": sources.prediction_codes, "references": sources.reference_codes},
        "tags": sources.tags,
        "checkpoint": sources.checkpoint,
        "sources": {"predictions": sources.predictions, "references": sources.references},
        "bootstrap": {"resamples": evaluation.resamples, "level": 0.95, "unit": "patient"},
        "device": evaluation.device,
        "versions": versions(),
        "remarks": list(evaluation.remarks),
        "notes": dict(notes),
    }
    plain: dict[str, Any] = plain_json(summary)
    return plain


def versions() -> dict[str, str]:
    """Versions of what computed the numbers."""
    return {"python": platform.python_version(), **{name: _version(name) for name in VERSIONED}}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def plain_json(value: Any) -> Any:
    """A value as strict JSON has it: numbers that are not finite become null, tuples lists, intervals objects."""
    if isinstance(value, Interval):
        return plain_json(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
