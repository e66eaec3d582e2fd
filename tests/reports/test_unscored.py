import json
import math
from pathlib import Path

import pandas as pd
from reports.example import overlay

from medwsss.metrics.results import Unscored
from medwsss.reports.unscored import clinical_table, review_table, unscored_content, write_unscored


def unscored(*, estimates: bool = True) -> Unscored:
    """Two patients; the second has no end-systole."""
    volumes = pd.DataFrame(
        [
            {"case": case, "patient": patient, "phase": phase, "group": "", "class": "LV", "volume_ml": value}
            for case, patient, phase, value in (
                ("a1", "a", "ED", 100.0),
                ("a2", "a", "ES", 40.0),
                ("b1", "b", "ED", 80.0),
            )
        ]
    )
    clinical = pd.DataFrame(
        {
            "LV EDV": [100.0, 80.0],
            "LV ESV": [40.0, math.nan],
            "LV EF": [60.0, math.nan],
            "LV EDV per m2": [math.nan] * 2,
        },
        index=pd.Index(["a", "b"], name="patient"),
    )
    known = pd.DataFrame({"case": ["a2", "a1"], "estimate": [0.4, 0.9], "findings": ["no LV", ""]})
    return Unscored(
        "lv", ("LV",), volumes, clinical, known if estimates else known.head(0),
        (overlay("lowest", image=True),) if estimates else (),
    )  # fmt: skip


def test_patients_have_the_numbers_that_are_known_and_dashes_elsewhere() -> None:
    table = clinical_table(unscored().clinical)
    assert table.header == ("Patient", "LV EDV [mL]", "LV ESV [mL]", "LV EF [%]")  # nobody's body surface is known
    assert [[str(cell) for cell in row] for row in table.rows] == [
        ["a", "100.0", "40.0", "60.0"],
        ["b", "80.0", "–", "–"],
    ]


def test_the_lowest_estimates_are_listed_with_their_findings() -> None:
    assert [[str(cell) for cell in row] for row in review_table(unscored()).rows] == [
        ["a2", "0.40", "no LV"],
        ["a1", "0.90", "–"],
    ]


def test_the_first_sentence_says_that_nothing_was_compared() -> None:
    sentence = unscored_content(unscored(), title="x", notes={})["sentence"]
    assert sentence.startswith("3 volumes of 2 patients were segmented, task lv (LV). No reference was compared")


def test_all_files_are_written_and_the_page_needs_no_other(tmp_path: Path) -> None:
    page = write_unscored(unscored(), tmp_path, title="A <title>", notes={"method": "unia"})
    assert {path.name for path in tmp_path.iterdir()} == {
        "volumes.csv", "clinical.csv", "summary.json", "report.md", "report.html", "overlay_lowest.png"
    }  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert "A &lt;title&gt;" in text
    assert 'src="data:image/png;base64,' in text
    assert "UniA: Z. Yang" in text
    stored = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert stored["clinical"]["b"]["LV EF"] is None
    assert list(pd.read_csv(tmp_path / "clinical.csv")["LV EDV"]) == [100.0, 80.0]


def test_without_estimates_there_is_no_list_and_no_earlier_picture_stays(tmp_path: Path) -> None:
    write_unscored(unscored(), tmp_path, title="x", notes={})
    page = write_unscored(unscored(estimates=False), tmp_path, title="x", notes={})
    assert "Review these first" not in page.read_text(encoding="utf-8")
    assert not (tmp_path / "overlay_lowest.png").exists()
