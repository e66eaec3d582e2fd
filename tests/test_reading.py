import json
import os
from pathlib import Path

import pytest

from medwsss.reading import parsed_json, read_json, read_text


def test_text_is_read_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "a.txt").write_text("ä\n", encoding=encoding)
        assert read_text(tmp_path / "a.txt") == "ä\n"


def test_a_file_of_the_limit_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(bytes(3_000_000))
    assert len(read_text(path, largest_bytes=3_000_000)) == 3_000_000
    with pytest.raises(OSError, match="it is larger than 2 MB"):
        read_text(path, largest_bytes=2_999_999)


def test_what_never_ends_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="it is a pipe or a device"):
            read_text(path)


def test_missing_files_and_folders_are_told_as_the_system_does(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)


def test_json_of_a_hundred_levels_is_read_and_deeper_is_refused(tmp_path: Path) -> None:
    """Lists within lists: the innermost is empty, so a hundred brackets are a hundred levels."""
    deepest = "[" * 100 + "]" * 100
    assert parsed_json(deepest) == json.loads(deepest)
    for text in (f"[{deepest}]", '{"a":' * 101 + "1" + "}" * 101, "[" * 100_000):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match="it is nested too deeply"):
            read_json(tmp_path / "a.json")
