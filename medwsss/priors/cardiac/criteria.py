"""What can be said about seeds of a study without any mask: nine criteria that a heart, whoever's it is, should meet.

None of them knows where the heart is; each has a blind spot, which its docstring names. ``CRITERIA`` says which way is
better. Labels are RV (1), MYO (2), LV (3); slices are equally far apart, so that ratios of volumes need no distance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy.ndimage import binary_erosion

from medwsss.priors.cardiac.labels import LV, MYO, RV
from medwsss.priors.cardiac.shapes import centroid, grown

EJECTION_FRACTIONS = (0.1, 0.8)
"""Ejection fractions seen in patients who can lie in a scanner: from the worst failure to hypertrophic hearts."""
NEAR_MM = 6.0
"""Surroundings of the heart whose edges its contours are compared with."""

Stack = Float32[np.ndarray, "n h w"]
Labels = UInt8[np.ndarray, "n h w"]
Better = Literal["higher", "lower"]

CRITERIA: Mapping[str, Better] = {
    "muscle_disagreement": "lower",
    "stroke_disagreement": "lower",
    "implausible_ejection": "lower",
    "slice_continuity": "higher",
    "epicardial_overlap": "higher",
    "axis_bend_mm": "lower",
    "epicardial_roundness": "higher",
    "tissue_separation": "higher",
    "contour_contrast": "higher",
}


@dataclass(frozen=True, eq=False)
class BeatingLabels:
    """Slices and labels of one study at end-diastole and end-systole."""

    images: tuple[Stack, Stack]
    """Grey levels."""
    labels: tuple[Labels, Labels]
    spacing_mm: float
    """Of square pixels."""


def criteria(study: BeatingLabels) -> dict[str, float]:
    """Every one of ``CRITERIA``; NaN where one is not defined for these labels."""
    early, late = study.labels
    return {
        "muscle_disagreement": muscle_disagreement(early, late),
        "stroke_disagreement": stroke_disagreement(early, late),
        "implausible_ejection": implausible_ejection(early, late),
        "slice_continuity": slice_continuity(study.labels),
        "epicardial_overlap": epicardial_overlap(early, late),
        "axis_bend_mm": axis_bend_mm(study.labels, spacing_mm=study.spacing_mm),
        "epicardial_roundness": epicardial_roundness(study.labels),
        "tissue_separation": tissue_separation(study.images, study.labels),
        "contour_contrast": contour_contrast(study.images, study.labels, spacing_mm=study.spacing_mm),
    }


def muscle_disagreement(diastole: Labels, systole: Labels) -> float:
    """|M_ED − M_ES| / mean(M_ED, M_ES), M the volume of muscle, in [0, 2]: 0 where muscle is conserved.

    Blind to a wall that is too thick or in the wrong place in both phases alike. A prior that expects the same area of
    muscle in both phases meets it partly by construction.
    """
    return _relative_difference(_count(diastole, MYO), _count(systole, MYO))


def stroke_disagreement(diastole: Labels, systole: Labels) -> float:
    """|S_LV − S_RV| / mean(|S_LV|, |S_RV|), S the stroke volume, in [0, 2]: both ventricles pump the same blood.

    2 where one of them does not contract. Blind to whatever is too large by the same amount in both phases. Valves that
    leak, and the slices at the base that only one ventricle reaches, make it differ from 0 in true masks as well.
    """
    strokes = (_count(diastole, label) - _count(systole, label) for label in (LV, RV))
    return _relative_difference(*strokes)


def implausible_ejection(diastole: Labels, systole: Labels) -> float:
    """Distance of each ventricle's ejection fraction from ``EJECTION_FRACTIONS``, mean of both, 0 or more.

    Tells failures only: nearly every choice of constants is plausible in this sense. NaN without a ventricle at ED.
    """
    low, high = EJECTION_FRACTIONS
    beyond = []
    for label in (LV, RV):
        full = _count(diastole, label)
        fraction = 1.0 - _count(systole, label) / full if full else math.nan
        beyond.append(max(low - fraction, fraction - high, 0.0) if full else math.nan)
    return float(np.mean(beyond))


def slice_continuity(phases: Sequence[Labels]) -> float:
    """|A ∩ B| / min(|A|, |B|) of a class in neighbouring slices, mean over classes, pairs and phases, in [0, 1].

    That is Dice divided by the Dice that the two sizes allow, so that a heart that tapers loses nothing. Pairs with an
    empty slice do not count. Blind to what is wrong in every slice alike; favours large structures.
    """
    shares = [
        float((below & above).sum()) / min(int(below.sum()), int(above.sum()))
        for labels in phases
        for label in (RV, MYO, LV)
        for below, above in zip(labels[:-1] == label, labels[1:] == label, strict=True)
        if below.any() and above.any()
    ]
    return float(np.mean(shares)) if shares else math.nan


def epicardial_overlap(diastole: Labels, systole: Labels) -> float:
    """Dice of the left ventricle with its wall between the phases, in [0, 1]: the heart moves mostly inward.

    True hearts reach about 0.9, since the outer contour does shrink a little. Blind to a common error, favours large
    walls. NaN where there is none in both.
    """
    first, second = ((labels == LV) | (labels == MYO) for labels in (diastole, systole))
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else math.nan


def axis_bend_mm(phases: tuple[Labels, Labels], *, spacing_mm: float) -> float:
    """Root mean square of c₋ − 2c + c₊, c the centre of the LV cavity in three successive slices, in mm.

    0 for a straight axis, however it leans. Blind to an axis that is straight in the wrong place. NaN without three
    successive slices.
    """
    squares = []
    for labels in phases:
        centres = np.array([centroid(plane) if plane.any() else (np.nan, np.nan) for plane in labels == LV])
        squares.append((np.diff(centres, n=2, axis=0) ** 2).sum(axis=1))
    bends = np.concatenate(squares)
    bends = bends[np.isfinite(bends)]
    return float(np.sqrt(bends.mean())) * spacing_mm if len(bends) else math.nan


def epicardial_roundness(phases: tuple[Labels, Labels]) -> float:
    """A² / (2π ∫r²), A the area of the left ventricle with its wall, r the distance from its centre: 1 for a disc.

    Mean over slices and phases; a pixel is a square (∫r² = 1/6). Blind to size, and to a round thing that is no
    ventricle. An ellipse of axes 2:1 has 0.8.
    """
    found = []
    for labels in phases:
        for plane in labels >= MYO:
            if plane.sum() > 1:
                spread = float(((np.argwhere(plane) - centroid(plane)) ** 2).sum()) + plane.sum() / 6.0
                found.append(float(plane.sum()) ** 2 / (2.0 * math.pi * spread))
    return float(np.mean(found)) if found else math.nan


def tissue_separation(images: tuple[Stack, Stack], phases: tuple[Labels, Labels]) -> float:
    """Share of the variance of grey levels within the heart that "blood or muscle" explains (η²), mean of both phases.

    In [0, 1]. Papillary muscles in the cavity lower it, though by convention they belong there. Blind to all that is
    left out: labels that keep to the middle of every structure do best.
    """
    shares = []
    for image, labels in zip(images, phases, strict=True):
        heart, muscle = image[labels > 0], labels[labels > 0] == MYO
        if not len(heart) or muscle.all() or not muscle.any() or heart.var() == 0:
            return math.nan
        between = muscle.mean() * (1.0 - muscle.mean()) * (heart[muscle].mean() - heart[~muscle].mean()) ** 2
        shares.append(float(between / heart.var()))
    return float(np.mean(shares))


def contour_contrast(images: tuple[Stack, Stack], phases: tuple[Labels, Labels], *, spacing_mm: float) -> float:
    """Mean slope of the grey levels at the contours over that within ``NEAR_MM`` of the heart; 1 if they run anywhere.

    Mean of both phases, 0 or more. Blind to which edge is followed: that of the lung is stronger than that of the wall.
    """
    ratios = []
    for image, labels in zip(images, phases, strict=True):
        at_contours, around = [], []
        for plane, found in zip(image, labels, strict=True):
            if found.any():
                slope = np.hypot(*np.gradient(plane))
                at_contours.append(slope[contours(found)])
                around.append(slope[grown(found > 0, NEAR_MM / spacing_mm)])
        if not around or np.concatenate(around).mean() == 0:
            return math.nan
        ratios.append(float(np.concatenate(at_contours).mean() / np.concatenate(around).mean()))
    return float(np.mean(ratios))


def contours(labels: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels of a label that have a neighbour, above, below or beside, of another label or of none."""
    edge = np.zeros(labels.shape, bool)
    for label in (RV, MYO, LV):
        mask = labels == label
        edge |= mask & ~binary_erosion(mask, border_value=1)
    return edge


def _count(labels: Labels, label: int) -> int:
    return int((labels == label).sum())


def _relative_difference(first: float, second: float) -> float:
    """|a − b| over the mean of |a| and |b|, in [0, 2]; NaN where both are 0."""
    size = (abs(first) + abs(second)) / 2.0
    return abs(first - second) / size if size else math.nan
