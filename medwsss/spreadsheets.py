"""Tables that people open in a spreadsheet: names that it would run as formulas are written as text."""

import re

import pandas as pd

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet runs."""
_FORMULA = r"^(?=[=+\-@\t\r])"
_ESCAPED = r"^'(?=[=+\-@\t\r])"


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with an apostrophe before text that begins like a formula; numbers stay as they are."""
    return frame.assign(**{str(n): _replaced(frame[n], _FORMULA, "'") for n in frame if _is_text(frame[n])})


def without_formula(text: str) -> str:
    """One cell, in the same way."""
    return re.sub(_FORMULA, "'", text)


def with_formula(cell: str) -> str:
    """The inverse."""
    return re.sub(_ESCAPED, "", cell)


def with_formulas(column: "pd.Series[str]") -> "pd.Series[str]":
    """The inverse, for a column of names that is read back."""
    return _replaced(column, _ESCAPED, "")


def _is_text(column: "pd.Series[str]") -> bool:
    return bool(column.map(lambda cell: isinstance(cell, str)).any())


def _replaced(column: "pd.Series[str]", pattern: str, new: str) -> "pd.Series[str]":
    return column.map(lambda cell: re.sub(pattern, new, cell) if isinstance(cell, str) else cell)
