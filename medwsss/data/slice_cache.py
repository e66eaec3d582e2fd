"""Resampled slices kept on disk, so that an epoch after the first, and a second run, read no NIfTI."""

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from medwsss.config.data import GridConfig
from medwsss.data.study import Frame, load_frame
from medwsss.data.transforms import working_slices
from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.writing import written_whole

FORMAT = 2
"""Raise it when ``working_slices`` changes, so that old entries are not used."""


def user_cache_dir() -> Path:
    """The user's cache folder: below $XDG_CACHE_HOME, or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "medwsss"


def default_cache_dir() -> Path:
    """Where slices are kept unless the configuration names a folder."""
    return user_cache_dir() / "slices"


class SliceCache:
    """Working slices of frames, computed once per state of the file and grid.

    An entry that cannot be read is built again. What was warned of when it was built is kept beside it and told again,
    once, by every cache that uses it. Where the folder cannot be written, slices stay in memory and one
    ``MedwsssWarning`` says so. The folder may be deleted at any time between runs.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = default_cache_dir() if folder is None else folder
        self._memory: dict[str, Float32[np.ndarray, "n h w"]] = {}
        self._told: set[str] = set()

    def stack(self, frame: Frame, grid: GridConfig) -> Float32[np.ndarray, "n h w"]:
        """The slices of a frame as ``working_slices`` makes them; read-only, and usually mapped from disk.

        Raises:
            DatasetError: the file does not hold this frame.
            VolumeError: the file cannot be read.
        """
        key = _key(frame, grid)
        if key in self._memory:
            return self._memory[key]
        path = self._folder / f"{key}.npy"
        stored = _read(path)
        if stored is not None:
            self._tell(_read_messages(path))
            return stored
        slices, messages = _built(frame, grid)
        self._tell(messages)
        try:
            _write(slices, messages, path)
        except OSError as error:
            self._memory[key] = slices
            self._tell([f"cannot write the slice cache {self._folder} ({error.strerror}): slices stay in memory"])
        return slices

    def _tell(self, messages: Sequence[str]) -> None:
        for message in messages:
            if message not in self._told:
                self._told.add(message)
                warnings.warn(message, MedwsssWarning, stacklevel=3)


def _built(frame: Frame, grid: GridConfig) -> tuple[Float32[np.ndarray, "n h w"], list[str]]:
    """The slices of a frame, and what was warned of on the way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MedwsssWarning)
        slices = working_slices(load_frame(frame), grid, name=str(frame))
    slices.setflags(write=False)
    return slices, [str(warning.message) for warning in caught if issubclass(warning.category, MedwsssWarning)]


def _key(frame: Frame, grid: GridConfig) -> str:
    try:
        files = sorted(frame.path.iterdir()) if frame.path.is_dir() else [frame.path]
        states = [(status.st_size, status.st_mtime_ns) for status in (file.stat() for file in files)]
    except OSError as error:
        raise VolumeError(f"{frame.path}: {error.strerror}") from error
    resampling = grid.model_dump(include={"spacing_mm", "percentiles"})
    state = [FORMAT, str(frame.path.absolute()), states, frame.time_index, resampling]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> Float32[np.ndarray, "n h w"] | None:
    """A stored stack, or None where it is missing or damaged."""
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return stored if stored.dtype == np.float32 and stored.ndim == 3 else None


def _read_messages(path: Path) -> list[str]:
    """What was warned of when an entry was built; nothing for most of them."""
    try:
        messages = json.loads(_messages_file(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(message) for message in messages] if isinstance(messages, list) else []


def _messages_file(path: Path) -> Path:
    return path.with_suffix(".warnings.json")


def _write(slices: Float32[np.ndarray, "n h w"], messages: Sequence[str], path: Path) -> None:
    if messages:
        with written_whole(_messages_file(path)) as temporary:
            temporary.write_text(json.dumps(messages), encoding="utf-8")
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.save(file, slices, allow_pickle=False)
