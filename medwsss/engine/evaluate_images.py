"""Compare label images with their references: counts that stream over all cores or the GPU, and their scores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from medwsss.engine.image_pairs import ImagePair, ImagePairing, check_labels, load_maps
from medwsss.engine.workers import available_cores, spread
from medwsss.errors import EvaluationError
from medwsss.labels import IGNORE, LabelSet
from medwsss.metrics.confusion import ClassScores, class_scores, confusion_matrix
from medwsss.metrics.contour import contour_counts, contour_counts_of_arrays, contour_f, mean_contour_f
from medwsss.metrics.image_results import CONTOUR_F, PIXEL_METRICS, ImageEvaluation, ImageSources, ImageSummary
from medwsss.metrics.label_pairs import LABELS, add_label_pairs

CHUNK = 16
"""Images that one worker counts before it answers."""
_Maps = tuple[UInt8[np.ndarray, "_ _"], UInt8[np.ndarray, "_ _"]]
"""Prediction and reference of an image; images differ in size."""


@dataclass(frozen=True, eq=False)
class _Counts:
    """Counts of some images, which add up."""

    matrix: Int64[np.ndarray, "k k"]
    undecided: Int64[np.ndarray, " k"]
    contours: Int64[np.ndarray, "k 4"]
    images: int

    def __add__(self, other: "_Counts") -> "_Counts":
        return _Counts(
            self.matrix + other.matrix,
            self.undecided + other.undecided,
            self.contours + other.contours,
            self.images + other.images,
        )


def evaluate_images(
    pairing: ImagePairing,
    labels: LabelSet,
    *,
    device: torch.device,
    contours: bool = True,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> ImageEvaluation:
    """Count pixels and contours of all images, and score the sums.

    On the CPU, worker processes read and count; with a GPU, threads read and the GPU counts. Either way memory does not
    grow with the number of images: a process holds one pair, and for the GPU two chunks of pairs wait per thread.
    Pixels where the reference is 255 are left out; so are those where only the prediction is, and these are counted.

    Args:
        pairing: of ``pair_images``.
        labels: the classes.
        device: where to count.
        contours: whether to measure contour quality, which takes most of the time.
        workers: processes or threads; all cores that this process may use when None.
        progress: told the number of images done, now and then.

    Raises:
        EvaluationError: no image, sizes differ, a label has no class, or a worker died.
        DatasetError: a file cannot be read or holds no label numbers.
    """
    counts: _Counts | None = None
    for some in _partial_counts(pairing.pairs, labels, device, contours, workers or available_cores()):
        counts = some if counts is None else counts + some
        if progress is not None:
            progress(counts.images)
    if counts is None:
        raise EvaluationError("there is no image to evaluate")
    return _evaluation(counts, labels, contours, pairing.sources, str(device))


def _partial_counts(
    pairs: Sequence[ImagePair], labels: LabelSet, device: torch.device, contours: bool, workers: int
) -> Iterator[_Counts]:
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    if device.type == "cpu":
        return spread(partial(_counted, chunks, labels, contours), len(chunks), workers, forked=True)
    maps = spread(partial(_loaded, chunks, labels), len(chunks), workers, forked=False)
    return (_counted_on(device, chunk, labels.num_classes, contours) for chunk in maps)


def _counted(chunks: Sequence[Sequence[ImagePair]], labels: LabelSet, contours: bool, index: int) -> _Counts:
    """Counts of one chunk, without torch, in a worker process."""
    classes = labels.num_classes
    table, outlines = np.zeros((LABELS, LABELS), dtype=np.int64), np.zeros((classes, 4), dtype=np.int64)
    for pair in chunks[index]:
        prediction, reference = load_maps(pair)
        add_label_pairs(table, prediction, reference)
        if contours:
            outlines += contour_counts_of_arrays(prediction, reference, classes=classes)
    if table[classes:IGNORE].any() or table[:, classes:IGNORE].any():  # rare, so that only then one looks where
        for pair in chunks[index]:
            check_labels(pair, load_maps(pair), labels)
    return _Counts(table[:classes, :classes], table[:classes, IGNORE], outlines, len(chunks[index]))


def _loaded(chunks: Sequence[Sequence[ImagePair]], labels: LabelSet, index: int) -> list[_Maps]:
    found = [load_maps(pair) for pair in chunks[index]]
    for pair, maps in zip(chunks[index], found, strict=True):
        check_labels(pair, maps, labels)
    return found


def _counted_on(device: torch.device, maps: Sequence[_Maps], classes: int, contours: bool) -> _Counts:
    """Counts of some images on a device: one confusion matrix for all of their pixels, contours image by image."""
    predicted, true = (
        torch.from_numpy(np.concatenate([pair[side].ravel() for pair in maps])).to(device) for side in (0, 1)
    )
    matrix = confusion_matrix(predicted, true, classes=classes)
    left_out = true[(predicted == IGNORE) & (true != IGNORE)]
    outlines = torch.zeros(classes, 4, dtype=torch.int64, device=device)
    if contours:
        for prediction, reference in maps:
            on_device = (torch.from_numpy(labels).to(device) for labels in (prediction, reference))
            outlines += contour_counts(*on_device, classes=classes)
    undecided = torch.bincount(left_out.long(), minlength=classes)
    return _Counts(matrix.cpu().numpy(), undecided.cpu().numpy(), outlines.cpu().numpy(), len(maps))


def _evaluation(
    counts: _Counts, labels: LabelSet, contours: bool, sources: ImageSources, device: str
) -> ImageEvaluation:
    scores, outlines = class_scores(torch.from_numpy(counts.matrix)), torch.from_numpy(counts.contours)
    per_class = {metric: getattr(scores, metric).numpy() for metric in PIXEL_METRICS}
    if contours:
        per_class[CONTOUR_F] = contour_f(outlines).numpy()
    with_background, without_background = (
        _summary(counts.matrix, scores, outlines if contours else None, slice(first, None)) for first in (0, 1)
    )
    return ImageEvaluation(
        labels=labels,
        matrix=counts.matrix,
        undecided=counts.undecided,
        contours=counts.contours if contours else None,
        per_class=per_class,
        with_background=with_background,
        without_background=without_background,
        images=counts.images,
        sources=sources,
        device=device,
    )


def _summary(
    matrix: Int64[np.ndarray, "k k"], scores: ClassScores, outlines: Tensor | None, group: slice
) -> ImageSummary:
    """Means over a group of classes; pixels of the other classes still count as FP and FN of those in the group."""
    part = ClassScores(**{field.name: getattr(scores, field.name)[group] for field in fields(scores)})
    occurs = part.reference_count > 0
    hits, predicted = matrix.diagonal()[group].sum(), matrix.sum(axis=0)[group].sum()
    ratio = part.confusion_ratio
    return ImageSummary(
        occurring=int(occurs.sum()),
        iou=part.mean_iou,
        precision=float(part.precision[occurs].nanmean()),
        recall=float(part.recall[occurs].mean()),
        false_positive_rate=float(part.false_positive_rate[occurs].mean()),
        false_negative_rate=float(part.false_negative_rate[occurs].mean()),
        confusion_ratio=float(ratio[ratio.isfinite()].mean()),
        pooled_confusion_ratio=float(torch.tensor(predicted - hits).double() / torch.tensor(hits)),
        finite_ratios=int(ratio.isfinite().sum()),
        infinite_ratios=int(ratio.isinf().sum()),
        undefined_ratios=int(ratio.isnan().sum()),
        undefined_precisions=int(part.precision[occurs].isnan().sum()),
        contour_f=None if outlines is None else mean_contour_f(outlines[group]),
    )
