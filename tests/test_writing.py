from pathlib import Path

import pytest

from medwsss.writing import written_whole


def test_a_block_that_ends_well_leaves_the_file_alone_in_a_new_folder(tmp_path: Path) -> None:
    with written_whole(tmp_path / "new" / "file") as temporary:
        temporary.write_text("whole")
    assert [(path.name, path.read_text()) for path in (tmp_path / "new").iterdir()] == [("file", "whole")]


def test_a_block_that_fails_keeps_the_old_file_and_no_rest(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def fail() -> None:
        with written_whole(tmp_path / "file") as temporary:
            temporary.write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]
