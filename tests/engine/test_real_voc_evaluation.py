"""The evaluator on the 1449 masks of the real VOC val list."""

import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medwsss.engine.evaluate_images import evaluate_images
from medwsss.engine.image_pairs import pair_images
from medwsss.engine.workers import available_cores
from medwsss.labels import VOC_LABELS

CPU = torch.device("cpu")
Folders = tuple[Path, Path, list[str]]


@pytest.fixture(scope="module")
def val(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, Path], Folders]:
    """Unpacks the masks, and writes predictions made from them: moved, and in every fifth image of another class."""
    root = tmp_path_factory.mktemp("voc")

    def prepare(archive: Path, name_list: Path) -> Folders:
        masks, predictions, names = root / "masks", root / "predictions", name_list.read_text().split()
        if not masks.exists():
            masks.mkdir()
            predictions.mkdir()
            unpack(archive, masks, {f"{name}.png" for name in names})
            for index, name in enumerate(names):
                write_perturbed(masks / f"{name}.png", predictions / f"{name}.png", permuted=index % 5 == 0)
        return masks, predictions, names

    return prepare


def unpack(archive: Path, folder: Path, wanted: set[str]) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            if Path(member.name).name in wanted and (content := tar.extractfile(member)) is not None:
                (folder / Path(member.name).name).write_bytes(content.read())


def write_perturbed(mask: Path, path: Path, *, permuted: bool) -> None:
    moved = np.roll(decoded(mask), (3, 5), axis=(0, 1))
    objects = np.isin(moved, range(1, 21))
    classes = moved % 20 + 1 if permuted else moved
    labels = np.where(objects, classes, np.where(moved == 255, np.uint8(0), moved)).astype(np.uint8)
    labels[:4] = 255  # undecided
    Image.fromarray(labels).save(path, compress_level=1)


def decoded(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def plain_loop(predictions: Path, masks: Path, names: list[str]) -> np.ndarray:
    """What WSSS code does: one process, one count per image."""
    total = np.zeros((21, 21), dtype=np.int64)
    for name in names:
        prediction, reference = decoded(predictions / f"{name}.png"), decoded(masks / f"{name}.png")
        kept = (reference < 21) & (prediction < 21)
        total += np.bincount(21 * reference[kept].astype(int) + prediction[kept], minlength=441).reshape(21, 21)
    return total


@pytest.fixture
def files(val: Callable[[Path, Path], Folders], shared_data: Callable[..., Path]) -> Folders:
    archive = shared_data("voc", "SegmentationClassAug.tar")
    return val(archive, shared_data("voc", "ImageSets", "Segmentation", "val.txt"))


@pytest.mark.data
def test_integers_are_those_of_the_plain_loop(files: Folders) -> None:
    masks, predictions, names = files
    found = evaluate_images(pair_images(predictions, masks, names), VOC_LABELS, device=CPU, contours=False)
    np.testing.assert_array_equal(found.matrix, plain_loop(predictions, masks, names))
    assert found.images == 1449
    assert found.undecided.sum() > 0
    assert 0.3 < found.with_background.iou < 0.9


@pytest.mark.data
def test_val_masks_against_themselves_are_perfect(files: Folders) -> None:
    masks, _, names = files
    found = evaluate_images(pair_images(masks, masks, names), VOC_LABELS, device=CPU, contours=True)
    assert found.with_background.iou == found.without_background.iou == 1.0
    assert (found.with_background.occurring, found.without_background.occurring) == (21, 20)
    assert found.with_background.j_and_f == 1.0


@pytest.mark.data
@pytest.mark.slow
def test_the_evaluator_is_faster_than_the_plain_loop(files: Folders) -> None:
    # Half of what scripts/bench_evaluate.py shows on two idle cores: other work on the cores must not fail the test.
    masks, predictions, names = files
    pairing = pair_images(predictions, masks, names)
    ratios = []
    for _ in range(5):
        start = time.perf_counter()
        plain_loop(predictions, masks, names)
        middle = time.perf_counter()
        evaluate_images(pairing, VOC_LABELS, device=CPU, contours=False)
        ratios.append((middle - start) / (time.perf_counter() - middle))
    assert np.median(ratios) > (1.5 if available_cores() > 1 else 1.0)
