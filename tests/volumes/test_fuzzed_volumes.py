"""Thousands of damaged NIfTI files, drawn from a seed: each becomes a sound volume or one line that names it."""

import gzip
from collections import Counter
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fakes.mutations import BYTE_MUTATIONS, Mutation, accepted, drawn, mutated, within

from medwsss.config.data import GridConfig
from medwsss.data.cine_phases import extreme_frames
from medwsss.data.transforms import grey_levels, working_slices
from medwsss.volumes import Volume, load_label_volume, load_volume, save_volume
from medwsss.volumes.io import time_points
from medwsss.volumes.slicing import slices_of

SEED = 5
CASES = [range(1500), pytest.param(range(1500, 12000), marks=pytest.mark.slow)]

EXTREMES = (
    0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-38, 1e-6, 1e4, 1e6, 1e9, -1e9, 9e14, 3e38, -3e38, np.inf, -np.inf, np.nan,
)  # fmt: skip
WHOLE_EXTREMES = (0, 1, -1, 2, 3, 4, 6, 7, 8, 16, 255, 256, 348, 352, 540, 544, 1000, 30000, 2**31 - 1, -(2**31), 2**62)
AFFINE = np.array([[-1.2, 0.5, 2.0, -30.0], [-0.9, -1.1, 3.0, 12.5], [0.1, -0.8, 9.0, 80.0], [0.0, 0.0, 0.0, 1.0]])

LABELS = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3) % 4
GREYS = (LABELS.astype(np.int16) * 90 - 20).repeat(3, axis=2)
CINE = np.stack([GREYS, GREYS + 1, GREYS * 2], axis=-1).astype(np.float32)


def nifti_1(array: np.ndarray, *, order: str = "<") -> bytes:
    header = nib.Nifti1Image(array, AFFINE, dtype=array.dtype).header.as_byteswapped(order)
    return bytes(nib.Nifti1Image(array, AFFINE, header).to_bytes())


def nifti_2(array: np.ndarray) -> bytes:
    return bytes(nib.Nifti2Image(array, AFFINE, dtype=array.dtype).to_bytes())


GOOD = (nifti_1(LABELS), nifti_1(GREYS), nifti_1(CINE), nifti_1(GREYS, order=">"), nifti_2(LABELS), nifti_2(CINE))


def with_an_extreme_field(content: bytes, rng: np.random.Generator) -> bytes:
    """An entry of the header becomes extreme, in the byte order of most files or against it."""
    dtype = (nib.Nifti2Header if content[4:7] == b"n+2" else nib.Nifti1Header).template_dtype
    kind, offset = dtype.fields[str(rng.choice([name for name in dtype.names if name != "magic"]))][:2]
    entry = kind.base
    value = extreme(entry, rng)
    at = offset + entry.itemsize * int(rng.integers(kind.itemsize // entry.itemsize))
    return content[:at] + (value if rng.random() < 0.8 else value[::-1]) + content[at + entry.itemsize :]


def extreme(entry: np.dtype, rng: np.random.Generator) -> bytes:
    if entry.kind == "f":
        return np.array(rng.choice(EXTREMES)).astype(entry).tobytes()
    if entry.kind == "S":
        return rng.bytes(entry.itemsize)
    limits = np.iinfo(entry)
    return np.array(min(max(int(rng.choice(WHOLE_EXTREMES)), limits.min), limits.max)).astype(entry).tobytes()


MUTATIONS: tuple[Mutation, ...] = (*BYTE_MUTATIONS, *[with_an_extreme_field] * 2 * len(BYTE_MUTATIONS))


def damaged(case: int) -> tuple[str, bytes]:
    """Name and content of a file: plain, damaged before compression, or after it."""
    rng, good = drawn(SEED, case), GOOD[case % len(GOOD)]
    form = rng.integers(4)
    if form == 0:
        return "a.nii.gz", mutated(gzip.compress(good, 1, mtime=0), rng, BYTE_MUTATIONS)
    content = mutated(good, rng, MUTATIONS)
    return ("a.nii.gz", gzip.compress(content, 1, mtime=0)) if form == 1 else ("a.nii", content)


def check(volume: Volume) -> None:
    """What all that works with volumes may rely on."""
    assert volume.array.dtype == np.float32
    assert np.isfinite(volume.array).all()
    assert min(volume.spacing_mm) > 0
    assert np.isfinite(volume.spacing_mm).all()
    assert np.isfinite(volume.affine).all()
    assert np.linalg.matrix_rank(volume.affine[:3, :3]) == 3
    greys = grey_levels(slices_of(volume.frame(volume.frames - 1)).array, GridConfig().percentiles)
    assert greys.min() >= 0.0
    assert greys.max() <= 1.0
    if volume.frames > 1:
        extreme_frames(volume.array)


def check_further(volume: Volume, path: Path) -> None:
    """What takes longer: the same volume comes back from a file, and a network can be shown it."""
    save_volume(volume, path)
    again = load_volume(path)
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, volume.affine, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(again.spacing_mm, volume.spacing_mm, rtol=1e-4)
    assert np.isfinite(working_slices(volume.frame(0), GridConfig(), name=str(path))).all()


@pytest.mark.parametrize("cases", CASES)
def test_a_damaged_volume_is_sound_or_refused_in_one_line_that_names_it(cases: range, tmp_path: Path) -> None:
    loaded, case = Counter[bool](), 0
    with within(30 + len(cases) // 50, lambda: f"seed {SEED}, case {case}"):
        for case in cases:
            name, content = damaged(case)
            path, where = tmp_path / name, f"seed {SEED}, case {case}"
            path.write_bytes(content)
            volume = accepted(partial(load_volume, path), path, where)
            labels = accepted(partial(load_label_volume, path), path, where)
            times = accepted(partial(time_points, path), path, where)
            loaded[volume is not None] += 1
            if labels is not None:
                assert labels.array.dtype == np.uint8, where
            if volume is not None:
                assert times == volume.frames, where
                accepted(partial(check, volume), path, where)
            if volume is not None and case % 25 == 0:
                accepted(partial(check_further, volume, tmp_path / "again.nii"), tmp_path / "again.nii", where)
    assert min(loaded[False], loaded[True]) > len(cases) / 5
    assert {path.name for path in tmp_path.iterdir()} == {"a.nii", "a.nii.gz", "again.nii"}
