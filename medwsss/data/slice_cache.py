"""Resampled slices kept on disk, so that an epoch after the first, and a second run, read no NIfTI."""

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from medwsss.config.data import GridConfig
from medwsss.data.study import Frame, load_frame
from medwsss.data.transforms import working_slices
from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.reading import read_json
from medwsss.writing import written_whole

FORMAT = 3
"""Raise it when ``working_slices`` or what is kept changes, so that old entries are not used."""


def user_cache_dir() -> Path:
    """The user's cache folder: below $XDG_CACHE_HOME, or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "medwsss"


def default_cache_dir() -> Path:
    """Where slices are kept unless the configuration names a folder."""
    return user_cache_dir() / "slices"


@dataclass(frozen=True, eq=False)
class _Entry:
    """What is kept of a frame."""

    slices: Float32[np.ndarray, "n h w"]
    voxels: str
    """SHA-256 of shape and voxels as they are in the file; empty where all are equal."""
    warned: Sequence[str]
    """What was warned of when the slices were made."""


class SliceCache:
    """Working slices of frames, computed once per state of the file and grid.

    An entry that cannot be read is built again. What was warned of when it was built is kept beside it and told again,
    once, by every cache that uses it. Where the folder cannot be written, slices stay in memory and one
    ``MedwsssWarning`` says so. The folder may be deleted at any time between runs.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = default_cache_dir() if folder is None else folder
        self._memory: dict[str, _Entry] = {}
        self._told: set[str] = set()

    def stack(self, frame: Frame, grid: GridConfig) -> Float32[np.ndarray, "n h w"]:
        """The slices of a frame as ``working_slices`` makes them; read-only, and usually mapped from disk.

        Raises:
            DatasetError: the file does not hold this frame.
            VolumeError: the file cannot be read.
        """
        return self._entry(frame, grid).slices

    def voxels(self, frame: Frame, grid: GridConfig) -> str:
        """SHA-256 of the frame's shape and voxels, whatever its header says; empty for a constant image.

        Raises:
            DatasetError, VolumeError: as ``stack``.
        """
        return self._entry(frame, grid).voxels

    def _entry(self, frame: Frame, grid: GridConfig) -> _Entry:
        key = _key(frame, grid)
        if key in self._memory:
            return self._memory[key]
        path = self._folder / f"{key}.npy"
        entry = _read(path)
        if entry is None:
            entry = _built(frame, grid)
            try:
                _write(entry, path)
            except OSError as error:
                self._memory[key] = entry
                self._tell([f"cannot write the slice cache {self._folder} ({error.strerror}): slices stay in memory"])
        self._tell(entry.warned)
        return entry

    def _tell(self, messages: Sequence[str]) -> None:
        for message in messages:
            if message not in self._told:
                self._told.add(message)
                warnings.warn(message, MedwsssWarning, stacklevel=4)


def _built(frame: Frame, grid: GridConfig) -> _Entry:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MedwsssWarning)
        volume = load_frame(frame)
        slices = working_slices(volume, grid, name=str(frame))
    slices.setflags(write=False)
    warned = [str(warning.message) for warning in caught if issubclass(warning.category, MedwsssWarning)]
    return _Entry(slices, _digest(volume.array), warned)


def _digest(voxels: Shaped[np.ndarray, "x y z"]) -> str:
    if (voxels == voxels.flat[0]).all():
        return ""
    return hashlib.sha256(repr(voxels.shape).encode() + np.ascontiguousarray(voxels).tobytes()).hexdigest()


def _key(frame: Frame, grid: GridConfig) -> str:
    try:
        files = sorted(frame.path.iterdir()) if frame.path.is_dir() else [frame.path]
        states = [(status.st_size, status.st_mtime_ns) for status in (file.stat() for file in files)]
    except OSError as error:
        raise VolumeError(f"{frame.path}: {error.strerror}") from error
    resampling = grid.model_dump(include={"spacing_mm", "percentiles"})
    state = [FORMAT, str(frame.path.absolute()), states, frame.time_index, resampling]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> _Entry | None:
    """A stored entry, or None where it is missing or damaged."""
    try:
        slices = np.lib.format.open_memmap(path, mode="r")  # reads neither pickles nor archives
        notes = read_json(_notes_file(path))
        voxels, warned = notes["voxels"], notes["warned"]
        sound = slices.dtype == np.float32 and slices.ndim == 3 and slices.size > 0
        sound = sound and isinstance(voxels, str) and isinstance(warned, list)
    except Exception:  # numpy parses headers as Python literals, which fails in many ways
        return None
    return _Entry(slices, voxels, [str(message) for message in warned]) if sound else None


def _notes_file(path: Path) -> Path:
    return path.with_suffix(".json")


def _write(entry: _Entry, path: Path) -> None:
    with written_whole(_notes_file(path)) as temporary:
        temporary.write_text(json.dumps({"voxels": entry.voxels, "warned": entry.warned}), encoding="utf-8")
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.save(file, entry.slices, allow_pickle=False)
