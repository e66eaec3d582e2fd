from pathlib import Path

import numpy as np
import pytest

from medwsss.data.image_labels import ImageLabels, read_tag_table
from medwsss.data.sample import photograph_key
from medwsss.engine.tag_tables import (
    table_from_masks,
    table_from_rows,
    table_of_photographs,
    tags_of_codes,
    tasks_of_table,
    without_mask,
)
from medwsss.errors import ImageLabelsError
from medwsss.labels import ACDC_TASKS
from medwsss.metrics.survey import FrameSurvey, PatientSurvey, Survey, survey_of

FRAME = FrameSurvey((8, 8), 2, (1.5, 1.5), 10.0, "f")
NONE, RV_MYO, MYO_LV = (False, False, False), (True, True, False), (False, True, True)


@pytest.fixture
def survey() -> Survey:
    """Two patients of two slices a phase; the masks of the second one's ES are missing."""
    first = {"ED": np.array([NONE, RV_MYO]), "ES": np.array([MYO_LV, RV_MYO])}
    frames = {"ED": FRAME, "ES": FRAME}
    return survey_of(
        "data",
        [
            PatientSurvey("a", frames=frames, present=first),
            PatientSurvey("b", frames=frames, present={"ED": np.array([NONE, MYO_LV])}),
        ],
    )


def test_a_class_is_there_if_one_of_its_codes_is() -> None:
    present = np.array([NONE, RV_MYO, MYO_LV])
    assert tags_of_codes(present, ACDC_TASKS["heart"]).tolist() == [[0], [1], [1]]
    assert tags_of_codes(present, ACDC_TASKS["lv"]).tolist() == [[0], [0], [1]]
    assert tags_of_codes(present, ACDC_TASKS["multi"]).tolist() == [[0, 0, 0], [1, 1, 0], [0, 1, 1]]


def test_masks_give_one_row_for_each_slice_that_has_one(survey: Survey) -> None:
    table = table_from_masks(survey, ACDC_TASKS["lv"])
    assert table.tags.ravel().tolist() == [0, 0, 1, 0, 0, 1]
    assert table.patients == ("a", "a", "a", "a", "b", "b")
    assert table.positions.tolist() == [0, 0.5] * 3
    assert without_mask(survey) == ("b",)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines))
    return path


def test_a_table_serves_the_tasks_whose_columns_it_has(tmp_path: Path) -> None:
    assert tasks_of_table(write(tmp_path / "a.csv", "patient;phase;slice;RV;MYO;LV")) == ("lv", "multi")
    assert tasks_of_table(write(tmp_path / "b.csv", "patient,phase,slice,heart,who")) == ("heart",)
    with pytest.raises(ImageLabelsError, match="classes of no task"):
        tasks_of_table(write(tmp_path / "c.csv", "patient,phase,slice,liver"))
    with pytest.raises(ImageLabelsError, match="no column slice"):
        tasks_of_table(write(tmp_path / "d.csv", "patient,phase,heart"))


def test_rows_without_slices_and_slices_without_rows_are_counted(survey: Survey, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "patient,phase,slice,heart", "a,ED,0,0", "a,ED,1,1", "a,ED,2,1", "c,ED,0,1")
    table, (unknown, missing) = table_from_rows(
        read_tag_table(path, ACDC_TASKS["heart"].labels), survey, name="heart", source="t.csv"
    )
    assert table.tags.ravel().tolist() == [0, 1]
    assert "2 rows name a slice that is not there" in unknown.text
    assert unknown.refused
    assert "6 slices have no row, first a ES slice 0" in missing.text
    assert not missing.refused


def test_a_photograph_is_a_patient_of_its_own() -> None:
    labels = ImageLabels(("cat",), {photograph_key(name): (1,) for name in "xyz"})
    table = table_of_photographs(labels, ["x", "z"], "voc")
    assert table.patients == ("x", "z")
    assert np.isnan(table.positions).all()
