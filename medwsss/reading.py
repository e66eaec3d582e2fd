"""Text and JSON from files that anybody may have made: of a size and a depth that a computer can bear."""

import errno
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LARGEST_BYTES = 256_000_000
"""Of tables, lists and records, whose own files take a few megabytes."""
_DEEPEST = 100
"""Levels of JSON; records have fewer than ten, and what handles them calls itself for each."""


def read_text(path: Path, *, largest_bytes: int = LARGEST_BYTES) -> str:
    """UTF-8 text, with or without BOM.

    Raises:
        OSError: the file cannot be read, is larger, or is a pipe or a device, which might never end.
        UnicodeDecodeError: it holds something else.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
    with path.open("rb") as stream:
        content = stream.read(largest_bytes + 1)
    if len(content) > largest_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {largest_bytes // 10**6} MB", str(path))
    return content.decode("utf-8-sig")


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: as ``read_text``.
        ValueError: it is no JSON, or is nested more deeply than 100 levels.
    """
    return parsed_json(read_text(path))


def parsed_json(text: str) -> Any:
    """What JSON text holds.

    Raises:
        ValueError: it is no JSON, or is nested more deeply than 100 levels.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [content]
    for _ in range(_DEEPEST):
        level = [inner for value in level for inner in _within(value)]
    if level:
        raise ValueError("it is nested too deeply")
    return content


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
