import os
from pathlib import Path

import numpy as np
import pytest
from fakes.acdc import FakePatient, image, volume, write_acdc

from medwsss.config.data import GridConfig
from medwsss.data import study
from medwsss.data.acdc import find_studies
from medwsss.data.slice_cache import SliceCache, default_cache_dir
from medwsss.data.study import Frame, load_frame
from medwsss.data.transforms import working_slices
from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.volumes.io import save_volume

GRID = GridConfig()
PATIENT = FakePatient(cine=True)


@pytest.fixture
def frame(tmp_path: Path) -> Frame:
    return find_studies(write_acdc(tmp_path / "data", [PATIENT]))[0].frames["ED"]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every NIfTI image that is read."""
    paths: list[Path] = []
    load = study.load_volume
    monkeypatch.setattr(study, "load_volume", lambda path: paths.append(path) or load(path))
    return paths


def test_a_second_cache_on_the_same_folder_reads_no_nifti(tmp_path: Path, frame: Frame, reads: list[Path]) -> None:
    first = SliceCache(tmp_path / "cache").stack(frame, GRID)
    second = SliceCache(tmp_path / "cache").stack(frame, GRID)
    assert reads == [frame.path]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(second, working_slices(load_frame(frame), GRID))


def test_cached_slices_are_read_only(tmp_path: Path, frame: Frame) -> None:
    cache = SliceCache(tmp_path / "cache")
    assert not cache.stack(frame, GRID).flags.writeable
    assert not cache.stack(frame, GRID).flags.writeable


def test_another_file_frame_or_resampling_is_another_entry(tmp_path: Path, frame: Frame, reads: list[Path]) -> None:
    cache = SliceCache(tmp_path / "cache")
    cine = frame.path.with_name("patient001_4d.nii.gz")
    stacks = [
        cache.stack(frame, GRID),
        cache.stack(Frame(cine, 2, time_index=1), GRID),
        cache.stack(Frame(cine, 3, time_index=2), GRID),
        cache.stack(frame, GridConfig(spacing_mm=2.0)),
        cache.stack(frame, GridConfig(percentiles=(0.0, 100.0))),
    ]
    assert len(reads) == 5
    assert not any(np.array_equal(stacks[0], stack) for stack in stacks[1:])
    cache.stack(frame, GridConfig(crop=64, channels="neighbours"))  # neither changes the slices
    assert len(reads) == 5


def test_a_file_that_changed_is_read_again(tmp_path: Path, frame: Frame, reads: list[Path]) -> None:
    cache = SliceCache(tmp_path / "cache")
    before = cache.stack(frame, GRID)
    save_volume(volume(PATIENT, image(PATIENT, 2)), frame.path)
    os.utime(frame.path, ns=(1, 1))
    assert not np.array_equal(before, cache.stack(frame, GRID))
    assert len(reads) == 2


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", None])
def test_a_damaged_entry_is_built_again(tmp_path: Path, frame: Frame, damage: bytes | None) -> None:
    cache = SliceCache(tmp_path / "cache")
    before = cache.stack(frame, GRID).copy()
    (entry,) = (tmp_path / "cache").glob("*.npy")
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-100] if damage is None else damage)
    np.testing.assert_array_equal(cache.stack(frame, GRID), before)
    assert entry.read_bytes() == whole


def test_an_entry_with_pickled_objects_is_not_believed(tmp_path: Path, frame: Frame) -> None:
    cache = SliceCache(tmp_path / "cache")
    before = cache.stack(frame, GRID).copy()
    (entry,) = (tmp_path / "cache").glob("*.npy")
    np.save(entry, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.testing.assert_array_equal(cache.stack(frame, GRID), before)


def test_an_unwritable_folder_keeps_slices_in_memory_with_one_warning(
    tmp_path: Path, frame: Frame, reads: list[Path]
) -> None:
    (tmp_path / "file").touch()
    cache = SliceCache(tmp_path / "file" / "cache")
    with pytest.warns(MedwsssWarning, match="cannot write the slice cache .* stay in memory"):
        cache.stack(frame, GRID)
    cache.stack(frame, GridConfig(spacing_mm=2.0))  # a second warning would be an error here
    cache.stack(frame, GRID)
    assert len(reads) == 2


def test_a_constant_frame_is_named(tmp_path: Path, frame: Frame) -> None:
    save_volume(volume(PATIENT, np.full(PATIENT.grid, 9, dtype=np.int16)), frame.path)
    with pytest.warns(MedwsssWarning, match=r"patient001_frame01\.nii\.gz frame 1 is constant"):
        SliceCache(tmp_path / "cache").stack(frame, GRID)


def test_a_frame_that_vanished_is_named(tmp_path: Path, frame: Frame) -> None:
    frame.path.unlink()
    with pytest.raises(VolumeError, match="patient001_frame01"):
        SliceCache(tmp_path / "cache").stack(frame, GRID)


def test_the_default_folder_follows_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "medwsss" / "slices"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "medwsss" / "slices"
