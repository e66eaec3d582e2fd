"""A small evaluation with two volumes, one of which was missed, made by hand."""

import io
import math
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.image import imread

from medwsss.metrics.agreement import agreement
from medwsss.metrics.results import (
    METRICS,
    PER_CASE,
    PER_CASE_COLUMNS,
    PER_SLICE,
    POOLED,
    BaselineResult,
    ClinicalNumbers,
    Evaluation,
    Overlay,
    OverlaySlice,
    Sources,
)
from medwsss.metrics.statistics import Interval

SOURCES = Sources(
    predictions="ours",
    references="theirs",
    prediction_codes="labels of the task (1 heart)",
    reference_codes="ACDC codes",
    tags="none",
    unmatched_predictions=("stranger",),
    unmatched_references=("patient009_frame01",),
)


def interval(estimate: float, *, n: int = 2, undefined: int = 0, infinite: int = 0, width: float = 0.1) -> Interval:
    return Interval(estimate, estimate - width, estimate + width, n, undefined, infinite)


def baseline(name: str, dice: float, difference: float, *, tags: bool = False, width: float = 0.01) -> BaselineResult:
    return BaselineResult(
        name=name,
        tags=tags,
        uses_masks=name == "mean shape",
        target="heart",
        dice=interval(dice),
        confusion_ratio=interval(1.0),
        difference=interval(difference, width=width),
    )


def evaluation(*baselines: BaselineResult, image: bool = True, clinicians: bool = False) -> Evaluation:
    """Mean Dice 0.4; one HD95 is infinite and one precision undefined."""
    scores = {metric: interval(0.4) for metric in METRICS}
    scores |= {"precision": interval(0.8, n=1, undefined=1), "hd95_mm": interval(3.0, n=1, infinite=1)}
    return Evaluation(
        task="heart",
        classes=("heart",),
        per_case=per_case(),
        scores={PER_CASE: {"heart": scores}, POOLED: {"heart": scores}, PER_SLICE: {"heart": scores}},
        by_phase={"ED": {"heart": scores}, "ES": {"heart": scores}},
        by_group={},
        targets={"heart": {"dice": interval(0.4), "confusion_ratio": interval(0.5)}} if baselines else {},
        baselines=baselines,
        overlays=(overlay("best", image=image), overlay("worst", image=image)),
        clinical=clinical() if clinicians else ClinicalNumbers(pd.DataFrame(), pd.DataFrame(), {}),
        slices=20,
        resamples=2000,
        device="cpu",
        remarks=("a file had an odd header",),
    )


def clinical() -> ClinicalNumbers:
    """Three patients: LV EDV 10 mL too large on average (8, 10, 12), the third has no end-systole."""
    reference = pd.DataFrame(
        {"LV EDV": [100.0, 120.0, 140.0], "LV ESV": [40.0, 60.0, math.nan]}, index=["p1", "p2", "p3"]
    ).rename_axis("patient")
    measured = reference + pd.DataFrame({"LV EDV": [8.0, 10.0, 12.0], "LV ESV": [0.0, 0.0, 0.0]}, index=reference.index)
    found = {
        name: agreement(
            measured[name].to_numpy(), reference[name].to_numpy(), generator=np.random.default_rng(0), resamples=50
        )
        for name in reference
    }
    return ClinicalNumbers(measured, reference, found)


def per_case() -> pd.DataFrame:
    known = {"patient": "patient001", "group": "", "class": "heart", "reference_volume_ml": 100.0}
    found = dict.fromkeys(METRICS, 0.8) | {"case": "patient001_frame01", "phase": "ED", "volume_ml": 90.0}
    missed = {"dice": 0.0, "recall": 0.0, "iou": 0.0, "confusion_ratio": math.nan, "precision": math.nan}
    missed |= {"hd95_mm": math.inf, "assd_mm": math.inf, "volume_ml": 0.0}
    rows = [known | found, known | missed | {"case": "patient001_frame02", "phase": "ES"}]
    return pd.DataFrame(rows, columns=list(PER_CASE_COLUMNS))


def overlay(rank: str, *, image: bool) -> Overlay:
    square = np.zeros((40, 50), np.uint8)
    square[10:20, 10:20] = 1
    grey = np.linspace(0, 1, 2000, dtype=np.float32).reshape(40, 50) if image else None
    piece = OverlaySlice(3, grey, square, np.roll(square, 2, axis=0), (1.5, 1.5))
    return Overlay(rank, f"{rank}_case", 0.8, (piece, piece))


def grouped(groups: dict[str, list[float]]) -> Evaluation:
    """Volumes with these values of Dice, by group; every second one is at end-systole."""
    template = per_case().iloc[0].to_dict()
    rows = [
        template | {"case": f"{group}{place}", "group": group, "phase": ("ED", "ES")[place % 2], "dice": value}
        for group, values in groups.items()
        for place, value in enumerate(values)
    ]
    return replace(evaluation(), per_case=pd.DataFrame(rows, columns=list(PER_CASE_COLUMNS)))


def pixels(png: bytes) -> np.ndarray:
    """Colours in [0, 1]."""
    return np.asarray(imread(io.BytesIO(png), format="png")[..., :3])
