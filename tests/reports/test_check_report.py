import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from medwsss.errors import OutputError
from medwsss.metrics.survey import Finding, FrameSurvey, PatientSurvey, Preview, survey_of
from medwsss.metrics.tag_statistics import TagTable, tag_statistics
from medwsss.reports.check_content import Check
from medwsss.reports.check_figure import check_figure
from medwsss.reports.check_report import CHECK_FILES, check_json_text, check_markdown, check_text, write_check

FRAME = FrameSurvey((120, 100), 4, (1.5, 1.5), 10.0, "f")


def table(name: str, *names: str) -> TagTable:
    """Four slices; every class on the last three, and the last class on the last two."""
    tags = np.array([[0] * len(names), [1] * len(names), [1] * len(names), [1] * len(names)], np.uint8)
    tags[1, -1] = 0
    return TagTable(name, names, tags, ("a",) * 4, np.arange(4) / 4)


@pytest.fixture
def check() -> Check:
    tables = (table("heart", "heart"), table("multi", "RV", "MYO", "LV"))
    frames = {"ED": FRAME, "ES": replace(FRAME, fingerprint="g")}
    survey = survey_of("DATA", [PatientSurvey("a", "NOR", frames=frames, change=0.1, moves=True)])
    image = np.random.default_rng(0).random((120, 100), dtype=np.float32)
    return Check(
        source="DATA",
        tags_source="table /Some/Path.csv",
        unit="slices",
        tables=tables,
        statistics=tuple(map(tag_statistics, tables)),
        findings=(Finding("a", "looks odd | really"),),
        survey=survey,
        least_change=0.02,
        previews=(Preview("a", image, image, 0.2 * image),),
    )


def test_the_text_ends_with_the_verdict_and_holds_every_count(check: Check) -> None:
    text = check_text(check)
    assert "DATA: 1 patient (1 NOR), 1 with ED and ES, 0 with a 4D cine file; 2 frames, 8 slices." in text
    assert "Source: table /Some/Path.csv." in text
    # the heart is on 2 of 4 slices: one bit
    assert "heart  heart            2        2        50 %           1.000                     1 of 1" in text
    assert "a: looks odd | really" in text
    verdict = text.split("Verdict\n")[1].splitlines()
    assert verdict[0] == "  heart: present on 2 slices only; at least 10 are needed"
    assert "  multi: RV and MYO cannot be separated by these tags: they differ on 0 of 4 slices" in verdict
    assert verdict[-1].startswith("  cine: motion is there in 1 of 1 patients")


def test_columns_are_aligned_and_the_first_is_to_the_left(check: Check) -> None:
    lines = check_text(check).splitlines()
    assert "  rows                                    120     120      120" in lines
    start = next(index for index, line in enumerate(lines) if line.startswith("  Task"))
    assert len({len(line) for line in lines[start : start + 5]}) == 1


def test_the_markdown_begins_with_the_verdict(check: Check) -> None:
    text = check_markdown(check, picture=True)
    assert text.startswith("# Check of DATA\n\n- **heart: present on 2 slices only")
    assert "![Middle slices, motion and tags](check.png)" in text
    assert "check.png" not in check_markdown(check, picture=False)


def test_the_json_is_strict_and_says_what_may_be_undefined_as_null(check: Check) -> None:
    assert check.survey is not None
    unknown = PatientSurvey("b")
    odd = replace(check, survey=survey_of("DATA", [*check.survey.patients, unknown]))
    found = json.loads(check_json_text(odd), parse_constant=pytest.fail)
    assert found["can_teach"] is False
    assert found["tasks"]["heart"]["classes"][0]["entropy_bits"] == 1.0
    assert found["tasks"]["multi"]["pairs"][0]["differ"] == 0
    assert found["survey"]["per_patient"][1]["change"] is None
    assert found["findings"] == [{"subject": "a", "text": "looks odd | really", "refused": False}]


def test_without_tags_the_text_says_so(check: Check) -> None:
    empty = TagTable("heart", ("heart",), np.zeros((0, 1), np.uint8), (), np.zeros(0))
    bare = replace(check, tables=(empty,), statistics=(tag_statistics(empty),), tags_source="neither mask nor table")
    assert "There are no tags: neither mask nor table." in check_text(bare)
    assert "heart: there are no tags" in check_text(bare)
    assert not bare.teaches


def test_a_long_list_of_findings_is_cut_in_the_text_only(check: Check) -> None:
    many = replace(check, findings=tuple(Finding(f"p{i}", "odd") for i in range(25)))
    assert "and 5 more: --out DIR lists them" in check_text(many)
    assert "p24: odd" not in check_text(many)
    assert "- p24: odd" in check_markdown(many, picture=False)


def picture(check: Check) -> np.ndarray:
    png = check_figure(check)
    assert png is not None
    return np.asarray(imread(io.BytesIO(png)))


def test_the_sheet_is_wider_with_pictures_and_tags_than_with_one_of_them(check: Check) -> None:
    both = picture(check).shape[1]
    assert picture(replace(check, previews=())).shape[1] < both
    assert picture(replace(check, tables=(), statistics=())).shape[1] < both


def test_photographs_get_a_bar_for_each_class(check: Check) -> None:
    few = replace(table("voc", "cat", "dog"), positions=np.full(4, np.nan))
    many = replace(table("coco", *map(str, range(30))), positions=np.full(4, np.nan))
    bare = [
        replace(check, previews=(), survey=None, unit="images", tables=(t,), statistics=(tag_statistics(t),))
        for t in (few, many)
    ]
    assert picture(bare[0]).shape[0] < picture(bare[1]).shape[0]


def test_nothing_to_show_is_no_picture(check: Check) -> None:
    assert check_figure(replace(check, previews=(), tables=(), statistics=())) is None


def test_files_replace_earlier_ones_and_others_stay(check: Check, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    write_check(check, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*CHECK_FILES, "mine.txt"}
    write_check(replace(check, previews=(), tables=(), statistics=()), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"check.json", "check.md", "mine.txt"}


def test_a_file_in_place_of_the_folder_is_refused(check: Check, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        write_check(check, tmp_path / "taken")
