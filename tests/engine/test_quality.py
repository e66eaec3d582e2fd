import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medwsss.engine.infer import Segmentation
from medwsss.engine.quality import (
    QUALITY,
    CaseQuality,
    case_quality,
    read_quality,
    review_lines,
    review_order,
    write_quality,
)
from medwsss.errors import EvaluationError
from medwsss.labels import LabelSet
from medwsss.volumes.volume import Volume

LABELS = LabelSet("two", ("A", "B"))


def segmented(labels: np.ndarray, sureness: float) -> Segmentation:
    """Labels (x, y, z) whose probability is ``sureness`` everywhere; the rest goes to the background, or to A."""
    affine = np.diag([1.0, 1.0, 10.0, 1.0])
    probs = np.zeros((*labels.shape, 3), np.float32)
    np.put_along_axis(probs, labels[..., None].astype(int), sureness, axis=-1)
    np.put_along_axis(probs, np.where(labels == 0, 1, 0)[..., None], 1 - sureness, axis=-1)
    spacing = (1.0, 1.0, 10.0)
    return Segmentation(
        Volume(labels, spacing, affine),
        Volume(probs, spacing, affine),
        Volume(np.zeros(labels.shape, np.float32), spacing, affine),
        np.zeros((labels.shape[2], 2), np.float32),
    )


def column(heights: list[int]) -> np.ndarray:
    """A of 4x4 pixels in each slice named, and B of 2x2 inside it, in five slices of 8x8."""
    labels = np.zeros((8, 8, 5), np.uint8)
    for height in heights:
        labels[2:6, 2:6, height] = 1
        labels[3:5, 3:5, height] = 2
    return labels


def quality(
    case: str, expected: float, *, frame: int = 0, continuity: float = 1.0, findings: tuple[str, ...] = ()
) -> CaseQuality:
    return CaseQuality(case, frame, (expected, math.nan), continuity, findings)


def test_a_sure_column_has_the_estimate_1_and_nothing_to_find() -> None:
    found = case_quality("x", 0, segmented(column([0, 1, 2]), 1.0), LABELS)
    assert found.expected_dice == (1.0, 1.0)
    assert found.estimate == 1.0
    assert found.findings == ()


def test_doubt_and_a_gap_lower_the_estimate_or_are_told() -> None:
    sure, unsure = (case_quality("x", 0, segmented(column([0, 1, 2]), sureness), LABELS) for sureness in (1.0, 0.7))
    assert unsure.estimate < sure.estimate
    gap = case_quality("x", 0, segmented(column([0, 1, 3]), 1.0), LABELS)
    assert gap.findings == ("A is missing in 1 slices between others", "B is missing in 1 slices between others")


def test_slices_that_do_not_overlap_are_told_and_leave_the_estimate() -> None:
    labels = column([0, 1])
    labels[..., 1] = np.roll(labels[..., 1], 3, axis=0)
    found = case_quality("x", 0, segmented(labels, 1.0), LABELS)
    assert found.estimate == 1.0
    assert found.findings == ("neighbouring slices hardly overlap (are they shifted?)",)


def test_a_volume_without_any_class_has_the_estimate_0_and_says_so() -> None:
    found = case_quality("x", 0, segmented(column([]), 1.0), LABELS)
    assert found.estimate == 0.0
    assert found.findings == ("no A", "no B")


def test_the_worst_comes_first_in_the_file_and_on_the_terminal(tmp_path: Path) -> None:
    given = [quality("good", 0.9), quality("bad", 0.2, findings=("no B",)), quality("middle", 0.5)]
    assert [one.case for one in review_order(given)] == ["bad", "middle", "good"]
    assert review_lines(given)[:2] == ["Review these first:", "  bad: estimate 0.20 (no B)"]
    table = pd.read_csv(write_quality(given, LABELS, tmp_path))
    assert list(table["case"]) == ["bad", "middle", "good"]
    assert list(table["expected_dice_A"]) == [0.2, 0.5, 0.9]


def test_one_volume_needs_no_order() -> None:
    assert review_lines([quality("only", 0.5)]) == []


def test_estimates_are_read_back_without_frames_of_4d_files(tmp_path: Path) -> None:
    write_quality([quality("a", 0.25), quality("4d", 0.5, frame=3)], LABELS, tmp_path)
    assert read_quality(tmp_path) == {"a": 0.25}


def test_a_folder_without_estimates_has_none(tmp_path: Path) -> None:
    assert read_quality(tmp_path) == {}


@pytest.mark.parametrize("damage", ["", "case\na\n", "case,frame,estimate\na,,many\n"])
def test_damaged_estimates_are_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / QUALITY).write_text(damage)
    with pytest.raises(EvaluationError, match="is damaged"):
        read_quality(tmp_path)


def test_a_left_ventricle_without_its_wall_is_told() -> None:
    labels = column([0, 1, 2, 3, 4])  # the first class surrounds the second
    heart = LabelSet("heart", ("MYO", "LV"))
    assert case_quality("P", 0, segmented(labels, 0.9), heart).findings == ()
    bare = np.where(labels == 1, 0, labels).astype(np.uint8)
    bare[0, 0, :] = 1
    findings = case_quality("P", 0, segmented(bare, 0.9), heart).findings
    assert findings == ("100 % of the border of the LV have no MYO around",)
