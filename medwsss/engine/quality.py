"""How far to trust each predicted volume without a mask: a number, findings in words, and what to review first."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from medwsss.engine.infer import Segmentation
from medwsss.errors import EvaluationError, OutputError
from medwsss.labels import LabelSet
from medwsss.metrics.quality import expected_dice, gaps, unwrapped_share
from medwsss.priors.cardiac.criteria import slice_continuity
from medwsss.spreadsheets import with_formulas, without_formulas
from medwsss.volumes.slicing import slices_of
from medwsss.writing import written_whole

QUALITY = "quality.csv"
LEAST_CONTINUITY = 0.6
"""Overlap of neighbouring slices below which they look shifted."""
MOST_UNWRAPPED = 0.05
"""Share of the left cavity's border that may lack its wall."""
MOST_TOLD = 5


@dataclass(frozen=True)
class CaseQuality:
    """Of one predicted 3D volume."""

    case: str
    frame: int
    """Of a 4D file, counted from 1; 0 for a 3D file."""
    expected_dice: tuple[float, ...]
    """By class; NaN where nothing speaks for the class."""
    continuity: float
    """Overlap of neighbouring slices, in [0, 1]; NaN where there is none."""
    findings: tuple[str, ...]
    """What no heart looks like, one clause each."""

    @property
    def estimate(self) -> float:
        """Mean expected Dice over classes, in [0, 1]; 0 where nothing was segmented.

        The probabilities are means over flips, rotations and, with several runs, seeds: where those disagree, less Dice
        is expected.

        On 38 held-out ACDC volumes its rank correlation with Dice was 0.73, that of continuity −0.02: slices that were
        shifted between breath-holds do not overlap in the reference either. Continuity is therefore a finding alone.
        """
        known = [value for value in self.expected_dice if math.isfinite(value)]
        return float(np.mean(known)) if known else 0.0


def case_quality(case: str, frame: int, found: Segmentation, labels: LabelSet) -> CaseQuality:
    """What the probabilities and the labels of one volume say about it."""
    stack = slices_of(found.labels).array
    probs = np.stack([slices_of(found.probs.frame(channel)).array for channel in range(labels.num_classes)], axis=1)
    missing = zip(labels.names, gaps(stack, labels.num_foreground), strict=True)
    findings = [f"{name} is missing in {count} slices between others" for name, count in missing if count]
    findings += [f"no {name}" for code, name in enumerate(labels.names, start=1) if not (stack == code).any()]
    findings += list(_anatomy(stack, labels))
    continuity = slice_continuity((stack,))
    if continuity < LEAST_CONTINUITY:
        findings.append("neighbouring slices hardly overlap (are they shifted?)")
    return CaseQuality(
        case=case,
        frame=frame,
        expected_dice=tuple(expected_dice(stack, probs).tolist()),
        continuity=continuity,
        findings=tuple(findings),
    )


def _anatomy(stack: UInt8[np.ndarray, "n h w"], labels: LabelSet) -> Iterator[str]:
    """Where a left ventricle has no wall around it."""
    if {"LV", "MYO"} <= set(labels.names):
        cavity, wall = (labels.names.index(name) + 1 for name in ("LV", "MYO"))
        share = unwrapped_share(stack, cavity=cavity, wall=wall)
        if share > MOST_UNWRAPPED:
            yield f"{100 * share:.0f} % of the border of the LV have no MYO around"


def write_quality(qualities: Sequence[CaseQuality], labels: LabelSet, out: Path) -> Path:
    """Store quality.csv in ``out``, the volumes to review first at the top.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = [
        {
            "case": quality.case,
            "frame": quality.frame or "",
            "estimate": quality.estimate,
            **{f"expected_dice_{name}": value for name, value in zip(labels.names, quality.expected_dice, strict=True)},
            "continuity": quality.continuity,
            "findings": "; ".join(quality.findings),
        }
        for quality in review_order(qualities)
    ]
    path = out / QUALITY
    try:
        with written_whole(path) as temporary:
            without_formulas(pd.DataFrame(rows)).to_csv(temporary, index=False, na_rep="nan", float_format="%.6g")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another --out") from error
    return path


def review_order(qualities: Sequence[CaseQuality]) -> list[CaseQuality]:
    """Lowest estimate first."""
    return sorted(qualities, key=lambda quality: quality.estimate)


def review_lines(qualities: Sequence[CaseQuality]) -> list[str]:
    """For a terminal: the volumes to review first, with their estimate and findings."""
    if len(qualities) < 2:
        return []
    first = review_order(qualities)[:MOST_TOLD]
    return ["Review these first:", *(f"  {_told(quality)}" for quality in first)]


def read_quality(predictions: Path) -> dict[str, float]:
    """Estimate by case of a folder of predictions; empty where it has none, and 4D files are left out.

    Raises:
        EvaluationError: quality.csv is damaged.
    """
    table = read_findings(predictions)
    return dict(zip(table["case"], table["estimate"], strict=True))


def read_findings(predictions: Path) -> pd.DataFrame:
    """Case, estimate and findings of a folder of predictions, as stored; 4D files are left out.

    Raises:
        EvaluationError: quality.csv is damaged.
    """
    path, columns = predictions / QUALITY, ["case", "estimate", "findings"]
    if not path.is_file():
        return pd.DataFrame(columns=columns)
    try:
        table = pd.read_csv(path, dtype={"case": str, "findings": str})
        whole = table.loc[table["frame"].isna(), columns]
        whole = whole.assign(case=with_formulas(whole["case"]))
        return whole.astype({"estimate": float}).fillna({"findings": ""})
    except (ValueError, KeyError, OSError) as error:
        raise EvaluationError(f"{path} is damaged ({error}): remove it, or predict again") from None


def _told(quality: CaseQuality) -> str:
    name = f"{quality.case} frame {quality.frame}" if quality.frame else quality.case
    findings = f" ({'; '.join(quality.findings)})" if quality.findings else ""
    return f"{name}: estimate {quality.estimate:.2f}{findings}"
