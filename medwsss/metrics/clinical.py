"""What clinicians read off label maps: volumes of the cavities, what they eject, and the mass of muscle."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

MUSCLE_G_PER_ML = 1.05
"""Density of myocardium."""
CAVITIES = ("LV", "RV")
MUSCLE = "MYO"
PHASES = ("ED", "ES")
MOST_EJECTED = 85.0
"""Ejection fraction in % beyond which a segmentation is doubted."""
MOST_UNEQUAL = 0.5
"""Difference of the stroke volumes, as a share of their mean, beyond which one of them is doubted."""
_NAMES_SHOWN = 8


@dataclass(frozen=True)
class Ventricle:
    """A cavity when it is fullest and when it is emptiest."""

    end_diastolic_ml: float
    end_systolic_ml: float

    @property
    def stroke_ml(self) -> float:
        """What one beat ejects; negative where the cavity grows."""
        return self.end_diastolic_ml - self.end_systolic_ml

    @property
    def ejection_fraction(self) -> float:
        """Its share of the end-diastolic volume, 1 for all of it; NaN for a ventricle without volume."""
        return self.stroke_ml / self.end_diastolic_ml if self.end_diastolic_ml > 0 else math.nan


@dataclass(frozen=True)
class Quantity:
    """A column of the clinical table."""

    name: str
    unit: str
    indexed: bool
    """Whether it grows with the body, so that it is also given per square metre of body surface."""

    @property
    def title(self) -> str:
        return f"{self.name} [{self.unit}]"


def quantities(cavity: str) -> tuple[Quantity, Quantity, Quantity, Quantity]:
    """End-diastolic, end-systolic and stroke volume and ejection fraction of a cavity."""
    return (
        Quantity(f"{cavity} EDV", "mL", indexed=True),
        Quantity(f"{cavity} ESV", "mL", indexed=True),
        Quantity(f"{cavity} SV", "mL", indexed=True),
        Quantity(f"{cavity} EF", "%", indexed=False),
    )


MASS = Quantity("LV mass", "g", indexed=True)
QUANTITIES = (*quantities("LV"), *quantities("RV"), MASS)


def body_surface_m2(height_cm: float | None, weight_kg: float | None) -> float:
    """Body surface by Mosteller (NEJM 1987), √(height · weight / 3600); NaN where either is unknown or not positive."""
    if height_cm is None or weight_kg is None or not (height_cm > 0 and weight_kg > 0):
        return math.nan
    return math.sqrt(height_cm * weight_kg / 3600.0)


def myocardial_mass_g(volume_ml: float) -> float:
    """Mass of muscle of that volume, at 1.05 g/mL."""
    return MUSCLE_G_PER_ML * volume_ml


def clinical_values(per_case: pd.DataFrame, column: str, body_surfaces_m2: Mapping[str, float]) -> pd.DataFrame:
    """One row per patient: ``QUANTITIES``, and ``… per m2`` of those that grow with the body where a surface is known.

    End-diastole and end-systole are the rows of these phases, and a patient's other volumes are left out. Where they
    are not known, they are the volumes of largest and smallest left cavity. What cannot be had is NaN.

    Args:
        per_case: one row per volume and class, with patient, case, phase and class, see ``results.PER_CASE_COLUMNS``.
        column: which volume, ``volume_ml`` or ``reference_volume_ml``.
        body_surfaces_m2: by patient, in m²; others have none.
    """
    rows = {}
    for patient, found in per_case.groupby("patient", sort=True):
        surface = body_surfaces_m2.get(str(patient), math.nan)
        rows[str(patient)] = dict(_row(_volumes(found, column), surface))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("patient")


def implausible(values: pd.DataFrame) -> tuple[str, ...]:
    """What no heart does, one sentence each, with the patients: signs of wrong phases or of a wrong segmentation.

    Args:
        values: of ``clinical_values``.
    """
    told = []
    for cavity in CAVITIES:
        if f"{cavity} EF" in values:
            fraction = values[f"{cavity} EF"]
            told.append((f"the {cavity} does not empty from ED to ES (are they swapped?)", fraction <= 0.0))
            told.append((f"the {cavity} ejects more than {MOST_EJECTED:.0f} %", fraction > MOST_EJECTED))
    if {"LV SV", "RV SV"} <= set(values):
        left, right = values["LV SV"], values["RV SV"]
        unequal = (left - right).abs() > MOST_UNEQUAL * (left + right).abs() / 2.0
        told.append(("the ventricles eject amounts that differ by more than half (a leak, or a mistake)", unequal))
    return tuple(f"{what}: {_listed(values.index[found])}" for what, found in told if found.any())


def _listed(patients: pd.Index) -> str:
    shown = ", ".join(map(str, patients[:_NAMES_SHOWN]))
    return f"{shown} and {len(patients) - _NAMES_SHOWN} more" if len(patients) > _NAMES_SHOWN else shown


def _row(volumes: Mapping[str, Mapping[str, float]], surface_m2: float) -> Iterator[tuple[str, float]]:
    early, late = (volumes.get(phase, {}) for phase in PHASES)
    values: dict[Quantity, float] = {}
    for cavity in CAVITIES:
        heart = Ventricle(early.get(cavity, math.nan), late.get(cavity, math.nan))
        measured = (
            heart.end_diastolic_ml, heart.end_systolic_ml, heart.stroke_ml, 100.0 * heart.ejection_fraction,
        )  # fmt: skip
        values |= dict(zip(quantities(cavity), measured, strict=True))
    values[MASS] = myocardial_mass_g(early.get(MUSCLE, math.nan))
    for quantity, value in values.items():
        yield quantity.name, value
        if quantity.indexed:
            yield f"{quantity.name} per m2", value / surface_m2


def _volumes(found: pd.DataFrame, column: str) -> dict[str, dict[str, float]]:
    """Phase -> class -> volume of one patient."""
    known = set(found["phase"])
    if not (known <= set(PHASES) or known >= set(PHASES)):
        found = found.assign(phase=found["case"].map(_phases_by_size(found, column)))
    return {
        str(phase): dict(zip(rows["class"], rows[column].astype(float), strict=True))
        for phase, rows in found[found["phase"].isin(PHASES)].groupby("phase")
    }


def _phases_by_size(found: pd.DataFrame, column: str) -> dict[str, str]:
    """The cases of largest and smallest left cavity; one volume alone has no phase."""
    cavity = found[found["class"] == "LV"].set_index("case")[column].astype(float).dropna()
    if len(cavity) < 2:
        return {}
    by_size = cavity.sort_values(kind="stable").index  # two volumes of one size are still two
    return {str(by_size[0]): "ES", str(by_size[-1]): "ED"}
