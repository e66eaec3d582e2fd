import json
from collections import Counter
from pathlib import Path

import pytest

from medwsss.data.splits import Split, check_split, draw_split, read_split, write_split
from medwsss.errors import OutputError, SplitError

GROUPS = {f"patient{i:03d}": "ABCDE"[i % 5] for i in range(75)}


def test_a_patient_in_both_parts_is_refused() -> None:
    with pytest.raises(SplitError, match="b is in both parts"):
        Split(("a", "b"), ("b", "c"), seed=0)


def test_an_empty_part_and_a_repeated_patient_are_refused() -> None:
    with pytest.raises(SplitError, match="no patient in held_out"):
        Split(("a",), (), seed=0)
    with pytest.raises(SplitError, match="twice in train"):
        Split(("a", "a"), ("b",), seed=0)


def test_a_draw_holds_out_the_rounded_share_evenly_over_groups() -> None:
    split = draw_split(GROUPS, held_out_fraction=0.25, seed=3)
    assert len(split.held_out) == 19  # round(0.25 * 75)
    assert sorted(Counter(GROUPS[patient] for patient in split.held_out).values()) == [3, 4, 4, 4, 4]
    assert {*split.train, *split.held_out} == set(GROUPS)


def test_a_draw_does_not_depend_on_the_order_of_patients() -> None:
    backwards = dict(reversed(GROUPS.items()))
    assert draw_split(GROUPS, held_out_fraction=0.25, seed=3) == draw_split(backwards, held_out_fraction=0.25, seed=3)


def test_another_seed_draws_other_patients_and_has_another_hash() -> None:
    first, second = (draw_split(GROUPS, held_out_fraction=0.25, seed=seed) for seed in (0, 1))
    assert first.held_out != second.held_out
    assert first.hash != second.hash


@pytest.mark.parametrize(("fraction", "held_out"), [(0.01, 1), (0.99, 2)])
def test_each_part_keeps_at_least_one_of_three_patients(fraction: float, held_out: int) -> None:
    groups = {"a": "x", "b": "y", "c": "z"}
    assert len(draw_split(groups, held_out_fraction=fraction, seed=0).held_out) == held_out


def test_one_patient_cannot_be_split_and_the_fraction_must_be_one() -> None:
    with pytest.raises(SplitError, match="at least two patients"):
        draw_split({"a": "x"}, held_out_fraction=0.5, seed=0)
    with pytest.raises(ValueError, match="held_out_fraction"):
        draw_split(GROUPS, held_out_fraction=1.0, seed=0)


def test_the_hash_is_of_the_parts_alone() -> None:
    # sha256 of {"held_out":["c"],"train":["a","b"]}
    assert Split(("b", "a"), ("c",), seed=0).hash == Split(("a", "b"), ("c",), seed=9).hash == "2a2e601590ad65a2"


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    split = draw_split(GROUPS, held_out_fraction=0.25, seed=3)
    write_split(split, tmp_path / "run" / "split.json")
    assert read_split(tmp_path / "run" / "split.json") == split
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["split.json"]


def test_a_split_written_by_hand_needs_no_seed_and_no_hash(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text('{"train": ["a"], "held_out": ["b"]}')
    assert read_split(tmp_path / "split.json") == Split(("a",), ("b",), seed=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "needs the lists train and held_out"),
        ('{"train": ["a"]}', "held_out must be a list"),
        ('{"train": ["a"], "held_out": "b"}', "held_out must be a list"),
        ('{"train": ["a"], "held_out": ["a"]}', "a is in both parts"),
        ('{"train": ["a"], "held_out": ["b"], "seed": "x"}', "seed must be a whole number"),
        ('{"train": ["a"], "held_out": ["b"], "hash": "0"}', "was changed after it was written"),
    ],
)
def test_a_malformed_split_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(SplitError, match=rf"split\.json.*{message}"):
        read_split(tmp_path / "split.json")


def test_a_missing_split_file_and_an_unwritable_folder_are_one_line_errors(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"cannot read the split .*none\.json"):
        read_split(tmp_path / "none.json")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write the split"):
        write_split(Split(("a",), ("b",), seed=0), tmp_path / "file" / "split.json")


def test_a_split_of_another_data_set_is_refused() -> None:
    split = Split(("a", "b"), ("c", "d"), seed=0)
    check_split(split, ["a", "b", "c", "d", "e"])
    with pytest.raises(SplitError, match="b, d are in the split but not in the data set"):
        check_split(split, ["a", "c"])


def test_the_file_says_which_patients_are_where(tmp_path: Path) -> None:
    split = Split(("a", "b"), ("c",), seed=5)
    write_split(split, tmp_path / "split.json")
    content = json.loads((tmp_path / "split.json").read_text())
    assert content == {"hash": split.hash, "seed": 5, "train": ["a", "b"], "held_out": ["c"]}
