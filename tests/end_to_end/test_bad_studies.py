"""Bad folders of studies through the real command line: one clear line on standard error, exit code 2, nothing left."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import Answer, is_refused, medwsss, tiny_config_file
from fakes.studies import write_image, write_mask, write_studies

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad studies")
    root = write_studies(folder / "data", masks=("A1",))
    write_image(root / "cine.nii.gz", times=4)
    tiny_config_file(folder, data={"name": "folder", "grid": {"crop": 32}})
    return folder


@pytest.fixture(scope="module")
def trained(base: Path) -> Path:
    root = write_studies(base / "other")
    answer = medwsss("train", "--root", root, "--config", base / "tiny.yaml", "--out", base / "run")
    assert answer.code == 0, answer.err
    return base / "run"


@pytest.fixture
def data(base: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(base / "data", tmp_path / "data"))


def train(base: Path, root: Path, out: Path, *arguments: object) -> Answer:
    return medwsss("train", "--root", root, "--config", base / "tiny.yaml", "--out", out, *arguments)


def is_read(answer: Answer) -> None:
    """The data were good: what stopped training are weights that come after them."""
    is_refused(answer, "none.pth")
    assert len(answer.err.splitlines()) == 1


def changed(old: str, new: str, *, count: int = -1) -> Damage:
    """Another text in the table."""

    def change(root: Path) -> None:
        text = (root / "studies.csv").read_text(encoding="utf-8")
        assert old in text
        (root / "studies.csv").write_text(text.replace(old, new, count), encoding="utf-8")

    return change


def written(text: str) -> Damage:
    return lambda root: (root / "studies.csv").write_text(text, encoding="utf-8")


def with_line(line: str) -> Damage:
    """A line behind the six of patients A1 to A6, in file line 8."""

    def add(root: Path) -> None:
        with (root / "studies.csv").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    return add


def without_images(root: Path) -> None:
    for number in (2, 5):
        (root / f"A{number}" / "cmr.nii.gz").unlink()


# --- What no command can read ----------------------------------------------------------------------------------------

BAD_STUDIES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "no file column": (changed("file", "scan"), ("needs the columns patient and file", "medwsss init")),
    "no patient column": (changed("patient", "who"), ("needs the columns patient and file",)),
    "header alone": (written("patient,file,scar\n"), ("has no line below its header",)),
    "nothing": (written(""), ("needs the columns patient and file",)),
    "not UTF-8": (
        lambda root: (root / "studies.csv").write_bytes("patient,file\nMüller,a\n".encode("latin-1")),
        ("is not UTF-8: save it as CSV UTF-8",),
    ),
    "missing images": (without_images, ("2 of 6 studies are not in", "first A2/cmr.nii.gz", "line 3")),
    "damaged image": (
        lambda root: (root / "A2" / "cmr.nii.gz").write_bytes(b"\x1f\x8b nothing"),
        ("A2/cmr.nii.gz: damaged NIfTI file",),
    ),
    "another kind of file": (changed("A2/cmr.nii.gz", "studies.csv"), ("studies.csv: unknown kind of file",)),
    "a folder": (changed("A2/cmr.nii.gz", "A2"), ("no DICOM file",)),
    "file twice": (with_line("A1,A1/cmr.nii.gz,1,1,A1/drawn.nii.gz"), ("line 8", "more than one line")),
    "file of two patients": (changed("A2/cmr", "A1/cmr"), ("line 3", "belongs to A1 above, not to A2")),
    "two volumes": (changed("A2,A2", "A1,A2"), ("A1 has two volumes", "column phase")),
    "case": (changed("A2,A2", "a1,A2"), ("line 3", "would both be called a1")),
    "slash": (changed("A2,A2", "A/2,A2"), ("line 3: patient 'A/2' cannot be part of a file name",)),
    "dots": (changed("A2,A2", "..,A2"), ("line 3: patient '..' cannot be part of a file name",)),
    "formula": (changed("A2,A2", "=A2,A2"), ("line 3: patient '=A2' looks like a formula",)),
    "columns but for case": (changed("effusion", "Scar"), ("column Scar and scar more than once",)),
    "no mask": (changed("A1/drawn", "A1/painted"), ("line 2: mask A1/painted.nii.gz is not in",)),
    "mask of a cine": (changed("A1/cmr.nii.gz", "cine.nii.gz"), ("a mask is of one time point",)),
    "cells": (with_line("A7,cine.nii.gz,1"), ("line 8: 3 cells, the header has 5",)),
}
PHASED: dict[str, tuple[str, tuple[str, ...]]] = {
    "beyond": ("C1,cine.nii.gz,,1,5,,1", ("cine.nii.gz has 4 time points, there is no es 5",)),
    "the same": ("C1,cine.nii.gz,,3,3,,1", ("ed and es are both time point 3",)),
    "one": ("C1,cine.nii.gz,,3,,,1", ("ed alone is not enough",)),
    "a phase": ("C1,cine.nii.gz,rest,,,,1", ("phase rest in the column frame",)),
    "a formula as phase": ("C1,cine.nii.gz,=1,,,,1", ("line 2: phase '=1' looks like a formula",)),
    "a formula as group": ("C1,cine.nii.gz,,1,2,+DCM,1", ("line 2: group '+DCM' looks like a formula",)),
}
for case, (line, parts) in PHASED.items():
    BAD_STUDIES[case] = (written(f"patient,file,phase,ed,es,group,scar\n{line}\n"), parts)


@pytest.mark.parametrize("case", BAD_STUDIES)
def test_bad_studies_are_one_line_and_leave_nothing(
    base: Path, trained: Path, data: Path, tmp_path: Path, case: str
) -> None:
    damage, parts = BAD_STUDIES[case]
    damage(data)
    before = sorted(data.rglob("*"))
    is_refused(train(base, data, tmp_path / "out"), *parts)
    is_refused(medwsss("predict", trained, data, "--out", tmp_path / "out"), *parts)
    is_refused(medwsss("init", data), *parts)
    assert not (tmp_path / "out").exists()
    assert sorted(data.rglob("*")) == before


# --- What training cannot learn from ---------------------------------------------------------------------------------

SLICES = "patient,file,slice,scar\nA1,A1/cmr.nii.gz,0-3,1\nA2,A2/cmr.nii.gz,0-3,0\n"
BAD_TAGS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "empty cell": (changed("A3/cmr.nii.gz,0,1", "A3/cmr.nii.gz,,1"), ("line 4: scar is '', it must be 0 or 1",)),
    "no yes or no": (changed("A3/cmr.nii.gz,0,1", "A3/cmr.nii.gz,?,1"), ("line 4: scar is '?'",)),
    "no class": (written("patient,file\nA1,A1/cmr.nii.gz\nA2,A2/cmr.nii.gz\n"), ("names no class", "column")),
    "taken": (changed("scar", "bag"), ("a class cannot be called bag",)),
    "listed but for case": (
        written("patient,file,classes\nA1,A1/cmr.nii.gz,Scar\nA2,A2/cmr.nii.gz,scar\n"),
        ("data: classes Scar, scar must differ, in more than upper and lower case",),
    ),
    "one patient": (written("patient,file,scar\nA1,A1/cmr.nii.gz,1\n"), ("at least two patients",)),
    "slice beyond": (written(SLICES.replace("0-3,0", "2-4,0")), ("line 3", "has slices 0 to 3, not 4")),
    "slice twice": (written(f"{SLICES}A2,A2/cmr.nii.gz,3,0\n"), ("line 4: slice 3 of A2/cmr.nii.gz was on a line",)),
    "backwards": (written(SLICES.replace("0-3,0", "3-0,0")), ("line 3: slices 3-0 run backwards: write 0-3",)),
    "whole and slices": (written(f"{SLICES}A2,A2/cmr.nii.gz,,0\n"), ("line 4", "one is about the whole of it")),
    "groups": (
        written(
            "patient,file,phase,group,scar\nA1,A1/cmr.nii.gz,ED,X,1\nA1,A2/cmr.nii.gz,ES,Y,0\nA3,A3/cmr.nii.gz,ED,X,0\n"
        ),
        ("A1 has group X and Y on different lines",),
    ),
    "heights": (
        written(
            "patient,file,phase,height_cm,scar\nA1,A1/cmr.nii.gz,ED,170,1\nA1,A2/cmr.nii.gz,ES,171,0\n"
            "A3,A3/cmr.nii.gz,ED,,0\n"
        ),
        ("A1 has height_cm 170.0 and 171.0 on different lines",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TAGS)
def test_bad_tags_are_one_line_and_leave_nothing(base: Path, data: Path, tmp_path: Path, case: str) -> None:
    damage, parts = BAD_TAGS[case]
    damage(data)
    is_refused(train(base, data, tmp_path / "out"), *parts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (["data.classes=[scar, clot]"], "has no column clot"),
        (["data.classes=[scar, Scar]"], "classes scar, Scar must differ"),
        (["data.classes=[mask]"], "a class cannot be called mask"),
        (["data.mask_codes='1=clot'"], "mask_codes names clot, classes are scar, effusion"),
        (["data.mask_codes=scar"], "codes 'scar' cannot be read: write them like 1=LV"),
        (["data.mask_codes='999=scar'"], "codes '999=scar' cannot be read"),
    ],
)
def test_settings_that_do_not_fit_the_table_are_one_line(
    base: Path, tmp_path: Path, settings: list[str], part: str
) -> None:
    answer = train(base, base / "data", tmp_path / "out", *(word for own in settings for word in ("--set", own)))
    is_refused(answer, part)
    assert "pydantic" not in answer.err
    assert not (tmp_path / "out").exists()


# --- What is read all the same ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_as_spreadsheets_save_them_are_read(
    base: Path, data: Path, tmp_path: Path, separator: str, encoding: str
) -> None:
    text = (data / "studies.csv").read_text(encoding="utf-8").replace(",", separator).replace("\n", "\r\n")
    (data / "studies.csv").write_bytes(text.encode(encoding))
    is_read(train(base, data, tmp_path / "out", "--weights", tmp_path / "none.pth"))


def test_classes_that_tags_show_never_or_always_are_warned_of(base: Path, data: Path, tmp_path: Path) -> None:
    lines = [f"A{number},A{number}/cmr.nii.gz,0,1" for number in range(1, 7)]
    written("\n".join(["patient,file,scar,effusion", *lines]))(data)
    answer = train(base, data, tmp_path / "out", "--weights", tmp_path / "none.pth")
    never, always, error = answer.err.splitlines()
    assert never == "warning: the training tags show scar in none: tags alone cannot teach where it is"
    assert always.startswith("warning: the training tags show effusion in every slice or study")
    assert "none.pth" in error


def test_slices_without_a_line_are_counted_and_the_run_goes_on(base: Path, data: Path, tmp_path: Path) -> None:
    lines = [f"A{number},A{number}/cmr.nii.gz,{cell}" for number in range(1, 7) for cell in ("0-1,1", "2,0")]
    written("\n".join(["patient,file,slice,scar", *lines]))(data)
    answer = train(base, data, tmp_path / "out")
    assert answer.code == 0, answer.err
    (warning,) = (line for line in answer.err.splitlines() if line.startswith("warning: "))
    assert warning == "warning: 6 slices are on no line of the table: they are segmented, but not learned from"
    (validation,) = pd.read_csv(tmp_path / "out" / "validation.csv").query("name == 'tag_log_likelihood'").value
    assert validation < 0  # of the slices that have tags
    assert len((tmp_path / "out" / "tags.csv").read_text().splitlines()) == 1 + 6 * 3
    assert medwsss("pseudo-label", tmp_path / "out", "--out", tmp_path / "pseudo").code == 0  # of all slices


def test_a_table_elsewhere_and_a_relative_root_are_found(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Tabellen für alle").mkdir()
    shutil.move(data / "studies.csv", tmp_path / "Tabellen für alle" / "Größen.csv")
    monkeypatch.chdir(tmp_path)
    arguments = ("--tags", Path("Tabellen für alle", "Größen.csv"), "--weights", "none.pth")
    is_read(train(base, Path("data"), Path("out"), *arguments))
    is_refused(train(base, Path("data"), Path("out")), "data holds no studies.csv", "--tags TABLE")
    is_refused(train(base, Path("data"), Path("out"), "--tags", "none.csv"), "cannot read", "none.csv: No such file")
    assert not (tmp_path / "out").exists()


# --- medwsss init ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "part"),
    [
        ("", "must name different classes"),
        (" , ", "must name different classes"),
        ("scar,Scar", "must name different classes"),
        ("scar,mask", "--classes: a class cannot be called mask"),
        ("scar,a/b", "--classes: class 'a/b' cannot be part of a file name"),
    ],
)
def test_classes_that_cannot_be_are_refused_before_a_table_is_written(tmp_path: Path, classes: str, part: str) -> None:
    write_image(tmp_path / "data" / "a.nii.gz")
    is_refused(medwsss("init", tmp_path / "data", "--classes", classes), part)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["a.nii.gz"]


def test_init_leaves_alone_what_it_does_not_know(base: Path, tmp_path: Path) -> None:
    is_refused(medwsss("init", tmp_path / "none"), "is not a folder")
    is_refused(medwsss("init", tmp_path), "holds no images")
    write_acdc(tmp_path / "acdc", fake_patients(1))
    is_refused(medwsss("init", tmp_path / "acdc"), "is laid out like ACDC", "medwsss train --root")
    write_mask(tmp_path / "own" / "a_gt.nii.gz")
    (tmp_path / "own" / "a.nii.gz").write_bytes(b"")
    is_refused(medwsss("init", tmp_path / "own"), "a.nii.gz: the file is empty")
    assert not list(tmp_path.rglob("*.csv"))
    assert not list(tmp_path.rglob("medwsss.yaml"))
