import json
from pathlib import Path

import pandas as pd
from reports.example import SOURCES, clinical, evaluation

from medwsss.reports.clinical import bland_altman_figure, clinical_frame, clinical_table
from medwsss.reports.html import write_report


def test_a_line_per_quantity_with_both_means_bias_limits_and_correlation() -> None:
    table = clinical_table(clinical())
    first, second = ([str(cell) for cell in row] for row in table.rows)
    # predicted 108, 130, 152: mean 130 ± 22; reference 120 ± 20; differences 8, 10, 12: bias 10, deviation 2
    assert first[:4] == ["LV EDV [mL]", "3", "130.0 ± 22.0", "120.0 ± 20.0"]
    assert first[4].startswith("+10.0 (")
    assert first[5] == "+6.1 to +13.9"  # 10 ± 3.92
    assert first[6].startswith("1.00 ")
    assert second[:4] == ["LV ESV [mL]", "2", "50.0 ± 14.1", "50.0 ± 14.1"]


def test_every_patient_has_a_line_with_both_values() -> None:
    frame = clinical_frame(clinical())
    assert list(frame["patient"]) == ["p1", "p2", "p3"]
    assert list(frame["LV EDV reference"]) == [100.0, 120.0, 140.0]
    assert frame["LV ESV"].isna().tolist() == [False, False, True]


def test_the_figure_is_a_picture() -> None:
    assert bland_altman_figure(clinical()).startswith(b"\x89PNG")


def test_the_report_has_the_numbers_of_every_format(tmp_path: Path) -> None:
    page = write_report(evaluation(clinicians=True), tmp_path, sources=SOURCES, title="x")
    assert "Clinical numbers" in page.read_text(encoding="utf-8")
    assert "| LV EDV [mL] | 3 | 130.0 ± 22.0 |" in (tmp_path / "report.md").read_text(encoding="utf-8")
    stored = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert stored["clinical"]["LV EDV"]["bias"]["estimate"] == 10.0
    assert list(pd.read_csv(tmp_path / "clinical.csv")["LV EDV"]) == [108.0, 130.0, 152.0]
    assert (tmp_path / "clinical.png").is_file()


def test_a_task_without_ventricles_has_no_clinical_part_and_loses_that_of_an_earlier_report(tmp_path: Path) -> None:
    write_report(evaluation(clinicians=True), tmp_path, sources=SOURCES, title="x")
    page = write_report(evaluation(), tmp_path, sources=SOURCES, title="x")
    assert "Clinical numbers" not in page.read_text(encoding="utf-8")
    assert not (tmp_path / "clinical.csv").exists()
