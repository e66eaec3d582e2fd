"""docs/empty_masks.md says what the code does."""

import ast
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from medwsss.data.image_files import write_label_image
from medwsss.engine.aggregate import Bootstrap, mean_scores, overlap_scores, pooled_scores
from medwsss.engine.cases import Case
from medwsss.engine.clinical import clinical_numbers
from medwsss.engine.evaluate import LabelPair, case_table, slice_matrices
from medwsss.engine.evaluate_images import evaluate_images
from medwsss.engine.image_pairs import pair_images
from medwsss.labels import ACDC_TASKS, LabelSet
from medwsss.metrics.contour import contour_counts, contour_f
from medwsss.metrics.dice import EMPTY_POLICIES, dice_with_policy
from medwsss.metrics.image_results import IMAGE_METRICS, ImageEvaluation
from medwsss.metrics.results import MEAN_OF_CLASSES, METRICS, OVERLAP_METRICS
from medwsss.volumes.volume import Volume

CHECKOUT = Path(__file__).resolve().parents[2]
CPU, BOOTSTRAP = torch.device("cpu"), Bootstrap(resamples=2)
CASES = ("both", "prediction", "reference")
"""Which masks are empty, in the order of the columns."""
NO_MEAN = "–"

SQUARE = np.zeros((4, 4, 2), dtype=np.uint8)
SQUARE[1:3, 1:3, 0] = 1
OWN = {"volume_ml": 4 * 10 / 1000, "reference_volume_ml": 4 * 10 / 1000, "LV EF": 50.0}
"""Values of the square: 4 voxels of 10 mm³ at ED, of which 2 are left at ES."""


class Row(NamedTuple):
    """One line of the table."""

    metric: str
    values: tuple[str, str, str]
    volumes: str
    """Cases that enter no mean over volumes."""
    images: str
    """Cases that enter no mean over the classes of images."""
    tests: tuple[str, ...]


def rows() -> Iterator[Row]:
    tests: tuple[str, ...] = ()
    for line in (CHECKOUT / "docs/empty_masks.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and "`" in line:
            name, both, prediction, reference, volumes, images, named = map(str.strip, line.strip("|").split("|"))
            (metric,) = re.findall(r"`([^`]+)`", name)
            tests = tests if named == "the same" else tuple(re.findall(r"`([^`]+)`", named))
            yield Row(metric, (both, prediction, reference), volumes, images, tests)


ROWS = tuple(rows())


def left_out(cell: str) -> tuple[str, ...]:
    return {"all": CASES, "none": ()}.get(cell, tuple(cell.split(", ")))


# --- What the code does ----------------------------------------------------------------------------------------------


def masks(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and reference: squares, or nothing where the case says empty."""
    prediction, reference = (0 * SQUARE if case in ("both", name) else SQUARE for name in ("prediction", "reference"))
    return prediction, reference


def label_pair(case: str, phase: str) -> LabelPair:
    kept = slice(1, 2) if phase == "ES" else slice(None)  # one of two columns
    volumes = []
    for mask in masks(case):
        labels = np.zeros_like(mask)
        labels[:, kept] = mask[:, kept]
        volumes.append(Volume(labels, (1.0, 1.0, 10.0), np.diag([1.0, 1.0, 10.0, 1.0])))
    task = ACDC_TASKS["lv"]
    return LabelPair(Case(f"{case} {phase}", case, Path(), Path(), task, task, phase), *volumes)


@cache
def report(case: str) -> pd.DataFrame:
    """Rows of the report on two patients, the case and one where nothing is empty."""
    pairs = [label_pair(patient, phase) for patient in (case, "neither") for phase in ("ED", "ES")]
    return case_table(pairs, [slice_matrices(pair, 2, CPU) for pair in pairs], ("LV",))


def of_volumes(case: str) -> Iterator[Mapping[str, float]]:
    """From a row of the report, of a slice, pooled over a data set of the volume alone, and the clinical table."""
    row = report(case).iloc[0]
    yield {metric: row[metric] for metric in (*METRICS, "volume_ml", "reference_volume_ml")}
    matrices = slice_matrices(label_pair(case, "ED"), 2, CPU)
    yield {metric: values[0] for metric, values in overlap_scores(matrices[0]).items()}
    pooled = pooled_scores(matrices.sum(dim=0, keepdim=True), [case], ("LV",), bootstrap=BOOTSTRAP)["LV"]
    yield {metric: score.estimate for metric, score in pooled.items()}
    yield {"LV EF": clinical_numbers((), report(case), bootstrap=BOOTSTRAP).measured.loc[case, "LV EF"]}


def of_policies(case: str) -> Mapping[str, float]:
    prediction, reference = (mask == 1 for mask in masks(case))
    return {policy: dice_with_policy(prediction, reference, policy=policy) for policy in EMPTY_POLICIES}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ImageEvaluation]:
    """Evaluations of a data set of one image, by case."""
    root, found = tmp_path_factory.mktemp("images"), {}
    for case in CASES:
        for folder, mask in zip(("p", "r"), masks(case), strict=True):
            write_label_image(mask[..., 0], root / case / folder / "image.png")
        pairing = pair_images(root / case / "p", root / case / "r", None)
        found[case] = evaluate_images(pairing, LabelSet("squares", ("square",)), device=CPU, workers=1)
    return found


def enters_means_over_volumes(metric: str, case: str) -> bool:
    """Whether it does; a value that does not must be counted."""
    if metric in METRICS:
        score = mean_scores(report(case).iloc[:1], ("LV",), (metric,), bootstrap=BOOTSTRAP)["LV"][metric]
        value = report(case).iloc[0][metric]
        assert (score.n, score.undefined, score.infinite) == (
            math.isfinite(value),
            math.isnan(value),
            math.isinf(value),
        )
        return score.n == 1
    quantity = "LV EDV" if metric in ("volume_ml", "reference_volume_ml") else metric
    bias = clinical_numbers((), report(case), bootstrap=BOOTSTRAP).agreement[quantity].bias
    assert bias.n + bias.undefined == 2
    return bias.n == 2


# --- The table -------------------------------------------------------------------------------------------------------


def test_the_table_has_every_metric_of_the_reports_and_every_policy_once() -> None:
    assert sorted(row.metric for row in ROWS) == sorted({*METRICS, *IMAGE_METRICS, *OWN, *EMPTY_POLICIES})


@pytest.mark.parametrize("row", ROWS, ids=[row.metric for row in ROWS])
def test_the_table_says_what_the_code_returns(row: Row, images: Mapping[str, ImageEvaluation]) -> None:
    for case, cell in zip(CASES, row.values, strict=True):
        expected = OWN[row.metric] if cell == "its value" else float(cell)
        sources = [*of_volumes(case), of_policies(case), {name: v[1] for name, v in images[case].per_class.items()}]
        found = [float(source[row.metric]) for source in sources if row.metric in source]
        assert found
        assert found == pytest.approx([expected] * len(found), nan_ok=True), case


@pytest.mark.parametrize("row", ROWS, ids=[row.metric for row in ROWS])
def test_the_table_says_what_means_leave_out(row: Row, images: Mapping[str, ImageEvaluation]) -> None:
    assert (row.volumes != NO_MEAN) == (row.metric in {*METRICS, *OWN})
    assert (row.images != NO_MEAN) == (row.metric in IMAGE_METRICS)
    if row.volumes != NO_MEAN:
        assert left_out(row.volumes) == tuple(c for c in CASES if not enters_means_over_volumes(row.metric, c))
    if row.images != NO_MEAN:
        means = {case: getattr(images[case].without_background, row.metric) for case in CASES}
        assert left_out(row.images) == tuple(case for case, mean in means.items() if math.isnan(mean))


@pytest.mark.parametrize("test", sorted({test for row in ROWS for test in row.tests}))
def test_every_test_in_the_table_exists(test: str) -> None:
    file, _, function = test.partition("::")
    tree = ast.parse((CHECKOUT / file).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_names_a_test() -> None:
    assert [row.metric for row in ROWS if not row.tests] == []


# --- Below the table -------------------------------------------------------------------------------------------------


def test_the_ejection_fraction_of_the_reference_is_undefined_where_its_cavity_is_empty() -> None:
    found = {
        case: clinical_numbers((), report(case), bootstrap=BOOTSTRAP).reference.loc[case, "LV EF"] for case in CASES
    }
    assert found == pytest.approx({"both": math.nan, "prediction": 50.0, "reference": math.nan}, nan_ok=True)


@pytest.mark.parametrize("values", [[math.inf, 1.0], [1.0, math.inf], [math.inf, math.nan], [math.inf, math.inf]])
def test_one_infinite_class_makes_the_mean_of_classes_of_its_volume_infinite(values: list[float]) -> None:
    frame = pd.DataFrame({"case": "a", "patient": "a", "class": ["RV", "LV"], "hd95_mm": values})
    found = mean_scores(frame, ("RV", "LV"), ("hd95_mm",), bootstrap=BOOTSTRAP)[MEAN_OF_CLASSES]["hd95_mm"]
    assert (found.n, found.undefined, found.infinite) == (0, 0, 1)


def pooled_mean(matrix: list[list[int]]) -> Mapping[str, float]:
    found = pooled_scores(torch.tensor([matrix]), ["a"], ("RV", "LV"), bootstrap=BOOTSTRAP)[MEAN_OF_CLASSES]
    assert all(found[metric].n == math.isfinite(found[metric].estimate) for metric in OVERLAP_METRICS)
    return {metric: score.estimate for metric, score in found.items()}


def test_a_class_that_was_never_predicted_leaves_the_pooled_means_of_precision_and_ratio_undefined() -> None:
    found = pooled_mean([[5, 0, 0], [0, 4, 0], [3, 0, 0]])  # RV perfect, LV missed
    expected = {"dice": 0.5, "iou": 0.5, "recall": 0.5, "precision": math.nan, "confusion_ratio": math.nan}
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_class_that_was_never_rightly_predicted_makes_the_pooled_mean_of_the_ratio_infinite() -> None:
    found = pooled_mean([[5, 0, 1], [0, 4, 0], [3, 0, 0]])  # RV perfect, LV elsewhere
    assert found == pytest.approx(
        {"dice": 0.5, "iou": 0.5, "recall": 0.5, "precision": 0.5, "confusion_ratio": math.inf}
    )


def test_a_mask_that_fills_the_image_has_no_boundary() -> None:
    full, square = torch.ones(4, 4, dtype=torch.int64), torch.from_numpy(SQUARE[..., 0])
    assert contour_f(contour_counts(full, full, classes=2)).isnan().all()
    assert contour_f(contour_counts(full, square.long(), classes=2))[1] == 0
