"""Files that appear whole or not at all, also where the process is killed, and folders with one writer at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from medwsss.errors import OutputError

_LOCK = ".lock"
"""Locked while a process writes into the folder of this file; the system lets go when that process ends, however."""
_LONGEST_NAME = 200
"""Characters; file systems end at 255 bytes, the ending included."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well, and vanishes when it does not.

    Its content reaches the disk before it takes the place. Missing folders are made. Raises ``OSError`` where the
    folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)  # whoever prepared the folder may have put a link of this name there
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        _rename_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def is_plain_name(name: str) -> bool:
    """Whether it is the name of a file alone, with room for an ending: no folder, nothing hidden, nothing unprintable.

    What comes from a table, a list, a record or a configuration and becomes part of a path has to be.
    """
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and not set(name) & {"/", "\\"} and name[0] != "."


def remove_rests(path: Path) -> None:
    """Remove what writers of ``path`` left behind that were killed; only for whoever is alone in the folder."""
    for rest in path.parent.glob(f".{path.name}.*.tmp"):
        rest.unlink(missing_ok=True)


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Make the folder, if it is not there, and keep other processes that ask out of it during the block.

    A folder made here that is empty at the end goes again.

    Raises:
        OutputError: another process writes into the folder, or it cannot be made or written.
    """
    made = not folder.exists()
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_lock(folder / _LOCK)
        lock.acquire()
    except Timeout:
        raise OutputError(f"another process is writing into {folder}: wait for it, or choose another --out") from None
    except OSError as error:
        raise OutputError(f"cannot write the folder {folder}: {error.strerror}; choose another --out") from None
    try:
        yield
    finally:
        (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
        if made:
            with suppress(OSError):
                folder.rmdir()


def holds_something(folder: Path) -> bool:
    """Whether anything lies in it but the sign of a writer."""
    return any(file.name != _LOCK for file in folder.iterdir())


def _check_lock(path: Path) -> None:
    """Refuse a file that no process of ours made: locking would empty it, or what it leads to."""
    if path.is_symlink() or (path.is_file() and path.stat().st_size > 0):
        raise OutputError(f"{path} is no lock of medwsss: remove it, or choose another --out")


def _rename_to_disk(folder: Path) -> None:
    """Names are content of their folder; some systems and file systems cannot be asked to store it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
