"""Clinical numbers of an evaluation: of each patient, predicted and by reference, and how well they agree."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from medwsss.engine.aggregate import Bootstrap
from medwsss.engine.cases import Case
from medwsss.metrics.agreement import agreement
from medwsss.metrics.clinical import QUANTITIES, body_surface_m2, clinical_values
from medwsss.metrics.results import ClinicalNumbers


def clinical_numbers(cases: Sequence[Case], per_case: pd.DataFrame, *, bootstrap: Bootstrap) -> ClinicalNumbers:
    """Values and agreement of every quantity that at least one patient has both ways; none without a left ventricle."""
    surfaces = body_surfaces(cases)
    measured, reference = (
        clinical_values(per_case, column, surfaces) for column in ("volume_ml", "reference_volume_ml")
    )
    both = [quantity.name for quantity in QUANTITIES if (measured + reference)[quantity.name].notna().any()]
    found = {
        name: agreement(
            measured[name].to_numpy(np.float64), reference[name].to_numpy(np.float64),
            generator=bootstrap.generator(), resamples=bootstrap.resamples,
        )
        for name in both
    }  # fmt: skip
    return ClinicalNumbers(measured, reference, found)


def body_surfaces(cases: Sequence[Case]) -> Mapping[str, float]:
    """By patient, where height and weight are known."""
    studies = {case.patient: case.study for case in cases if case.study is not None}
    return {patient: body_surface_m2(study.height_cm, study.weight_kg) for patient, study in studies.items()}
