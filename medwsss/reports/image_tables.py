"""What a report on label images says: sentences and tables, before they become HTML or Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from medwsss.metrics.image_results import CONTOUR_F, ImageEvaluation, ImageSummary
from medwsss.reports.summary import versions
from medwsss.reports.tables import Cell, Table, number

TITLES: Mapping[str, str] = {
    "iou": "IoU [%]",
    "precision": "Precision [%]",
    "recall": "Recall [%]",
    "confusion_ratio": "FP/TP",
    "false_positive_rate": "FP rate [%]",
    "false_negative_rate": "FN rate [%]",
    CONTOUR_F: "Contour F [%]",
}
DEFINITIONS: Mapping[str, str] = {
    "Counts": "TP, FP and FN are the pixels of a class that were found rightly, found wrongly and missed, summed over "
    "all images. Pixels that are 255 in the reference or in the prediction are left out.",
    "IoU": "TP / (TP + FP + FN). mIoU, the J of HFPL, is the mean over the classes that occur in the reference.",
    "FP/TP": "Confusion ratio: wrongly labelled pixels for each correctly labelled one; 0 is best. Infinite for a "
    "class that was predicted and never rightly, undefined for one that was never predicted; neither enters the mean.",
    "FP/TP, pooled": "All FP of the classes over all their TP: frequent classes rule it.",
    "Precision": "TP / (TP + FP); undefined for a class that was never predicted.",
    "Recall": "TP / (TP + FN); undefined for a class that does not occur in the reference. Means of precision, recall "
    "and both rates run over the classes that occur.",
    "FP rate, FN rate": "FP and FN over (TP + FP + FN), as in Eq. 4 of USAGE: with IoU they sum to 100 %.",
    "Contour F": "Harmonic mean of the shares of both boundaries that have the other within 0.8 % of the image "
    "diagonal, from counts summed over images; the mean runs over the classes with a boundary in the reference. "
    "255 belongs to no class: where the reference has a band of 255 around objects, a prediction without that band "
    "cannot reach 100 %, as in the published code.",
    "J&F": "(mIoU + mean contour F) / 2.",
    "Without background": "Means over the other classes. Background taken for an object stays an FP of its class.",
}
_NAMES_SHOWN = 8


@dataclass(frozen=True)
class ImageContent:
    """Sentences and tables of one report."""

    title: str
    kicker: str
    """Program and time."""
    sentences: tuple[str, ...]
    undecided: str
    """How much is missing from the scores because predictions say 255; empty when nothing is."""
    summary: Table
    comparison: Table | None
    """FP/TP and IoU of selected classes, one column for each method (UniA, Table VI)."""
    per_class: Table
    remarks: tuple[str, ...]
    about: Table
    unmatched: Mapping[str, tuple[str, ...]]


def image_content(
    evaluation: ImageEvaluation,
    *,
    title: str,
    notes: Mapping[str, str],
    selected: Sequence[str],
    beside: Mapping[str, ImageEvaluation],
) -> ImageContent:
    """Everything but the picture."""
    methods = [(own_name(evaluation), evaluation), *beside.items()]
    return ImageContent(
        title=title,
        kicker=f"medwsss {versions()['medwsss']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        sentences=summary_sentences(evaluation),
        undecided=undecided_sentence(evaluation),
        summary=summary_table(evaluation),
        comparison=comparison_table(methods, selected) if selected or beside else None,
        per_class=per_class_table(evaluation),
        remarks=remarks(evaluation, beside),
        about=_about(evaluation, notes, beside),
        unmatched=unmatched(evaluation),
    )


def summary_sentences(evaluation: ImageEvaluation) -> tuple[str, str]:
    """What was compared, and how well it agrees."""
    part = evaluation.sources.part
    of = f" of the list {part}" if part else ""
    everything, foreground = evaluation.with_background, evaluation.without_background
    what = (
        f"{evaluation.images} images{of} were compared with their references: "
        f"{evaluation.labels.name}, {evaluation.labels.num_foreground} classes and background."
    )
    iou, other_iou = (number(one.iou, "iou") for one in (everything, foreground))
    ratios = (everything.confusion_ratio, everything.pooled_confusion_ratio)
    ratio, pooled = (number(value, "confusion_ratio") for value in ratios)
    how = (
        f"mIoU is {iou} % ({other_iou} % without background); the confusion ratio FP/TP is {ratio} as mean over the "
        f"classes and {pooled} pooled"
    )
    if everything.contour_f is not None and everything.j_and_f is not None:
        how += f"; contour quality F is {number(everything.contour_f, 'iou')} %, "
        how += f"J&F {number(everything.j_and_f, 'iou')} %"
    return what, f"{how}."


def undecided_sentence(evaluation: ImageEvaluation) -> str:
    """The share of the pixels where the prediction says 255 and the reference does not; empty without any."""
    if not evaluation.undecided.any():
        return ""
    return (
        f"Pseudo-labels: {_undecided_words(evaluation)} (255 in the prediction). "
        "Scores on the rest are not those of a complete segmentation."
    )


def remarks(evaluation: ImageEvaluation, beside: Mapping[str, ImageEvaluation]) -> tuple[str, ...]:
    """Which classes could not enter a mean, and which methods left pixels out."""
    ratio = evaluation.per_class["confusion_ratio"]
    infinite, undefined = (
        [name for name, odd in zip(evaluation.class_names, found.tolist(), strict=True) if odd]
        for found in (np.isinf(ratio), np.isnan(ratio))
    )
    reasons = {
        "Not in the counted pixels of the reference, so in no mean": evaluation.absent,
        "Predicted and never rightly, so FP/TP is infinite and not in its mean": infinite,
        "Never predicted, so FP/TP is undefined and not in its mean": undefined,
    }
    return (
        *(f"{reason}: {_listed(names)}." for reason, names in reasons.items() if names),
        *(f"{name}: {_undecided_words(other)}." for name, other in beside.items() if other.undecided.any()),
    )


def _undecided_words(evaluation: ImageEvaluation) -> str:
    share = evaluation.undecided_share
    shown = number(share, "iou") if share >= 0.0005 else "less than 0.1"
    return f"{shown} % of the pixels are undecided and left out"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{', '.join(names[:_NAMES_SHOWN])}{more}"


def summary_table(evaluation: ImageEvaluation) -> Table:
    """Means with and without background side by side."""
    both = (evaluation.with_background, evaluation.without_background)
    rows = {
        "mIoU (J) [%]": [_cell(one.iou, "iou") for one in both],
        "Precision [%]": [_cell(one.precision, "iou", undefined=one.undefined_precisions) for one in both],
        "Recall [%]": [_cell(one.recall, "iou") for one in both],
        "FP/TP, mean over classes": [_ratio_cell(one) for one in both],
        "FP/TP, pooled": [_cell(one.pooled_confusion_ratio, "confusion_ratio") for one in both],
        "FP rate [%]": [_cell(one.false_positive_rate, "iou") for one in both],
        "FN rate [%]": [_cell(one.false_negative_rate, "iou") for one in both],
    }
    if evaluation.contours is not None:
        rows["Contour F [%]"] = [_cell(one.contour_f, "iou") for one in both]
        rows["J&F [%]"] = [_cell(one.j_and_f, "iou") for one in both]
    rows["Classes that occur"] = [Cell(str(one.occurring)) for one in both]
    header = ("Mean over classes", "With background", "Without background")
    return Table(header, tuple((Cell(name), *cells) for name, cells in rows.items()))


def per_class_table(evaluation: ImageEvaluation) -> Table:
    """Classes down in the order of their labels, metrics across; the share that is undecided where any is."""
    metrics = [metric for metric in TITLES if metric in evaluation.per_class]
    undecided = evaluation.undecided.any()
    total = evaluation.matrix.sum(axis=1) + evaluation.undecided
    rows = []
    for row, name in enumerate(evaluation.class_names):
        cells = [_cell(float(evaluation.per_class[metric][row]), metric) for metric in metrics]
        if undecided:
            cells.append(_cell(evaluation.undecided[row] / total[row] if total[row] else float("nan"), "iou"))
        rows.append((Cell(name), *cells))
    header = ("Class", *(TITLES[metric] for metric in metrics), *(("Undecided [%]",) if undecided else ()))
    return Table(header, tuple(rows))


def comparison_table(methods: Sequence[tuple[str, ImageEvaluation]], selected: Sequence[str]) -> Table:
    """Confusion ratio and, in brackets, IoU in percent (UniA, Table VI); the last row is the mean over all classes.

    Without a selection every class but background has a row.
    """
    first = methods[0][1]
    rows = [
        (Cell(name), *(_pair(one.per_class, one.class_names.index(name)) for _, one in methods))
        for name in selected or first.labels.names
    ]
    whole = (_mean_pair(one.with_background) for _, one in methods)
    return Table(("FP/TP (IoU [%])", *(name for name, _ in methods)), (*rows, (Cell("all classes"), *whole)))


def own_name(evaluation: ImageEvaluation) -> str:
    """The name of the evaluated predictions beside those of other methods: that of their folder."""
    return evaluation.sources.predictions.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or "these predictions"


def unmatched(evaluation: ImageEvaluation) -> dict[str, tuple[str, ...]]:
    """Names that were not compared, by the reason; only where there are some."""
    why = "not in the list" if evaluation.sources.part else "no reference"
    found = {
        f"Predictions that were not compared ({why})": evaluation.sources.unmatched_predictions,
        "References without prediction, not compared": evaluation.sources.unmatched_references,
    }
    return {what: names for what, names in found.items() if names}


def _pair(per_class: Mapping[str, np.ndarray], row: int) -> Cell:
    ratio, iou = (number(float(per_class[metric][row]), metric) for metric in ("confusion_ratio", "iou"))
    return Cell(ratio, f"({iou})")


def _mean_pair(summary: ImageSummary) -> Cell:
    mean = _ratio_cell(summary)
    return Cell(mean.value, f"({number(summary.iou, 'iou')})", mean.remark)


def _ratio_cell(summary: ImageSummary) -> Cell:
    counts = {"infinite": summary.infinite_ratios, "undefined": summary.undefined_ratios}
    return _cell(summary.confusion_ratio, "confusion_ratio", **counts)


def _cell(value: float | None, metric: str, **left_out: int) -> Cell:
    """A value as a ratio or in percent, and how many classes are not in it."""
    remark = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
    if value is None:
        return Cell("–", remark=remark)
    return Cell(number(value, "confusion_ratio" if metric == "confusion_ratio" else "iou"), remark=remark)


def _about(evaluation: ImageEvaluation, notes: Mapping[str, str], beside: Mapping[str, ImageEvaluation]) -> Table:
    sources = evaluation.sources
    about = {
        **notes,
        "predictions": sources.predictions,
        "references": sources.references,
        "images": f"{evaluation.images}, {_list_words(sources.part)}",
        "pixels": f"{evaluation.pixels:,} with a reference, {int(evaluation.undecided.sum()):,} of them undecided",
        **{f"beside, {name}": other.sources.predictions for name, other in beside.items()},
        "counted on": evaluation.device,
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    return Table(("What", "Value"), tuple((Cell(name), Cell(value)) for name, value in about.items()), words=True)


def _list_words(part: str | None) -> str:
    return f"all of the list {part}" if part else "those that have both a prediction and a reference"


def bullets(lines: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {line}" for line in lines)
