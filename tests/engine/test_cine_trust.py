import math

import pytest

from medwsss.engine.cine_constants import Measured
from medwsss.engine.cine_trust import mean_dice, trust
from medwsss.priors.cardiac.criteria import CRITERIA

CLASSES = ("heart", "RV", "MYO", "LV")


def measured(name: str, patient: str, muscle: float, *, rv: float = 0.5, rest: float = 0.5) -> Measured:
    """The muscle disagreement of a patient, and Dice equal in both phases, with and without tags."""
    scores = dict.fromkeys(CLASSES, rest) | {"RV": rv}
    overlap = {f"{kind}_{name}_{phase}": value for kind in ("dice", "no_tags_dice") for phase in ("ED", "ES")
               for name, value in scores.items()}  # fmt: skip
    return Measured(patient, name, dict.fromkeys(CRITERIA, 0.5) | {"muscle_disagreement": muscle}, overlap)


def test_dice_is_averaged_over_volumes_and_undefined_ones_are_left_out() -> None:
    found = mean_dice([measured("a", "1", 0.1, rv=0.6), measured("a", "2", 0.1, rv=math.nan)])
    assert found["RV"] == pytest.approx(0.6)
    assert found["mean"] == pytest.approx((0.6 + 0.5 + 0.5) / 3)


def rows(*cases: tuple[float, float]) -> list[Measured]:
    """One configuration a case: its muscle disagreement (another patient has 0.1 more), and its Dice of the RV."""
    return [
        measured(str(index), patient, muscle + extra, rv=rv)
        for index, (muscle, rv) in enumerate(cases)
        for patient, extra in (("1", 0.0), ("2", 0.1))
    ]


def test_a_criterion_that_orders_configurations_as_dice_does_is_trusted_and_its_opposite_is_not() -> None:
    assert trust(rows((0.3, 0.5), (0.2, 0.6), (0.1, 0.8)))["muscle_disagreement"]["RV"] == pytest.approx(1)
    assert trust(rows((0.1, 0.5), (0.2, 0.6), (0.3, 0.8)))["muscle_disagreement"]["RV"] == pytest.approx(-1)


def test_what_does_not_vary_correlates_with_nothing() -> None:
    found = trust(rows((0.3, 0.5), (0.2, 0.6), (0.1, 0.8)))
    assert math.isnan(found["slice_continuity"]["RV"])
    assert math.isnan(found["muscle_disagreement"]["LV"])
    assert found["all together"]["RV"] == pytest.approx(1)  # the only one that votes
