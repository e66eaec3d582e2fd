"""What every section of the configuration is made of: frozen models, and the ranges that settings share."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Scales = Annotated[tuple[Annotated[float, Field(gt=0.0, le=16.0)], ...], Field(min_length=1)]


def _absolute(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError(f"{str(path)!r} cannot be the name of a file")
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"there is no home folder {path.parts[0]}") from None


Place = Annotated[Path, AfterValidator(_absolute)]
"""A file or folder; it becomes absolute, so that a run can go on from anywhere."""


Moment = Annotated[int, Field(ge=0, strict=True)] | Annotated[float, Field(ge=0.0, le=1.0, strict=True)]
"""An iteration (whole number) or a share of the run (number with a decimal point)."""


def iteration_of(moment: int | float, iterations: int) -> int:
    """The iteration that a ``Moment`` means in a run of that length."""
    return moment if isinstance(moment, int) else round(moment * iterations)


class Section(BaseModel):
    """A frozen part of the configuration whose field docstrings are its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
