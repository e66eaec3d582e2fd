from pathlib import Path

import pytest

from medwsss.data.study_table import StudyTable, StudyTags, read_study_table, study_tags
from medwsss.errors import ImageLabelsError


def table_of(tmp_path: Path, text: str, encoding: str = "utf-8") -> StudyTable:
    path = tmp_path / "studies.csv"
    path.write_bytes(text.encode(encoding))
    return read_study_table(path)


def tags_of(tmp_path: Path, text: str, classes: tuple[str, ...] = ()) -> StudyTags:
    return study_tags(table_of(tmp_path, text), classes)


def told(tmp_path: Path, classes: tuple[str, ...], *lines: tuple[int, ...], passed_over: str) -> StudyTags:
    """What a table says whose lines show these classes, from the line below its header on."""
    by_line = {f"{tmp_path / 'studies.csv'} line {number}": shown for number, shown in enumerate(lines, start=2)}
    return StudyTags(classes, by_line, (passed_over,))


# --- Studies ---------------------------------------------------------------------------------------------------------


def test_a_line_says_where_a_study_lies_and_what_is_known_of_its_patient(tmp_path: Path) -> None:
    (row,) = table_of(
        tmp_path,
        "patient,file,phase,ed,es,slice,group,height_cm,weight_kg,mask,scar\n"
        "P 1,a/b.nii.gz,rest,1,12,3-7,DCM,172,\"70,5\",m.nii.gz,1\n",
    ).rows  # fmt: skip
    assert (row.patient, row.path, row.phase, row.group, row.mask) == ("P 1", "a/b.nii.gz", "rest", "DCM", "m.nii.gz")
    assert (dict(row.numbers), row.slices) == ({"ed": 1, "es": 12}, range(3, 8))
    assert (row.height_cm, row.weight_kg) == (172.0, 70.5)
    assert row.where.endswith("studies.csv line 2")


def test_what_is_left_out_is_empty(tmp_path: Path) -> None:
    (row,) = table_of(tmp_path, "patient,study\nP1,a.nii\n").rows
    assert (row.phase, row.group, row.mask, dict(row.numbers)) == ("", "", "", {})
    assert (row.slices, row.height_cm, row.weight_kg) == (None, None, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_spreadsheets_save_is_read(tmp_path: Path, separator: str, newline: str, encoding: str) -> None:
    cells = (("Patient", " File ", "Scar"), ("Müller", "a b.nii", " 1"), ("", "", ""), ("P2", "c.nii", "0"))
    text = newline.join(separator.join(row) for row in cells) + newline
    table = table_of(tmp_path, text, encoding)
    assert [(row.patient, row.path) for row in table.rows] == [("Müller", "a b.nii"), ("P2", "c.nii")]
    assert [row.where[-6:] for row in table.rows] == ["line 2", "line 4"]
    assert study_tags(table).classes == ("Scar",)


def test_columns_without_a_name_are_no_columns(tmp_path: Path) -> None:
    table = table_of(tmp_path, "patient,file,scar,,\nP1,a.nii,1,,\n")
    assert table.columns == ("patient", "file", "scar")
    assert study_tags(table).passed_over == ()


@pytest.mark.parametrize(("cell", "phase"), [("ed", "ED"), ("Es", "ES"), ("Rest", "Rest")])
def test_ed_and_es_may_be_written_in_any_case(tmp_path: Path, cell: str, phase: str) -> None:
    assert table_of(tmp_path, f"patient,file,phase\nP1,a.nii,{cell}\n").rows[0].phase == phase


@pytest.mark.parametrize(
    ("cell", "slices"), [("3", range(3, 4)), ("0-2", range(3)), ("3 – 7", range(3, 8)), ("2:2", range(2, 3))]
)
def test_slices_are_one_or_a_range(tmp_path: Path, cell: str, slices: range) -> None:
    assert table_of(tmp_path, f"patient,file,slices\nP1,a.nii,{cell}\n").rows[0].slices == slices


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("patient", "", "patient is empty"),
        ("patient", "a/b", "patient 'a/b' cannot be part of a file name"),
        ("patient", "..", "patient '..' cannot be part of a file name"),
        ("patient", "a\\b", "cannot be part of a file name"),
        ("patient", "=1+1", "patient '=1\\+1' looks like a formula"),
        ("patient", "@a", "looks like a formula"),
        ("phase", "rest/stress", "phase 'rest/stress' cannot be part of a file name"),
        ("phase", "-1", "phase '-1' looks like a formula"),
        ("group", "=HYPERLINK(1)", "group '=HYPERLINK\\(1\\)' looks like a formula"),
        ("file", "", "file is empty"),
        ("ed", "0", "ed is '0', it must be a time point counted from 1"),
        ("frame", "first", "frame is 'first'"),
        ("es", "9" * 5000, "es is '999"),
        ("slice", "3-1", "slices 3-1 run backwards: write 1-3"),
        ("slice", "all", "slice is 'all', it must be like 3 or 3-7"),
        ("slice", "-1", "slice is '-1'"),
        ("height_cm", "tall", "height_cm is 'tall', it must be a number"),
        ("weight_kg", "-70", "weight_kg is '-70'"),
    ],
)
def test_a_cell_that_cannot_be_understood_is_named_by_file_and_line(
    tmp_path: Path, column: str, cell: str, message: str
) -> None:
    line = {"patient": "P1", "file": "a.nii", column: cell}
    with pytest.raises(ImageLabelsError, match=rf"studies\.csv line 3: .*{message}"):
        table_of(tmp_path, f"{','.join(line)}\n{','.join(['1'] * len(line))}\n{','.join(line.values())}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the columns patient and file"),
        ("patient,scar\nP1,1\n", "needs the columns patient and file"),
        ("name,file\nP1,a\n", "needs the columns patient and file"),
        ("patient,file\n", "has no line below its header"),
        ("patient,file\n,\n", "has no line below its header"),
        ("patient,file\nP1,a.nii,1\n", "line 2: 3 cells, the header has 2"),
        ("patient,file,scar,Scar\nP1,a.nii,1,0\n", "column Scar and scar more than once"),
        ("patient,Patient,file\nP1,P1,a.nii\n", "column Patient and patient more than once"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ImageLabelsError, match=message):
        table_of(tmp_path, text)


def test_a_missing_table_and_another_encoding_are_one_line_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageLabelsError, match=r"cannot read .*none\.csv: No such file"):
        read_study_table(tmp_path / "none.csv")
    with pytest.raises(ImageLabelsError, match="is not UTF-8: save it as CSV UTF-8"):
        table_of(tmp_path, "patient,file\nMüller,a.nii\n", "latin-1")


# --- Classes ---------------------------------------------------------------------------------------------------------


def test_classes_are_the_columns_that_say_yes_or_no(tmp_path: Path) -> None:
    found = tags_of(tmp_path, "patient,file,scar,remark,Effusion\nP1,a,1,good,no\nP2,b,X,,TRUE\nP3,c,false,bad,Yes\n")
    assert found == told(tmp_path, ("scar", "Effusion"), (1, 0), (1, 1), (0, 1), passed_over="remark")


def test_classes_may_be_listed_in_one_column(tmp_path: Path) -> None:
    text = "patient,file,classes,quality\nP1,a,scar;effusion,1\nP2,b,,1\nP3,c,None,0\nP4,d,Effusion / SCAR,1\n"
    expected = told(tmp_path, ("scar", "effusion"), (1, 1), (0, 0), (0, 0), (1, 1), passed_over="quality")
    assert tags_of(tmp_path, text, ("scar", "effusion")) == expected
    assert tags_of(tmp_path, text.replace("Effusion / SCAR", "effusion")).classes == ("scar", "effusion")


def test_named_classes_count_alone_and_in_their_order(tmp_path: Path) -> None:
    found = tags_of(tmp_path, "patient,file,scar,effusion,old\nP1,a,1,0,1\n", ("EFFUSION", "scar"))
    assert found == told(tmp_path, ("EFFUSION", "scar"), (0, 1), passed_over="old")


@pytest.mark.parametrize(
    ("text", "classes", "message"),
    [
        ("patient,file\nP1,a\n", (), "names no class: add a column"),
        ("patient,file,scar\nP1,a,\nP2,b,\n", (), "names no class"),
        ("patient,file,classes\nP1,a,none\n", (), "names no class"),
        ("patient,file,scar\nP1,a,1\n", ("scar", "clot"), "has no column clot"),
        ("patient,file,scar\nP1,a,1\nP2,b,\n", (), "line 3: scar is '', it must be 0 or 1"),
        ("patient,file,scar\nP1,a,1\nP2,b,maybe\n", (), "line 3: scar is 'maybe'"),
        ("patient,file,classes\nP1,a,scar\nP2,b,clot\n", ("scar",), r"line 3: clot is not a class \(scar\)"),
        ("patient,file,bag\nP1,a,1\n", (), "cannot be called bag"),
        ("patient,file,Background\nP1,a,1\n", (), "cannot be called Background"),
        ("patient,file,mask\nP1,a,\n", ("mask",), "cannot be called mask"),
        ("patient,file,classes\nP1,a,slice\n", (), "cannot be called slice"),
        ("patient,file,scar/clot\nP1,a,1\n", (), "class 'scar/clot' cannot be part of a file name"),
        ("patient,file,=A1\nP1,a,1\n", (), "class '=A1' holds"),
        ("patient,file,+A1\nP1,a,1\n", (), "class '\\+A1' looks like a formula"),
        ('patient,file,"scar, old"\nP1,a,1\n', (), "class 'scar, old' holds a comma"),
    ],
)
def test_classes_that_make_no_sense_are_refused(
    tmp_path: Path, text: str, classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ImageLabelsError, match=message):
        tags_of(tmp_path, text, classes)
