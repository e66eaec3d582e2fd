"""Tags of whole studies teach which slices show a thing; copied onto every slice, they do not."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.command_line import medwsss

from medwsss.engine.infer import segment_volume
from medwsss.engine.run_folder import load_method, open_run
from medwsss.volumes.io import load_volume, save_volume
from medwsss.volumes.volume import Volume

STUDIES, SLICES, SIDE = 40, 8, 64


def write_lesions(folder: Path) -> np.ndarray:
    """Noisy bodies with dark discs, and in every second study a bright disc in two slices; says in which."""
    rng, (rows, columns) = np.random.default_rng(0), np.mgrid[:SIDE, :SIDE]

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


def write_table(path: Path, shows: np.ndarray, *, whole: bool) -> Path:
    """What a study shows, on one line or copied onto each of its slices."""
    rows = []
    for study, shown in enumerate(shows.any(axis=1).astype(int).tolist()):
        slices = [""] if whole else list(range(SLICES))
        rows += [(f"P{study:02d}", f"{study:02d}.nii.gz", index, "NY"[shown], shown) for index in slices]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("patient", "file", "slice", "group", "lesion"), *rows])
    return path


def area_under_curve(probs: np.ndarray, truth: np.ndarray) -> float:
    """Share of pairs of a slice with and one without that the probability puts in the right order."""
    yes, no = probs[truth == 1], probs[truth == 0]
    return float((yes[:, None] > no).mean() + 0.5 * (yes[:, None] == no).mean())


def slice_probabilities(run_folder: Path, data: Path) -> tuple[np.ndarray, list[int]]:
    """Of the slices of the held-out studies."""
    run, config = open_run(run_folder)
    method = load_method(run, config, config.data.segmented.labels, checkpoint="last").eval()
    held_out = [int(name[1:]) for name in json.loads((run_folder / "split.json").read_text())["held_out"]]
    found = [
        segment_volume(
            method,
            load_volume(data / f"{study:02d}.nii.gz"),
            grid=config.data.grid,
            inference=config.inference,
            device=torch.device("cpu"),
        ).tag_probs[:, 0]
        for study in held_out
    ]
    return np.stack(found), held_out


@pytest.mark.slow
def test_bags_find_the_slices_and_copied_tags_do_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shows = write_lesions(data)
    areas = {}
    for name, whole in (("bags", True), ("copied", False)):
        table = write_table(tmp_path / f"{name}.csv", shows, whole=whole)
        answer = medwsss(
            "train", "--dataset", "folder", "--method", "cam", "--root", data, "--tags", table,
            "--out", tmp_path / name, "--device", "cpu", "--set", "data.grid.crop=64",
            "--set", "training.iterations=300", "--set", "training.validate_every=300",
        )  # fmt: skip
        assert answer.code == 0, answer.err
        probs, held_out = slice_probabilities(tmp_path / name, data)
        areas[name] = area_under_curve(probs, shows[held_out])
        if whole:  # the likeliest slice of a study with a lesion is one that shows it
            ill = shows[held_out].any(axis=1)
            assert (shows[held_out][ill, probs[ill].argmax(axis=1)] == 1).all()
    assert areas["bags"] > 0.85
    assert areas["bags"] > areas["copied"] + 0.1
