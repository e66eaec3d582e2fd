"""What tags of whole studies teach, beside tags of slices and tags copied onto every slice, on drawn studies.

python scripts/bench_bags.py [--seeds 0,1,2] [--iterations 300] [--batch-size 16]

Forty noisy bodies with dark discs, a bright disc in two of the eight slices of every second one. Plain CAM is trained
on thirty of them; the table holds the area under the curve of its probabilities over the slices of the other ten.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from medwsss.config.data import VolumeDataConfig
from medwsss.engine.infer import segment_volume
from medwsss.engine.run_folder import load_method, open_run
from medwsss.volumes.io import load_volume, save_volume
from medwsss.volumes.volume import Volume

STUDIES, SLICES, SIDE = 40, 8, 64
TAGS = ("slices", "studies", "copied")


def write_studies(folder: Path, seed: int) -> np.ndarray:
    """The images; 1 for the slices that show the bright disc comes back."""
    rng, (rows, columns) = np.random.default_rng(seed), np.mgrid[:SIDE, :SIDE]

    def disc(row: float, column: float, radius: float) -> np.ndarray:
        return np.hypot(rows - row, columns - column) < radius

    shows = np.zeros((STUDIES, SLICES), np.uint8)
    for study in range(STUDIES):
        stack = rng.normal(100.0, 12.0, (SLICES, SIDE, SIDE)) + 80.0 * disc(32, 32, 28)
        for image in stack:
            image -= 60.0 * disc(*rng.uniform(18, 46, 2), 5)
        if study % 2 == 0:
            first, place = rng.integers(0, SLICES - 1), rng.uniform(20, 44, 2)
            shows[study, first : first + 2] = 1
            stack[first : first + 2] += 55.0 * disc(*place, 6)
        volume = Volume(stack.T.astype(np.float32), (2.0, 2.0, 8.0), np.diag([-2.0, -2.0, 8.0, 1.0]))
        save_volume(volume, folder / f"{study:02d}.nii.gz")
    return shows


def write_table(path: Path, shows: np.ndarray, tags: str) -> None:
    """A line a slice or, for tags of studies, a line a study."""
    rows: list[tuple[object, ...]] = []
    for study, shown in enumerate(shows.tolist()):
        about = (f"P{study:02d}", f"{study:02d}.nii.gz")
        group, told = "NY"[max(shown)], shown if tags == "slices" else [max(shown)] * SLICES
        lines = [("", max(shown))] if tags == "studies" else list(enumerate(told))
        rows += [(*about, index, group, tag) for index, tag in lines]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("patient", "file", "slice", "group", "disc"), *rows])


def area_under_curve(probs: np.ndarray, truth: np.ndarray) -> float:
    """Share of pairs of a slice with and one without the disc that the probability puts in the right order."""
    yes, no = probs[truth == 1], probs[truth == 0]
    return float((yes[:, None] > no).mean() + 0.5 * (yes[:, None] == no).mean())


def scored(run_folder: Path, data: Path, shows: np.ndarray) -> float:
    """The area of a trained run on its held-out studies."""
    run, config = open_run(run_folder)
    assert isinstance(config.data, VolumeDataConfig)
    method = load_method(run, config, config.data.segmented.labels, checkpoint="last").eval()
    held_out = [int(name[1:]) for name in json.loads(run.split.read_text(encoding="utf-8"))["held_out"]]
    probs = [
        segment_volume(
            method,
            load_volume(data / f"{study:02d}.nii.gz"),
            grid=config.data.grid,
            inference=config.inference,
            device=torch.device("cpu"),
        ).tag_probs[:, 0]
        for study in held_out
    ]
    return area_under_curve(np.stack(probs), shows[held_out])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1,2", help="of images and training, joined by commas")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    print("| seed |", " | ".join(TAGS), "|\n|---|---|---|---|")
    for seed in map(int, options.seeds.split(",")):
        with tempfile.TemporaryDirectory() as scratch:
            data = Path(scratch) / "data"
            data.mkdir()
            shows, areas = write_studies(data, seed), []
            for tags in TAGS:
                table, run = data / f"{tags}.csv", Path(scratch) / tags
                write_table(table, shows, tags)
                settings = {"data.grid.crop": SIDE, "data.cache_dir": Path(scratch) / "cache", "training.seed": seed}
                settings |= {"training.batch_size": options.batch_size}
                settings |= {f"training.{name}": options.iterations for name in ("iterations", "validate_every")}
                assigned = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
                command = ["train", "--dataset", "folder", "--method", "cam", "--device", "cpu", "--root", str(data)]
                command += ["--tags", str(table), "--out", str(run), *assigned]
                subprocess.run([sys.executable, "-m", "medwsss", *command], check=True, capture_output=True)
                areas.append(scored(run, data, shows))
        print(f"| {seed} |", " | ".join(f"{area:.2f}" for area in areas), "|", flush=True)


if __name__ == "__main__":
    main()
