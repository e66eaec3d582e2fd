"""Formulas in names do not run in the user's spreadsheet."""

import pandas as pd

from medwsss.spreadsheets import with_formulas, without_formulas


def test_text_that_begins_like_a_formula_becomes_text_and_numbers_stay_numbers() -> None:
    frame = pd.DataFrame({"patient": ["=cmd()", "P-1", "@x", "+1", "-a"], "value": [-1.5, 2.0, 3.0, 4.0, float("nan")]})
    safe = without_formulas(frame)
    assert safe["patient"].tolist() == ["'=cmd()", "P-1", "'@x", "'+1", "'-a"]
    pd.testing.assert_series_equal(safe["value"], frame["value"])


def test_names_come_back_as_they_were() -> None:
    names = pd.Series(["=a", "b", "'c", "'=d"])
    written = without_formulas(pd.DataFrame({"case": names}))["case"]
    assert with_formulas(written).tolist()[:3] == ["=a", "b", "'c"]
