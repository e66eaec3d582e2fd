import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reports.example import SOURCES, evaluation

from medwsss.errors import EvaluationError
from medwsss.metrics.results import METRICS, PER_CASE_COLUMNS, Evaluation
from medwsss.reports.comparison import compare_reports, remarks, sentences, write_comparison
from medwsss.reports.html import write_report
from medwsss.reports.report_folder import paired, read_report


def scored(dice: list[float], *, first: int = 1, reference_ml: float = 100.0) -> Evaluation:
    """Volumes of as many patients, one each, with that Dice; everything else 0.5."""
    rows = [
        dict.fromkeys(METRICS, 0.5)
        | {"case": f"p{number:02d}_ED", "patient": f"p{number:02d}", "phase": "ED", "group": "", "class": "heart"}
        | {"dice": value, "volume_ml": 90.0, "reference_volume_ml": reference_ml}
        for number, value in enumerate(dice, start=first)
    ]
    return replace(evaluation(), per_case=pd.DataFrame(rows, columns=list(PER_CASE_COLUMNS)))


def stored(found: Evaluation, folder: Path, *, split: str = "drawn with seed 0, hash 12ab") -> Path:
    write_report(found, folder, sources=SOURCES, title="x", notes={"split": split})
    return folder


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """B is 10 points higher in each of six patients; a seventh is in B alone."""
    low = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75]
    ours = stored(scored(low), tmp_path / "a/report")
    return ours, stored(scored([*(value + 0.1 for value in low), 0.9]), tmp_path / "b/report")


def test_the_difference_is_of_the_volumes_of_both(two: tuple[Path, Path]) -> None:
    reports = read_report(two[0]), read_report(two[1].parent)  # a run's folder will do
    comparison = compare_reports(*reports, paired(*reports), resamples=50)
    found = comparison.differences["heart", "dice"]
    assert found.difference.estimate == pytest.approx(0.1)
    assert (found.patients, found.higher) == (6, 6)
    first, second = sentences(comparison)
    assert first == (
        "A is a, B is b: 6 volumes of 6 patients; 0 volumes are in A alone and 1 in B alone, and are left out."
    )
    assert second == "heart: the mean Dice of B is 10.0 points higher (+10.0 to +10.0, p 0.031)."  # 2 / 2^6


def test_a_small_difference_is_called_chance(tmp_path: Path) -> None:
    ours, theirs = stored(scored([0.5, 0.6]), tmp_path / "a"), stored(scored([0.6, 0.55]), tmp_path / "b")
    reports = read_report(ours), read_report(theirs)
    assert sentences(compare_reports(*reports, paired(*reports), resamples=50))[1].endswith("This may be chance.")


def test_other_splits_are_told(two: tuple[Path, Path], tmp_path: Path) -> None:
    other = stored(scored([0.5] * 6), tmp_path / "c", split="drawn with seed 1, hash 34cd")
    reports = read_report(two[0]), read_report(other)
    assert remarks(compare_reports(*reports, paired(*reports), resamples=50)) == ("Splits differ: 12ab (A), 34cd (B).",)


def test_five_files_are_written_and_earlier_ones_replaced(two: tuple[Path, Path], tmp_path: Path) -> None:
    reports = read_report(two[0]), read_report(two[1])
    for _ in range(2):
        page = write_comparison(compare_reports(*reports, paired(*reports), resamples=50), tmp_path / "out")
    assert {path.name for path in page.parent.iterdir()} == {
        "comparison.html", "comparison.md", "comparison.csv", "comparison.json", "comparison.png"
    }  # fmt: skip
    assert "| heart | Dice [%] | 62.5 | 72.5 | +10.0" in (page.parent / "comparison.md").read_text(encoding="utf-8")
    numbers = json.loads((page.parent / "comparison.json").read_text(encoding="utf-8"))
    assert numbers["differences"][0]["higher"] == 6
    assert len(pd.read_csv(page.parent / "comparison.csv")) == 6
    assert 'src="data:image/png;base64,' in page.read_text(encoding="utf-8")


def test_a_folder_without_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"holds no report \(per_case.csv\)"):
        read_report(tmp_path)


def test_a_report_on_photographs_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "per_class.csv").write_text("class\n")
    with pytest.raises(EvaluationError, match="a report on photographs"):
        read_report(tmp_path)


@pytest.mark.parametrize("damage", ["case\n", "no table at all", ""])
def test_a_damaged_table_is_refused(two: tuple[Path, Path], damage: str) -> None:
    (two[0] / "per_case.csv").write_text(damage)
    with pytest.raises(EvaluationError, match="is not a complete report"):
        read_report(two[0])


@pytest.mark.parametrize("damage", ["{", "[]", '{"notes": 1}'])
def test_a_damaged_summary_is_refused(two: tuple[Path, Path], damage: str) -> None:
    (two[0] / "summary.json").write_text(damage)
    with pytest.raises(EvaluationError, match="is not a complete report"):
        read_report(two[0])


def test_reports_on_other_patients_cannot_be_compared(two: tuple[Path, Path], tmp_path: Path) -> None:
    other = stored(scored([0.5], first=40), tmp_path / "c")
    with pytest.raises(EvaluationError, match="have no volume in common"):
        paired(read_report(two[0]), read_report(other))


def test_reports_with_other_references_cannot_be_compared(two: tuple[Path, Path], tmp_path: Path) -> None:
    other = stored(scored([0.5], reference_ml=101.0), tmp_path / "c")
    with pytest.raises(EvaluationError, match="scored against different references, first of p01_ED"):
        paired(read_report(two[0]), read_report(other))


def test_reports_of_other_classes_cannot_be_compared(two: tuple[Path, Path], tmp_path: Path) -> None:
    table = stored(scored([0.5]), tmp_path / "c") / "per_case.csv"
    table.write_text(table.read_text().replace("heart", "LV"))
    with pytest.raises(EvaluationError, match="have no class in common"):
        paired(read_report(two[0]), read_report(table.parent))


def test_infinite_distances_are_left_out_and_counted(tmp_path: Path) -> None:
    found = scored([0.5, 0.6])
    far = replace(found, per_case=found.per_case.assign(hd95_mm=[np.inf, 3.0]))
    reports = read_report(stored(found, tmp_path / "a")), read_report(stored(far, tmp_path / "b"))
    gap = compare_reports(*reports, paired(*reports), resamples=50).differences["heart", "hd95_mm"]
    assert (gap.patients, gap.difference.n, gap.difference.undefined) == (1, 1, 1)
