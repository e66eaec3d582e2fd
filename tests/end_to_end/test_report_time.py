"""What a report of fifty volumes costs, in processor time and bytes."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.beating_heart import SIDE_MM, beating_heart

from medwsss.data.acdc import find_studies
from medwsss.volumes.io import save_volume
from medwsss.volumes.volume import Volume

pytestmark = pytest.mark.slow

PATIENTS, SIDE, SLICES = 25, 256, 10
MOST_SECONDS = 60.0
"""Of one core, so that other programs do not count."""
MOST_BYTES = 15_000_000


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both phases of 25 patients with images and masks, and predictions that err and hold stray voxels."""
    folder = tmp_path_factory.mktemp("fifty")
    write_acdc(folder / "acdc", fake_patients(PATIENTS))
    (folder / "predictions").mkdir()
    pixel = SIDE_MM / SIDE
    scenes = {phase: beating_heart(phase, spacing_mm=pixel, slices=SLICES, apex=0.4) for phase in ("ED", "ES")}
    rng = np.random.default_rng(0)
    for study in find_studies(folder / "acdc"):
        for phase, frame in study.frames.items():
            image, codes = (
                np.roll(array, rng.integers(-20, 20, 2), axis=(1, 2))
                for array in ((255 * scenes[phase].image).astype(np.int16), scenes[phase].codes)
            )
            predicted = np.roll(codes, rng.integers(-8, 8, 2), axis=(1, 2))
            stray = rng.random(predicted.shape) < 0.001
            predicted[stray] = rng.integers(0, 4, int(stray.sum()))
            name = frame.path.name
            for array, path in (
                (image, frame.path),
                (codes, frame.path.with_name(name.replace(".nii", "_gt.nii"))),
                (predicted, folder / "predictions" / name),
            ):
                voxels = np.ascontiguousarray(array.transpose(2, 1, 0))
                save_volume(Volume(voxels, (pixel, pixel, 10.0), np.diag([-pixel, -pixel, 10.0, 1.0])), path)
    names = sorted(path.name.removesuffix(".nii.gz") for path in (folder / "predictions").iterdir())
    rows = "".join(f"{name},,{rng.uniform(0.4, 0.9):.3f},\n" for name in names)
    (folder / "predictions" / "quality.csv").write_text(f"case,frame,estimate,findings\n{rows}", encoding="utf-8")
    return folder


def processor_seconds(*arguments: object) -> float:
    """What a command takes in a process of its own, with all imports."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "medwsss", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_fifty_volumes_are_evaluated_within_a_minute_and_their_page_can_be_mailed(work: Path) -> None:
    out = work / "report"
    seconds = processor_seconds("evaluate", work / "predictions", work / "acdc", "--device", "cpu", "--out", out)
    assert seconds < MOST_SECONDS
    assert (out / "report.html").stat().st_size < MOST_BYTES


def test_fifty_volumes_without_masks_are_described_within_a_minute(work: Path) -> None:
    out = work / "unscored"
    seconds = processor_seconds("report", work / "predictions", "--images", work / "acdc", "--out", out)
    assert seconds < MOST_SECONDS
    assert (out / "report.html").stat().st_size < MOST_BYTES
