"""Every metric against its definition, spelled out on sets of voxels, on a thousand random pairs of label maps."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch

from medwsss.engine.aggregate import Bootstrap, pooled_scores
from medwsss.engine.cases import Case
from medwsss.engine.evaluate import LabelPair, case_table, slice_matrices
from medwsss.labels import IGNORE, LabelSet, Task
from medwsss.metrics.confusion import class_scores, confusion_matrices, confusion_matrix
from medwsss.metrics.contour import contour_counts, contour_f
from medwsss.metrics.dice import dice
from medwsss.metrics.label_pairs import label_pair_counts
from medwsss.metrics.results import MEAN_OF_CLASSES, OVERLAP_METRICS
from medwsss.metrics.surface import surface_distances
from medwsss.volumes.volume import Volume

TOLERANCE = 1e-6
PAIRS, COLLECTIONS, LARGEST = 1000, 100, 10
"""How many pairs there are, in how many ways they are pooled, and how many of them at most."""
CPU = torch.device("cpu")

Place = tuple[int, ...]
Places = set[Place]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two label maps of one shape: 0 background, 1 to ``classes`` - 1, in some 255 too."""

    prediction: np.ndarray
    reference: np.ndarray
    classes: int
    spacing_mm: tuple[float, ...]
    tolerance: float
    """Of contours, as a share of the diagonal."""

    @property
    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of class 1."""
        return self.prediction == 1, self.reference == 1

    @property
    def maps(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self.prediction), torch.from_numpy(self.reference)

    @property
    def decided(self) -> bool:
        return IGNORE not in self.prediction and IGNORE not in self.reference

    @cached_property
    def predicted(self) -> Mapping[int, Places]:
        """Where each label is."""
        return places_by_label(self.prediction)

    @cached_property
    def true(self) -> Mapping[int, Places]:
        return places_by_label(self.reference)


# --- The pairs -------------------------------------------------------------------------------------------------------


def nothing(rng: np.random.Generator, shape: Place) -> np.ndarray:
    return np.zeros(shape, dtype=np.bool_)


def everything(rng: np.random.Generator, shape: Place) -> np.ndarray:
    return np.ones(shape, dtype=np.bool_)


def one_voxel(rng: np.random.Generator, shape: Place) -> np.ndarray:
    mask = nothing(rng, shape)
    mask[tuple(rng.integers(shape))] = True
    return mask


def few_voxels(rng: np.random.Generator, shape: Place) -> np.ndarray:
    mask = nothing(rng, shape)
    mask[tuple(rng.integers(shape, size=(3, len(shape))).T)] = True
    return mask


def noise(rng: np.random.Generator, shape: Place) -> np.ndarray:
    return rng.random(shape) < rng.random()


def blob(rng: np.random.Generator, shape: Place) -> np.ndarray:
    """An ellipsoid, often cut by the edge of the grid."""
    squares = [
        ((places - rng.uniform(0, side)) / rng.uniform(0.5, 1 + side / 2)) ** 2
        for places, side in zip(np.indices(shape), shape, strict=True)
    ]
    return sum(squares) <= 1.0


def box_at_the_edge(rng: np.random.Generator, shape: Place) -> np.ndarray:
    mask = nothing(rng, shape)
    mask[tuple(slice(0, rng.integers(1, side + 1)) for side in shape)] = True
    return np.flip(mask, axis=int(rng.integers(len(shape))))


MASKS = (
    nothing, everything, everything, one_voxel, few_voxels, few_voxels, noise, blob, blob, box_at_the_edge,
)  # fmt: skip


def drawn_labels(rng: np.random.Generator, shape: Place, classes: int) -> np.ndarray:
    labels = np.zeros(shape, dtype=np.uint8)
    for label in range(1, classes):
        labels[MASKS[rng.integers(len(MASKS))](rng, shape)] = label
    return labels


def drawn_pair(rng: np.random.Generator, classes: int) -> Pair:
    shape = tuple(rng.integers(1, (15, 15) if rng.random() < 0.5 else (11, 11, 7)).tolist())
    reference = drawn_labels(rng, shape, classes)
    other = drawn_labels(rng, shape, classes)
    prediction = {
        "unrelated": other,
        "identical": reference.copy(),
        "moved": np.roll(reference, 1, axis=0),
        "partly": np.where(rng.random(shape) < 0.2, other, reference),
    }[rng.choice(["unrelated", "identical", "moved", "partly"], p=[0.5, 0.1, 0.2, 0.2])]
    if rng.random() < 0.2:
        for labels in (prediction, reference):
            labels[rng.random(shape) < 0.1] = IGNORE
    even = rng.random() < 0.2
    spacing_mm = (1.0,) * len(shape) if even else tuple(rng.uniform(0.4, 10.0, len(shape)).tolist())
    return Pair(prediction, reference, classes, spacing_mm, float(rng.choice([0.0, 0.008, 0.06, 0.2])))


@cache
def pairs() -> tuple[Pair, ...]:
    rng = np.random.default_rng(0)
    return tuple(drawn_pair(rng, classes=2 + index % 3) for index in range(PAIRS))


@cache
def collections() -> tuple[tuple[Pair, ...], ...]:
    """Data sets of pairs with the same classes; in the first there is nothing to find."""
    rng, alike = np.random.default_rng(1), [[pair for pair in pairs() if pair.classes == count] for count in (2, 3, 4)]
    blank = tuple(pair for pair in alike[0] if not (pair.prediction | pair.reference).any())
    drawn = (
        tuple(some[place] for place in rng.choice(len(some), size=rng.integers(1, LARGEST + 1), replace=False))
        for _, some in zip(range(COLLECTIONS), cycle(alike), strict=False)
    )
    return (blank, *drawn)


# --- The definitions -------------------------------------------------------------------------------------------------


def places_by_label(labels: np.ndarray) -> Mapping[int, Places]:
    found: defaultdict[int, Places] = defaultdict(set)
    for place, label in np.ndenumerate(labels):
        found[int(label)].add(place)
    return found


def ratio(part: int, whole: int) -> float:
    if whole == 0:
        return math.inf if part else math.nan
    return part / whole


def scores_by_definition(predicted: Places, true: Places) -> dict[str, float]:
    hit, either = predicted & true, predicted | true
    return {
        "dice": ratio(2 * len(hit), len(predicted) + len(true)),
        "iou": ratio(len(hit), len(either)),
        "precision": ratio(len(hit), len(predicted)),
        "recall": ratio(len(hit), len(true)),
        "confusion_ratio": ratio(len(predicted - true), len(hit)),
        "false_positive_rate": ratio(len(predicted - true), len(either)),
        "false_negative_rate": ratio(len(true - predicted), len(either)),
    }


def decided_places(pair: Pair) -> list[tuple[Places, Places]]:
    """Of each class in prediction and reference, without the places where either is 255."""
    out = pair.predicted[IGNORE] | pair.true[IGNORE]
    return [(pair.predicted[label] - out, pair.true[label] - out) for label in range(pair.classes)]


def beside(place: Place) -> list[Place]:
    """The places that share a face with it, in the grid or not."""
    return [(*place[:axis], place[axis] + step, *place[axis + 1 :]) for axis in range(len(place)) for step in (-1, 1)]


def surface(mask: Places) -> list[Place]:
    return [place for place in mask if any(neighbour not in mask for neighbour in beside(place))]


def nearest(start: Sequence[Place], target: Sequence[Place], spacing: Sequence[float]) -> list[float]:
    """Of each place of ``start``, the distance to the nearest of ``target``: all pairs are looked at."""
    steps = (np.array(start)[:, None] - np.array(target)[None]) * np.array(spacing)
    return np.sqrt((steps**2).sum(axis=2)).min(axis=1).tolist()


def percentile_95(values: Sequence[float]) -> float:
    """Linear between the two values beside 95 % of the way from the smallest to the largest."""
    ordered, way = sorted(values), 0.95 * (len(values) - 1)
    below, above = ordered[math.floor(way)], ordered[math.ceil(way)]
    return below + (way - math.floor(way)) * (above - below)


def distances_by_definition(predicted: Places, true: Places, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """HD95 and ASSD."""
    if not predicted or not true:
        return (math.inf, math.inf) if predicted or true else (math.nan, math.nan)
    surfaces = surface(predicted), surface(true)
    forth, back = nearest(*surfaces, spacing_mm), nearest(*reversed(surfaces), spacing_mm)
    return max(percentile_95(forth), percentile_95(back)), sum(forth + back) / len(forth + back)


def boundary(inside: Places, shape: Place) -> list[Place]:
    """Pixels that are inside where their right, lower or lower-right neighbour is not, or the other way round."""
    found = []
    for row, column in np.ndindex(shape):
        after = [(row, column + 1), (row + 1, column), (row + 1, column + 1)]
        own = (row, column) in inside
        if any(y < shape[0] and x < shape[1] and ((y, x) in inside) != own for y, x in after):
            found.append((row, column))
    return found


def contours_by_definition(predicted: Places, true: Places, shape: Place, tolerance: float) -> tuple[list[int], float]:
    """The four counts, and F."""
    radius = math.ceil(tolerance * math.hypot(*shape))
    ours, theirs = boundary(predicted, shape), boundary(true, shape)
    found = recalled = 0
    if ours and theirs:
        recalled = sum(distance <= radius for distance in nearest(theirs, ours, (1, 1)))
        found = sum(distance <= radius for distance in nearest(ours, theirs, (1, 1)))
    precision, recall = found / max(len(ours), 1), recalled / max(len(theirs), 1)
    score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return [recalled, found, len(theirs), len(ours)], score if ours or theirs else math.nan


def difference(found: float, expected: float) -> float:
    """0 where both are NaN or the same infinity; infinite where only one is."""
    if found == expected or (math.isnan(found) and math.isnan(expected)):
        return 0.0
    apart = abs(found - expected)
    return math.inf if math.isnan(apart) else apart


# --- Against the definitions -----------------------------------------------------------------------------------------


def test_the_pairs_hold_what_is_easy_to_get_wrong() -> None:
    masks = [pair.masks for pair in pairs()]
    sizes = [(int(predicted.sum()), int(true.sum()), true.size) for predicted, true in masks]
    assert len(sizes) == PAIRS
    kinds = {
        "both empty": [ours == theirs == 0 for ours, theirs, _ in sizes],
        "only the prediction empty": [ours == 0 < theirs for ours, theirs, _ in sizes],
        "only the reference empty": [theirs == 0 < ours for ours, theirs, _ in sizes],
        "both full": [ours == theirs == full for ours, theirs, full in sizes],
        "one full": [max(ours, theirs) == full > min(ours, theirs) for ours, theirs, full in sizes],
        "single voxels": [ours == theirs == 1 for ours, theirs, _ in sizes],
        "identical": [ours > 0 and bool((predicted == true).all())
                      for (predicted, true), (ours, _, _) in zip(masks, sizes, strict=True)],
        "apart": [ours > 0 < theirs and not (predicted & true).any()
                  for (predicted, true), (ours, theirs, _) in zip(masks, sizes, strict=True)],
        "at the edge": [bool(true[0].any()) and theirs < full
                        for (_, true), (_, theirs, full) in zip(masks, sizes, strict=True)],
        "flat": [pair.prediction.ndim == 2 for pair in pairs()],
        "anisotropic in space": [len(set(pair.spacing_mm)) == 3 for pair in pairs()],
        "with undecided places": [not pair.decided for pair in pairs()],
    }  # fmt: skip
    assert {name: sum(found) for name, found in kinds.items() if sum(found) < 10} == {}


def test_dice_is_that_of_the_sets() -> None:
    for pair in pairs():
        expected = scores_by_definition(pair.predicted[1], pair.true[1])["dice"]
        assert difference(dice(*pair.masks), expected) <= TOLERANCE


@pytest.mark.parametrize("sparse", [0.0, 3.0], ids=["by distance maps", "by search trees"])
def test_hd95_and_assd_are_those_of_all_pairs_of_surface_voxels(sparse: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medwsss.metrics.surface.SPARSE", sparse)  # no surfaces are as sparse as that, or all are
    for pair in pairs():
        found = surface_distances(*pair.masks, spacing_mm=pair.spacing_mm)
        hd95, assd = distances_by_definition(pair.predicted[1], pair.true[1], pair.spacing_mm)
        assert difference(found.hd95, hd95) <= TOLERANCE
        assert difference(found.assd, assd) <= TOLERANCE


def counts_by_definition(pair: Pair) -> list[list[int]]:
    """Reference in rows."""
    decided = decided_places(pair)
    return [[len(predicted & true) for predicted, _ in decided] for _, true in decided]


def test_counts_of_volumes_slices_and_images_are_those_of_the_sets() -> None:
    for pair in pairs():
        expected = counts_by_definition(pair)
        assert confusion_matrix(*pair.maps, classes=pair.classes).tolist() == expected
        if pair.prediction.ndim == 2:
            table = label_pair_counts(pair.prediction, pair.reference)
            assert table[: pair.classes, : pair.classes].tolist() == expected
        else:
            slices = [
                replace(pair, prediction=p, reference=r) for p, r in zip(pair.prediction, pair.reference, strict=True)
            ]
            by_slice = confusion_matrices(*pair.maps, classes=pair.classes)
            assert by_slice.tolist() == [counts_by_definition(one) for one in slices]


def test_scores_of_every_class_are_those_of_the_sets() -> None:
    for pair in pairs():
        found = class_scores(confusion_matrix(*pair.maps, classes=pair.classes))
        for label, (predicted, true) in enumerate(decided_places(pair)):
            for metric, expected in scores_by_definition(predicted, true).items():
                assert difference(float(getattr(found, metric)[label]), expected) <= TOLERANCE, metric


def test_contour_counts_are_those_of_all_pairs_of_boundary_pixels() -> None:
    for pair in pairs():
        if pair.prediction.ndim == 2:
            counts = contour_counts(*pair.maps, classes=pair.classes, tolerance=pair.tolerance)
            scores = contour_f(counts).tolist()
            for label in range(pair.classes):
                expected, score = contours_by_definition(
                    pair.predicted[label], pair.true[label], pair.prediction.shape, pair.tolerance
                )
                assert counts[label].tolist() == expected
                assert difference(scores[label], score) <= TOLERANCE


# --- As reports have them --------------------------------------------------------------------------------------------


def as_case(pair: Pair, index: int, names: tuple[str, ...]) -> LabelPair:
    task = Task(LabelSet("drawn", names), {})
    volumes = (
        Volume(labels, pair.spacing_mm, np.diag([*pair.spacing_mm, 1.0]))
        for labels in (pair.prediction, pair.reference)
    )
    return LabelPair(Case(f"case {index}", f"patient {index // 2}", Path(), Path(), task, task), *volumes)


def test_the_rows_of_a_report_are_those_of_the_sets() -> None:
    names = ("one", "two", "three")
    solid = [pair for pair in pairs() if pair.prediction.ndim == 3]
    drawn = [pair for pair in solid if pair.decided][:150]
    assert len(drawn) == 150
    cases = [as_case(pair, index, names) for index, pair in enumerate(drawn)]
    frame = case_table(cases, [slice_matrices(case, len(names) + 1, CPU) for case in cases], names)
    for row, found in enumerate(frame.to_dict("records")):
        pair, label = drawn[row // len(names)], 1 + row % len(names)
        predicted, true = pair.predicted[label], pair.true[label]
        hd95, assd = distances_by_definition(predicted, true, pair.spacing_mm)
        scores = scores_by_definition(predicted, true)
        expected = {metric: scores[metric] for metric in OVERLAP_METRICS} | {
            "hd95_mm": hd95,
            "assd_mm": assd,
            "volume_ml": len(predicted) * math.prod(pair.spacing_mm) / 1000,
            "reference_volume_ml": len(true) * math.prod(pair.spacing_mm) / 1000,
        }
        for column, value in expected.items():
            assert difference(found[column], value) <= TOLERANCE, column


def pooled_by_report(matrices: Sequence[torch.Tensor], names: Sequence[str]) -> dict[str, dict[str, float]]:
    patients = [f"patient {index // 2}" for index in range(len(matrices))]
    found = pooled_scores(torch.stack(tuple(matrices)), patients, names, bootstrap=Bootstrap(resamples=2))
    return {name: {metric: score.estimate for metric, score in scores.items()} for name, scores in found.items()}


def pooled_by_definition(collection: Sequence[Pair], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Places of all pairs in one set a class; the mean is over the classes that the references have."""
    predicted: list[Places] = [set() for _ in names]
    true: list[Places] = [set() for _ in names]
    for index, pair in enumerate(collection):
        for label, (ours, theirs) in enumerate(decided_places(pair)[1:]):
            predicted[label] |= {(index, *place) for place in ours}
            true[label] |= {(index, *place) for place in theirs}
    found = {name: scores_by_definition(*both) for name, *both in zip(names, predicted, true, strict=True)}
    occurring = [found[name] for name, places in zip(names, true, strict=True) if places]
    mean = {
        metric: sum(scores[metric] for scores in occurring) / len(occurring) if occurring else math.nan
        for metric in OVERLAP_METRICS
    }
    return found | ({MEAN_OF_CLASSES: mean} if len(names) > 1 else {})


def test_pooled_scores_are_those_of_the_sets_of_all_volumes() -> None:
    for collection in collections():
        names = ("one", "two", "three")[: collection[0].classes - 1]
        found = pooled_by_report([confusion_matrix(*pair.maps, classes=pair.classes) for pair in collection], names)
        expected = pooled_by_definition(collection, names)
        assert list(found) == list(expected)
        for name, scores in found.items():
            for metric, value in scores.items():
                assert difference(value, expected[name][metric]) <= TOLERANCE, (name, metric)


# --- What must hold whatever the masks -------------------------------------------------------------------------------


def test_swapping_prediction_and_reference_keeps_overlap_and_distances_and_exchanges_precision_and_recall() -> None:
    exchanged = {
        "dice": "dice", "iou": "iou", "precision": "recall", "recall": "precision",
        "false_positive_rate": "false_negative_rate", "false_negative_rate": "false_positive_rate",
    }  # fmt: skip
    scores, swapped = [], []
    for pair in pairs():
        ours, theirs = pair.masks
        assert difference(dice(theirs, ours), dice(ours, theirs)) == 0
        there, back = (
            surface_distances(*both, spacing_mm=pair.spacing_mm) for both in ((ours, theirs), (theirs, ours))
        )
        assert difference(there.hd95, back.hd95) <= 1e-12
        assert difference(there.assd, back.assd) <= 1e-12
        scores.append(class_scores(confusion_matrix(*pair.maps, classes=pair.classes)))
        swapped.append(class_scores(confusion_matrix(*pair.maps[::-1], classes=pair.classes)))
    for metric, other in exchanged.items():
        found, expected = (
            torch.cat([getattr(one, name) for one in some]) for some, name in ((scores, metric), (swapped, other))
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_swapping_prediction_and_reference_exchanges_the_counts_of_contours_and_keeps_f() -> None:
    there, back = (
        torch.cat(
            [
                contour_counts(*pair.maps[::step], classes=pair.classes, tolerance=pair.tolerance)
                for pair in pairs()
                if pair.prediction.ndim == 2
            ]
        )
        for step in (1, -1)
    )
    assert torch.equal(there, back[:, [1, 0, 3, 2]])
    torch.testing.assert_close(contour_f(there), contour_f(back), rtol=0, atol=1e-12, equal_nan=True)


def binary_counts(prediction: np.ndarray, reference: np.ndarray) -> torch.Tensor:
    return confusion_matrix(
        torch.from_numpy(prediction.astype(np.uint8)), torch.from_numpy(reference.astype(np.uint8)), classes=2
    )


Change = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""What becomes of a prediction, given its reference too."""


@pytest.mark.parametrize(
    ("changed", "equal"),
    [(lambda ours, theirs: ours, False), (lambda ours, theirs: ours | theirs, True)],
    ids=["as drawn", "with all of the reference"],
)
def test_pooled_confusion_ratio_is_at_most_what_dice_allows_and_equal_where_nothing_is_missed(
    changed: Change, equal: bool
) -> None:
    """2 / Dice - 2 = (2 TP + FP + FN) / TP - 2 = (FP + FN) / TP, which is FP / TP = CR and what FN >= 0 adds to it."""
    for collection in collections():
        masks = [pair.masks for pair in collection]
        matrices = [binary_counts(changed(ours, theirs), theirs) for ours, theirs in masks]
        found = pooled_by_report(matrices, ("one",))["one"]
        (_, wrong), (missed, _) = sum(matrices).tolist()
        assert not equal or missed == 0
        if found["dice"] > 0:
            bound = 2 / found["dice"] - 2
            assert found["confusion_ratio"] <= bound + 1e-9
            assert (found["confusion_ratio"] == pytest.approx(bound, rel=1e-9, abs=1e-9)) == (missed == 0)
        else:  # without TP the bound is infinite, and so is CR where anything was predicted
            assert difference(found["confusion_ratio"], math.inf if wrong else math.nan) == 0


def counts(pair: Pair, device: torch.device) -> list[torch.Tensor]:
    maps = tuple(labels.to(device) for labels in pair.maps)
    found = [confusion_matrix(*maps, classes=pair.classes)]
    if pair.prediction.ndim == 2:
        found.append(contour_counts(*maps, classes=pair.classes, tolerance=pair.tolerance))
    else:
        found.append(confusion_matrices(*maps, classes=pair.classes))
    return [some.cpu() for some in found]


@pytest.mark.gpu
def test_counts_on_the_gpu_are_those_of_the_cpu() -> None:
    for pair in pairs():
        on_cpu, on_gpu = counts(pair, CPU), counts(pair, torch.device("cuda"))
        assert all(torch.equal(*both) for both in zip(on_gpu, on_cpu, strict=True))
