"""Counting pairs of labels quickly: maps are piecewise constant, so runs of equal pairs are counted, not pixels."""

import numpy as np
from jaxtyping import Int64, UInt8

LABELS = 256
"""Values that a pixel of a label image can have."""


def label_pair_counts(
    prediction: UInt8[np.ndarray, "h w"], reference: UInt8[np.ndarray, "h w"]
) -> Int64[np.ndarray, "256 256"]:
    """Number of pixels with each pair of labels: reference in rows, prediction in columns, 255 like any other.

    Raises:
        ValueError: the maps differ in shape or are not of uint8.
    """
    counts = np.zeros((LABELS, LABELS), dtype=np.int64)
    add_label_pairs(counts, prediction, reference)
    return counts


def add_label_pairs(
    counts: Int64[np.ndarray, "256 256"],
    prediction: UInt8[np.ndarray, "h w"],
    reference: UInt8[np.ndarray, "h w"],
) -> None:
    """Add ``label_pair_counts`` of one more image to ``counts``, which spares a table per image.

    Exact integers, in about a fifth of the time that a count over all pixels takes on masks of photographs. Only a map
    of noise, which has no runs, takes longer.

    Raises:
        ValueError: the maps differ in shape or are not of uint8, or ``counts`` is no such table in row order.
    """
    _check(counts, prediction, reference)
    if prediction.size:
        predicted, true = prediction.ravel(), reference.ravel()
        ends = _run_ends(predicted, true)
        pairs = true[ends].astype(np.intp) * LABELS + predicted[ends]
        np.add.at(counts.reshape(-1), pairs, np.diff(ends, prepend=-1))


def _run_ends(first: UInt8[np.ndarray, " n"], second: UInt8[np.ndarray, " n"]) -> Int64[np.ndarray, " runs"]:
    """The last position of every stretch along which neither map changes."""
    changes = first[1:] != first[:-1]
    changes |= second[1:] != second[:-1]
    return np.append(np.flatnonzero(changes), first.size - 1)


def _check(counts: np.ndarray, prediction: np.ndarray, reference: np.ndarray) -> None:
    for name, labels in (("prediction", prediction), ("reference", reference)):
        if labels.dtype != np.uint8:
            raise ValueError(f"{name} must be of uint8, not {labels.dtype}")
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction has shape {prediction.shape}, reference {reference.shape}")
    if counts.shape != (LABELS, LABELS) or counts.dtype != np.int64 or not counts.flags.c_contiguous:
        raise ValueError(f"counts must be a {LABELS} x {LABELS} table of int64 in row order")
