"""The clinical part of a report: a table of agreement, a line per patient, and Bland-Altman plots."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medwsss.metrics.agreement import Agreement
from medwsss.metrics.clinical import QUANTITIES, Quantity
from medwsss.metrics.results import ClinicalNumbers
from medwsss.metrics.statistics import Interval
from medwsss.reports.figures import COLOURS, FAINT, INK, axis_labels, panels, png, titled
from medwsss.reports.tables import Cell, Table

CLINICAL_DEFINITIONS = {
    "EDV, ESV": "Volume of a cavity at end-diastole and at end-systole, in mL. Where phases are not known, those of a "
    "patient's largest and smallest left cavity.",
    "SV, EF": "Stroke volume EDV − ESV in mL, and ejection fraction, its share of EDV in %. Negative where it grows.",
    "LV mass": "Myocardium at end-diastole, at 1.05 g/mL.",
    "per m²": "Divided by the body surface, √(height · weight / 3600) in m² (Mosteller), where both are known.",
    "Bias": "Mean over patients of prediction minus reference.",
    "Limits of agreement": "Bias ± 1.96 standard deviations of the differences (Bland and Altman).",
    "r": "Pearson's correlation. A high one does not mean agreement: a constant error leaves it at 1.",
}
CLINICAL_CAPTION = (
    "Mean ± standard deviation over the patients that have a value both ways; in brackets the 95 % bootstrap interval "
    "over patients. Values of every patient are in clinical.csv."
)
_COLUMNS = 3


def clinical_table(numbers: ClinicalNumbers) -> Table:
    """Quantities down: patients, mean ± standard deviation both ways, bias, limits and correlation."""
    rows = []
    for quantity in _known(numbers):
        found = numbers.agreement[quantity.name]
        both = (numbers.measured[quantity.name] + numbers.reference[quantity.name]).notna()
        rows.append(
            (
                Cell(quantity.title),
                Cell(str(found.bias.n)),
                *(_mean(frame.loc[both, quantity.name]) for frame in (numbers.measured, numbers.reference)),
                _interval(found.bias, signed=True),
                Cell(f"{_number(found.lower.estimate, signed=True)} to {_number(found.upper.estimate, signed=True)}"),
                _interval(found.correlation, digits=2),
            )
        )
    return Table(("Quantity", "Patients", "Predicted", "Reference", "Bias", "Limits of agreement", "r"), tuple(rows))


def clinical_frame(numbers: ClinicalNumbers) -> pd.DataFrame:
    """A line per patient: each quantity, predicted and by reference."""
    columns = {}
    for name in numbers.measured.columns:
        columns[name] = numbers.measured[name]
        columns[f"{name} reference"] = numbers.reference[name]
    return pd.DataFrame(columns).dropna(axis="columns", how="all").reset_index()


def bland_altman_figure(numbers: ClinicalNumbers) -> bytes:
    """Difference against mean of each quantity; lines: bias and limits of agreement, bands: their 95 % intervals."""
    shown = _known(numbers)
    rows = math.ceil(len(shown) / _COLUMNS)
    figure, axes = panels(rows, min(_COLUMNS, len(shown)), size=(10.0, 2.9 * rows))
    for axis, quantity in zip(axes, shown, strict=False):
        measured, reference = (
            frame[quantity.name].to_numpy(np.float64) for frame in (numbers.measured, numbers.reference)
        )
        colour = COLOURS["MYO"] if quantity.name == "LV mass" else COLOURS[quantity.name.split()[0]]
        means, differences = (measured + reference) / 2, measured - reference
        axis.scatter(means, differences, s=18, color=colour, alpha=0.8, linewidths=0, zorder=3)
        _limits(axis, numbers.agreement[quantity.name])
        titled(axis, quantity.name)
        axis_labels(axis, f"mean of both [{quantity.unit}]", f"prediction − reference [{quantity.unit}]")
    for axis in axes[len(shown) :]:
        axis.remove()
    return png(figure)


def _limits(axis: Axes, found: Agreement) -> None:
    axis.axhline(0.0, color=FAINT, linewidth=0.8)
    for line, style in ((found.bias, "-"), (found.lower, (0, (3, 3))), (found.upper, (0, (3, 3)))):
        if math.isfinite(line.estimate):
            axis.axhline(line.estimate, color=INK, linewidth=1.0, linestyle=style)
        if math.isfinite(line.low) and math.isfinite(line.high):
            axis.axhspan(line.low, line.high, color=INK, alpha=0.06, linewidth=0)


def _known(numbers: ClinicalNumbers) -> list[Quantity]:
    return [quantity for quantity in QUANTITIES if quantity.name in numbers.agreement]


def _mean(values: pd.Series) -> Cell:
    deviation = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return Cell(_number(float(values.mean())), f"± {_number(deviation)}" if math.isfinite(deviation) else "")


def _interval(found: Interval, *, signed: bool = False, digits: int = 1) -> Cell:
    known = math.isfinite(found.low) and math.isfinite(found.high)
    ends = " to ".join(_number(end, signed=signed, digits=digits) for end in (found.low, found.high))
    return Cell(_number(found.estimate, signed=signed, digits=digits), f"({ends})" if known else "")


def _number(value: float, *, signed: bool = False, digits: int = 1) -> str:
    if math.isnan(value):
        return "undefined"
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")
