from pathlib import Path

import pytest

from medwsss.data.records import differences, read_record, save_record
from medwsss.errors import OutputError


def test_what_was_saved_is_read_and_nothing_where_there_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    assert read_record(path) is None
    save_record(path, {"list": "Größe", "counts": (1, 2)})
    assert read_record(path) == {"list": "Größe", "counts": [1, 2]}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_file_that_is_no_record_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(OutputError, match=r"record\.json is damaged or not a record"):
        read_record(tmp_path / "record.json")


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*record\.json: .*choose another --out"):
        save_record(tmp_path / "file" / "record.json", {})


def test_differences_name_keys_and_values_and_shorten_long_ones() -> None:
    then = {"a": 1, "b": {"c": [1, 2]}, "gone": None, "long": "x" * 100}
    now = {"a": 1, "b": {"c": (1, 2), "d": True}, "long": "y" * 100}
    assert differences(then, now) == [
        "b.d was absent, now true",
        f'long was "{"x" * 59}…, now "{"y" * 59}…',
        "gone was null, now absent",
    ]


def test_keys_and_sections_that_may_differ_are_left_out() -> None:
    then = {"run": "here", "runs": 1, "by": {"run": "a", "step": 3}, "failed": {"x": "broken"}}
    now = {"run": "there", "runs": 2, "by": {"run": "b", "step": 4}, "failed": {}}
    assert differences(then, now, but=("run", "by.run", "failed")) == ["runs was 1, now 2", "by.step was 3, now 4"]
