import json
from dataclasses import replace
from pathlib import Path

import pytest

from medwsss.data.pseudo_folder import (
    RECORD,
    PseudoFolder,
    PseudoRecord,
    claim_pseudo_folder,
    note_left_out,
    open_pseudo_folder,
    read_pseudo_record,
    write_pseudo_record,
)
from medwsss.errors import DatasetError
from medwsss.labels import LabelSet

LABELS = LabelSet("heart", ("heart",))
RECORDED = PseudoRecord("acdc", "heart", ("heart",), "abc", ".png", ("a", "b"), {"source": "pseudo"})


def written(root: Path, record: PseudoRecord = RECORDED) -> Path:
    for name in record.names:
        for folder in ("labels", "weights"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / f"{name}.png").touch()
    write_pseudo_record(root, record)
    return root


def opened(root: Path, **changed: object) -> PseudoFolder:
    expected = {"dataset": "acdc", "label_set": LABELS, "split_hash": "abc", "names": ("a", "b"), **changed}
    return open_pseudo_folder(root, **expected)  # type: ignore[arg-type]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    folder = opened(written(tmp_path))
    assert folder.record == RECORDED
    assert folder.weights_file("a") == tmp_path / "weights" / "a.png"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dataset": "voc"}, r"another data set \(acdc, this run has voc\)"),
        ({"label_set": LabelSet("lv", ("LV",))}, "another task"),
        ({"label_set": LabelSet("heart", ("LV",))}, "another classes"),
        ({"split_hash": "abd"}, r"another split \(abc, this run has abd\)"),
        ({"names": ("a", "b", "c")}, r"is incomplete: 2 files are missing, first .*c\.png"),
    ],
)
def test_a_folder_that_does_not_fit_the_run_is_refused(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        opened(written(tmp_path), **changed)


def test_a_folder_without_record_was_never_finished(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no complete pseudo-labels"):
        opened(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"classes": 3, "names": []})])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    written(tmp_path, replace(RECORDED, names=()))
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(DatasetError, match=rf"{RECORD} is damaged"):
        opened(tmp_path)


def test_what_was_left_out_outlives_an_interruption_and_a_finished_folder(tmp_path: Path) -> None:
    root = tmp_path / "made"
    first = note_left_out(claim_pseudo_folder(root, RECORDED, maps=(), resume=False), ["b"], ["nothing moves"])
    assert first.record.left_out == {"b": ("nothing moves",)}
    again = claim_pseudo_folder(root, RECORDED, maps=(), resume=True)  # after an interruption
    again = note_left_out(again, ["a"], ["cut", "swapped"])
    write_pseudo_record(root, again.record)
    finished = claim_pseudo_folder(root, RECORDED, maps=(), resume=True).record
    assert finished.left_out == {"a": ("cut", "swapped"), "b": ("nothing moves",)}


def test_a_record_of_an_earlier_version_leaves_nothing_out(tmp_path: Path) -> None:
    written(tmp_path)
    content = json.loads((tmp_path / RECORD).read_text())
    del content["left_out"]
    (tmp_path / RECORD).write_text(json.dumps(content))
    assert read_pseudo_record(tmp_path / RECORD) == RECORDED
    assert claim_pseudo_folder(tmp_path, RECORDED, maps=(), resume=True).record == RECORDED
