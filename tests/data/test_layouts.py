from pathlib import Path

import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.studies import write_studies, write_table

from medwsss.data.layouts import is_acdc, study_set
from medwsss.data.study import case_ids
from medwsss.errors import ImageLabelsError


@pytest.mark.parametrize("part", ["", "training", "testing"])
def test_acdc_is_known_by_its_patients(tmp_path: Path, part: str) -> None:
    root = write_acdc(tmp_path, fake_patients(2), part=part)
    known = study_set(root)
    assert is_acdc(root)
    assert known is not None
    assert case_ids(known.studies)[0] == "patient001_frame01"
    assert set(known.references) == set(case_ids(known.studies))


def test_a_folder_with_a_table_is_what_the_table_says(tmp_path: Path) -> None:
    known = study_set(write_studies(tmp_path, masks=("A2",)))
    assert not is_acdc(tmp_path)
    assert known is not None
    assert case_ids(known.studies) == ("A1", "A2", "A3", "A4", "A5", "A6")
    assert set(known.references) == {"A2"}


def test_a_table_inside_acdc_does_not_hide_it(tmp_path: Path) -> None:
    write_table(write_acdc(tmp_path, fake_patients(1)) / "studies.csv", [{"patient": "P1", "file": "none"}])
    known = study_set(tmp_path)
    assert known is not None
    assert case_ids(known.studies) == ("patient001_frame01", "patient001_frame03")


def test_any_other_folder_is_none_and_a_damaged_table_is_told(tmp_path: Path) -> None:
    assert study_set(tmp_path) is None
    assert study_set(tmp_path / "none") is None
    (tmp_path / "studies.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ImageLabelsError, match="needs the columns patient and file"):
        study_set(tmp_path)
