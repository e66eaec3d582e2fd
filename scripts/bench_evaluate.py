"""How much faster the evaluator of label images is than the plain numpy loop of WSSS code, on the same files.

python scripts/bench_evaluate.py SegmentationClassAug.tar ImageSets/Segmentation/val.txt
"""

import argparse
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from medwsss.data.image_files import write_label_image
from medwsss.engine.evaluate_images import CHUNK, evaluate_images
from medwsss.engine.image_pairs import ImagePairing, pair_images
from medwsss.engine.workers import available_cores, spread
from medwsss.labels import VOC_LABELS
from medwsss.metrics.label_pairs import LABELS, add_label_pairs

CLASSES = VOC_LABELS.num_classes
Maps = list[tuple[np.ndarray, np.ndarray]]


def decoded(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def plain_counts(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The loop body found in most WSSS code bases."""
    mask = (reference >= 0) & (reference < CLASSES)
    pairs = CLASSES * reference[mask].astype(int) + prediction[mask]
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def plain_of_files(masks: Path, predictions: Path, names: list[str]) -> np.ndarray:
    pairs = ((decoded(predictions / f"{name}.png"), decoded(masks / f"{name}.png")) for name in names)
    return np.asarray(sum(plain_counts(*pair) for pair in pairs))


def ours_of_files(pairing: ImagePairing, workers: int) -> np.ndarray:
    return evaluate_images(pairing, VOC_LABELS, device=torch.device("cpu"), contours=False, workers=workers).matrix


def plain_of_arrays(maps: Maps) -> np.ndarray:
    return np.asarray(sum(plain_counts(*pair) for pair in maps))


def ours_of_arrays(maps: Maps, workers: int) -> np.ndarray:
    tables = spread(partial(counted, maps), -(-len(maps) // CHUNK), workers, forked=True)
    return np.asarray(sum(tables))


def counted(maps: Maps, index: int) -> np.ndarray:
    table = np.zeros((LABELS, LABELS), dtype=np.int64)
    for prediction, reference in maps[index * CHUNK : (index + 1) * CHUNK]:
        add_label_pairs(table, prediction, reference)
    return table[:CLASSES, :CLASSES]


def compare(title: str, plain: Callable[[], np.ndarray], ours: Callable[[], np.ndarray], runs: int) -> None:
    """Both in turn, so that a busy moment of the machine meets both; medians of the times and of the ratios."""
    assert np.array_equal(plain(), ours()), "the counts differ"
    times = [(seconds(plain), seconds(ours)) for _ in range(runs)]
    slow, fast = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(one / other for one, other in times)
    print(f"{title}: plain loop {slow:.2f} s, evaluator {fast:.2f} s, {ratio:.1f} times as fast")


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def unpack(archive: Path, folder: Path, names: list[str]) -> None:
    wanted = {f"{name}.png" for name in names}
    with tarfile.open(archive) as tar:
        for member in tar:
            if (file := Path(member.name).name) in wanted and (content := tar.extractfile(member)) is not None:
                (folder / file).write_bytes(content.read())


def write_predictions(masks: Path, folder: Path, names: list[str]) -> None:
    """Masks moved by a few pixels, in every fifth image with the classes moved on by one."""
    for index, name in enumerate(names):
        mask = decoded(masks / f"{name}.png")
        moved = np.roll(np.where(mask == 255, 0, mask), (3, 5), axis=(0, 1)).astype(np.uint8)
        if index % 5 == 0:
            moved = np.where(moved > 0, moved % (CLASSES - 1) + 1, 0).astype(np.uint8)
        write_label_image(moved, folder / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("masks", type=Path, help="tar file with the VOC masks")
    parser.add_argument("names", type=Path, help="list file, such as val.txt")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=available_cores())
    arguments = parser.parse_args()
    names = arguments.names.read_text().split()
    with tempfile.TemporaryDirectory() as folder:
        masks, predictions = Path(folder, "masks"), Path(folder, "predictions")
        masks.mkdir()
        unpack(arguments.masks, masks, names)
        write_predictions(masks, predictions, names)
        print(f"{len(names)} images, {arguments.workers} workers, median of {arguments.runs} paired runs")
        pairing = pair_images(predictions, masks, names)
        files = (partial(plain_of_files, masks, predictions, names), partial(ours_of_files, pairing, arguments.workers))
        compare("from files", *files, arguments.runs)
        maps = [(decoded(predictions / f"{name}.png"), decoded(masks / f"{name}.png")) for name in names]
    arrays = (partial(plain_of_arrays, maps), partial(ours_of_arrays, maps, arguments.workers))
    compare("from decoded arrays", *arrays, arguments.runs)
    one = (arrays[0], partial(ours_of_arrays, maps, 1))
    compare("from decoded arrays, one worker", *one, arguments.runs)


if __name__ == "__main__":
    main()
