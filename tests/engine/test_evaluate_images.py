"""From label images to scores: streaming changes nothing, and what is left out is counted."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medwsss.data.image_files import write_label_image
from medwsss.engine.evaluate_images import CHUNK, _counted_on, evaluate_images
from medwsss.engine.image_pairs import ImagePairing, load_maps, pair_images
from medwsss.errors import DatasetError, EvaluationError
from medwsss.labels import LabelSet
from medwsss.metrics.image_results import ImageEvaluation, ImageSources

PETS = LabelSet("pets", ("cat", "dog", "fish"))
CPU = torch.device("cpu")
MANY = 2 * CHUNK + 3


def write(root: Path, pairs: list[tuple[np.ndarray, np.ndarray]]) -> ImagePairing:
    for index, maps in enumerate(pairs):
        for folder, labels in zip(("p", "r"), maps, strict=True):
            write_label_image(np.asarray(labels, dtype=np.uint8), root / folder / f"{index:03}.png")
    return pair_images(root / "p", root / "r", None)


def evaluate(pairing: ImagePairing, **options: bool | int) -> ImageEvaluation:
    return evaluate_images(pairing, PETS, device=CPU, **options)


def random_pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Maps of blocks, of several sizes, some with 255 on either side."""
    rng = np.random.default_rng(0)
    shapes = [(20 + index % 3, 31) for index in range(count)]
    draws = [rng.choice(np.array([0, 0, 1, 2, 3, 255], dtype=np.uint8), size=(2, 6, 8)) for _ in shapes]
    grown = [np.kron(draw, np.ones((1, 4, 4), dtype=np.uint8)) for draw in draws]
    return [(maps[0, : s[0], : s[1]], maps[1, : s[0], : s[1]]) for maps, s in zip(grown, shapes, strict=True)]


def test_scores_of_two_images_worked_out_by_hand(tmp_path: Path) -> None:
    pairing = write(
        tmp_path,
        [
            (np.array([[0, 1, 1, 255]]), np.array([[0, 0, 1, 1]])),  # one cat pixel is undecided
            (np.array([[3, 255, 2, 0]]), np.array([[0, 255, 255, 0]])),  # a fish that is not there
        ],
    )
    found = evaluate(pairing)
    assert found.matrix.tolist() == [[2, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert found.undecided.tolist() == [0, 1, 0, 0]
    assert (found.images, found.pixels, found.undecided_share) == (2, 6, pytest.approx(1 / 6))
    assert found.absent == ("dog", "fish")
    # background: TP 2, FP 0, FN 2; cat: TP 1, FP 1, FN 0; dog: nothing; fish: FP 1
    per_class = {
        "iou": [2 / 4, 1 / 2, math.nan, 0],
        "precision": [1, 1 / 2, math.nan, 0],
        "recall": [2 / 4, 1, math.nan, math.nan],
        "confusion_ratio": [0, 1, math.nan, math.inf],
        "false_positive_rate": [0, 1 / 2, math.nan, 1],
        "false_negative_rate": [2 / 4, 0, math.nan, 0],
    }
    for metric, values in per_class.items():
        assert found.per_class[metric].tolist() == pytest.approx(values, nan_ok=True), metric
    everything, foreground = found.with_background, found.without_background
    assert (everything.iou, foreground.iou) == (pytest.approx((2 / 4 + 1 / 2) / 2), pytest.approx(1 / 2))
    assert (everything.precision, foreground.precision) == (pytest.approx((1 + 1 / 2) / 2), pytest.approx(1 / 2))
    assert (everything.recall, foreground.recall) == (pytest.approx((2 / 4 + 1) / 2), pytest.approx(1))
    assert everything.confusion_ratio == pytest.approx((0 + 1) / 2)
    assert (everything.finite_ratios, everything.infinite_ratios, everything.undefined_ratios) == (2, 1, 1)
    assert everything.pooled_confusion_ratio == pytest.approx((0 + 1 + 1) / (2 + 1))
    assert (foreground.confusion_ratio, foreground.pooled_confusion_ratio) == (pytest.approx(1), pytest.approx(2 / 1))
    assert (everything.occurring, foreground.occurring) == (2, 1)
    rates = everything.false_positive_rate + everything.false_negative_rate
    assert rates + everything.iou == pytest.approx(1)


def test_counts_are_those_of_the_plain_loop_over_pixels(tmp_path: Path) -> None:
    pairs = random_pairs(MANY)
    expected, undecided = np.zeros((4, 4), dtype=np.int64), np.zeros(4, dtype=np.int64)
    for prediction, reference in pairs:
        for p, r in zip(prediction.flat, reference.flat, strict=True):
            if p != 255 and r != 255:
                expected[r, p] += 1
            elif r != 255:
                undecided[r] += 1
    found = evaluate(write(tmp_path, pairs))
    np.testing.assert_array_equal(found.matrix, expected)
    np.testing.assert_array_equal(found.undecided, undecided)


def test_processes_one_worker_and_a_device_give_the_same_integers(tmp_path: Path) -> None:
    pairing = write(tmp_path, random_pairs(MANY))
    one, three = evaluate(pairing, workers=1), evaluate(pairing, workers=3)
    on_device = _counted_on(CPU, [load_maps(pair) for pair in pairing.pairs], 4, contours=True)
    assert one.contours is not None
    assert one.contours[:, 2:].min() > 0
    for other in (three, on_device):
        assert other.images == one.images == MANY
        for name in ("matrix", "undecided", "contours"):
            np.testing.assert_array_equal(getattr(other, name), getattr(one, name))


@pytest.mark.gpu
def test_the_gpu_gives_the_integers_of_the_cpu(tmp_path: Path) -> None:
    pairing = write(tmp_path, random_pairs(MANY))
    on_cpu, on_gpu = evaluate(pairing), evaluate_images(pairing, PETS, device=torch.device("cuda"))
    for name in ("matrix", "undecided", "contours"):
        np.testing.assert_array_equal(getattr(on_gpu, name), getattr(on_cpu, name))


def test_references_against_themselves_are_perfect(tmp_path: Path) -> None:
    found = evaluate(write(tmp_path, [(labels, labels) for _, labels in random_pairs(4)]))
    for summary in (found.with_background, found.without_background):
        assert summary.iou == summary.precision == summary.recall == summary.contour_f == summary.j_and_f == 1.0
        assert summary.confusion_ratio == summary.false_positive_rate == summary.false_negative_rate == 0.0
    assert found.undecided.sum() == 0


def test_contours_can_be_left_out_and_enter_j_and_f(tmp_path: Path) -> None:
    pairing = write(tmp_path, random_pairs(3))
    without, found = evaluate(pairing, contours=False), evaluate(pairing)
    assert without.contours is without.with_background.contour_f is without.with_background.j_and_f is None
    assert "contour_f" not in without.per_class
    summary = found.without_background
    assert summary.contour_f == pytest.approx(found.per_class["contour_f"][1:].mean())  # all classes have boundaries
    assert summary.j_and_f == pytest.approx((summary.iou + summary.contour_f) / 2)


def test_a_prediction_without_any_decision_has_no_score(tmp_path: Path) -> None:
    found = evaluate(write(tmp_path, [(np.full((3, 3), 255), np.eye(3))]))
    assert math.isnan(found.with_background.iou)
    assert math.isnan(found.with_background.pooled_confusion_ratio)
    assert (found.undecided_share, found.with_background.occurring) == (1.0, 0)


def test_progress_counts_the_images_that_are_done(tmp_path: Path) -> None:
    seen: list[int] = []
    evaluate_images(write(tmp_path, random_pairs(MANY)), PETS, device=CPU, contours=False, progress=seen.append)
    assert seen == [CHUNK, 2 * CHUNK, MANY]


def test_no_image_at_all_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no image"):
        evaluate(ImagePairing((), ImageSources("p", "r")))


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_files_end_in_one_line_that_names_them(tmp_path: Path, workers: int) -> None:
    pairing = write(tmp_path, random_pairs(MANY))
    last = tmp_path / f"p/{MANY - 1:03}.png"
    whole = last.read_bytes()
    shape = load_maps(pairing.pairs[-1])[1].shape
    write_label_image(np.full(shape, 4, dtype=np.uint8), last)
    with pytest.raises(EvaluationError, match=rf"{last.name} holds labels \[4\]: pets has 0 to 3"):
        evaluate(pairing, workers=workers)
    write_label_image(np.zeros((2, 2), dtype=np.uint8), last)
    with pytest.raises(EvaluationError, match=rf"p/{last.name} has 2 x 2 pixels, .*r/{last.name} has"):
        evaluate(pairing, workers=workers)
    Image.new("RGB", (shape[1], shape[0])).save(last)
    with pytest.raises(DatasetError, match=rf"{last.name} holds colours"):
        evaluate(pairing, workers=workers)
    last.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=rf"{last.name} is damaged or truncated"):
        evaluate(pairing, workers=workers)
