import math
from itertools import permutations

import pandas as pd
import pytest

from medwsss.metrics.clinical import (
    QUANTITIES,
    Ventricle,
    body_surface_m2,
    clinical_values,
    implausible,
    myocardial_mass_g,
)


def volumes(patient: str, case: str, phase: str, lv: float, rv: float, myo: float) -> list[dict[str, object]]:
    return [
        {
            "patient": patient,
            "case": case,
            "phase": phase,
            "class": name,
            "volume_ml": value,
            "reference_volume_ml": 1.0,
        }
        for name, value in (("LV", lv), ("RV", rv), ("MYO", myo))
    ]


def test_a_ventricle_of_120_ml_that_empties_to_48_ejects_60_percent() -> None:
    heart = Ventricle(120.0, 48.0)
    assert heart.stroke_ml == 72.0
    assert heart.ejection_fraction == pytest.approx(0.6)


def test_a_cavity_that_grows_has_a_negative_ejection_fraction() -> None:
    assert Ventricle(50.0, 60.0).ejection_fraction == pytest.approx(-0.2)


def test_an_empty_ventricle_has_no_ejection_fraction() -> None:
    assert math.isnan(Ventricle(0.0, 0.0).ejection_fraction)


def test_mosteller_gives_2_square_metres_for_180_cm_and_80_kg() -> None:
    assert body_surface_m2(180.0, 80.0) == pytest.approx(2.0)  # sqrt(180 * 80 / 3600) = sqrt(4)


@pytest.mark.parametrize(("height", "weight"), [(None, 80.0), (180.0, None), (0.0, 80.0), (180.0, -1.0)])
def test_an_unknown_body_has_no_surface(height: float | None, weight: float | None) -> None:
    assert math.isnan(body_surface_m2(height, weight))


def test_a_hundred_millilitres_of_muscle_weigh_105_grams() -> None:
    assert myocardial_mass_g(100.0) == pytest.approx(105.0)


def test_a_patient_with_both_phases_has_all_values() -> None:
    rows = volumes("p1", "a", "ED", 120, 150, 100) + volumes("p1", "b", "ES", 48, 75, 98)
    found = clinical_values(pd.DataFrame(rows), "volume_ml", {"p1": 2.0}).loc["p1"]
    expected = {
        "LV EDV": 120, "LV ESV": 48, "LV SV": 72, "LV EF": 60, "RV EDV": 150, "RV ESV": 75, "RV SV": 75, "RV EF": 50,
        "LV mass": 105, "LV EDV per m2": 60, "LV mass per m2": 52.5,
    }  # fmt: skip
    assert found[list(expected)].to_dict() == pytest.approx(expected)
    assert "LV EF per m2" not in found.index


def test_without_known_phases_the_fullest_left_cavity_is_end_diastole_whatever_the_order() -> None:
    early, middle, late = (("a", 48.0), ("b", 80.0), ("c", 120.0))
    for order in ([early, middle, late], [late, early, middle], [middle, late, early]):
        rows = [row for case, lv in order for row in volumes("p1", case, "", lv, lv, 10.0)]
        found = clinical_values(pd.DataFrame(rows), "volume_ml", {}).loc["p1"]
        assert (found["LV EDV"], found["LV ESV"], found["LV EF"]) == (120.0, 48.0, pytest.approx(60.0))


def test_the_order_of_rows_changes_nothing() -> None:
    rows = volumes("p1", "a", "ED", 120, 150, 100) + volumes("p1", "b", "ES", 48, 75, 98)
    found = [clinical_values(pd.DataFrame(order), "volume_ml", {}) for order in permutations(rows)]
    assert all(values.equals(found[0]) for values in found)
    assert (found[0].loc["p1", "LV EF"], found[0].loc["p1", "RV EF"]) == pytest.approx((60.0, 50.0))


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_known_phases_decide_even_where_the_cavity_grows(names: tuple[str, str]) -> None:
    rows = volumes("p1", names[1], "ES", 60, 60, 10) + volumes("p1", names[0], "ED", 50, 50, 10)
    found = clinical_values(pd.DataFrame(rows), "volume_ml", {}).loc["p1"]
    assert (found["LV EDV"], found["LV SV"], found["LV EF"]) == pytest.approx((50.0, -10.0, -20.0))


def test_a_third_volume_without_phase_does_not_take_the_place_of_known_ones() -> None:
    known = volumes("p1", "a", "ED", 50, 50, 10) + volumes("p1", "b", "ES", 40, 40, 10)
    rows = volumes("p1", "c", "", 90, 90, 10) + known + volumes("p1", "d", "frame07", 10, 10, 10)
    found = clinical_values(pd.DataFrame(rows), "volume_ml", {}).loc["p1"]
    assert (found["LV EDV"], found["LV ESV"]) == (50.0, 40.0)


def test_two_volumes_of_one_size_eject_nothing() -> None:
    rows = volumes("p1", "a", "", 50, 70, 10) + volumes("p1", "b", "", 50, 70, 10)
    found = clinical_values(pd.DataFrame(rows), "volume_ml", {}).loc["p1"]
    assert (found["LV EDV"], found["LV SV"], found["LV EF"], found["RV EF"]) == (50.0, 0.0, 0.0, 0.0)


def test_a_missing_phase_or_class_leaves_its_values_undefined() -> None:
    rows = volumes("p1", "a", "ED", 120, 150, 100)[:1]
    found = clinical_values(pd.DataFrame(rows), "volume_ml", {}).loc["p1"]
    assert found["LV EDV"] == 120.0
    assert found.drop("LV EDV").isna().all()


def test_every_patient_has_a_row_and_every_quantity_a_column() -> None:
    rows = volumes("p2", "c", "ED", 1, 1, 1) + volumes("p1", "a", "ED", 1, 1, 1)
    found = clinical_values(pd.DataFrame(rows), "volume_ml", {})
    assert list(found.index) == ["p1", "p2"]
    assert {quantity.name for quantity in QUANTITIES} <= set(found.columns)


def test_what_no_heart_does_is_told_with_the_patients() -> None:
    values = pd.DataFrame(
        {"LV EF": [60, -5, 90, math.nan], "LV SV": [80, -4, 90, math.nan], "RV SV": [70, -4, 50, 60]},
        index=["sound", "swapped", "leaking", "unknown"],
    )  # of leaking: 90 and 50 mL differ by 40, more than half of their mean of 70
    assert implausible(values) == (
        "the LV does not empty from ED to ES (are they swapped?): swapped",
        "the LV ejects more than 85 %: leaking",
        "the ventricles eject amounts that differ by more than half (a leak, or a mistake): leaking",
    )
    assert implausible(values.loc[["sound", "unknown"]]) == ()
