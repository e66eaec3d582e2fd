"""``medwsss check`` through the real command line: exit codes, files, and what bad input does."""

import json
import shutil
from pathlib import Path

import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.coco import write_coco
from fakes.command_line import Answer, medwsss
from fakes.voc import write_voc

from medwsss.config.data import PhantomConfig
from medwsss.data.phantom import PHANTOM_VERSION


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients; slice 0 of 4 shows no heart, slice 1 RV and MYO, the others all three."""
    return write_acdc(tmp_path_factory.mktemp("check") / "acdc data", fake_patients(5))


@pytest.fixture
def data(base: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(base, tmp_path / "data"))


def frame(root: Path, number: int, kind: str = "") -> Path:
    """The ED frame of a patient; kind ``_gt`` is its mask."""
    return root / "training" / f"patient{number:03d}" / f"patient{number:03d}_frame01{kind}.nii.gz"


def verdict(answer: Answer) -> list[str]:
    return [line.strip() for line in answer.out.split("Verdict\n")[1].splitlines()]


def test_tags_that_can_teach_exit_with_0(base: Path) -> None:
    answer = medwsss("check", base, "--task", "heart", "--task", "lv")
    assert answer.code == 0, answer.err
    # 10 of 40 slices are without a heart: 0.811 bits; 20 without LV
    assert "heart  heart           30       10        75 %           0.811                     5 of 5" in answer.out
    assert verdict(answer)[:2] == [
        "heart: missing on 25 % of slices; these tags can teach it",
        "lv: missing on 50 % of slices; these tags can teach it",
    ]
    assert not answer.err


def test_one_task_that_cannot_be_taught_exits_with_1(base: Path) -> None:
    answer = medwsss("check", base)
    assert answer.code == 1
    assert not answer.err
    assert "multi: RV and MYO cannot be separated by these tags: they differ on 0 of 40 slices" in verdict(answer)
    assert medwsss("check", base, "--task", "multi").code == 1


def test_json_alone_goes_to_standard_output(base: Path) -> None:
    answer = medwsss("check", base, "--json")
    assert answer.code == 1
    found = json.loads(answer.out)
    assert found["can_teach"] is False
    assert {name: task["can_teach"] for name, task in found["tasks"].items()} == {
        "heart": True, "lv": True, "multi": False,
    }  # fmt: skip
    assert found["survey"]["patients"] == 5


def test_files_hold_the_same_and_the_picture_is_there(base: Path, tmp_path: Path) -> None:
    answer = medwsss("check", base, "--task", "heart", "--out", tmp_path / "new" / "out")
    assert answer.code == 0
    out = tmp_path / "new" / "out"
    assert {path.name for path in out.iterdir()} == {"check.json", "check.md", "check.png"}
    assert json.loads((out / "check.json").read_text())["tasks"]["heart"]["slices"] == 40
    assert "75 %" in (out / "check.md").read_text()
    assert (out / "check.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_without_masks_and_table_geometry_and_motion_are_checked_all_the_same(data: Path, tmp_path: Path) -> None:
    for path in data.rglob("*_gt.nii.gz"):
        path.unlink()
    answer = medwsss("check", data, "--out", tmp_path / "out")
    assert answer.code == 1
    assert "There are no tags: neither a mask nor a table" in answer.out
    assert "slice distance [mm]" in answer.out
    assert verdict(answer)[:3] == [f"{task}: there are no tags" for task in ("heart", "lv", "multi")]
    assert (tmp_path / "out" / "check.png").is_file()


def test_a_table_needs_no_mask_and_decides_the_tasks(data: Path, tmp_path: Path) -> None:
    medwsss("tags", data, "--task", "heart", "--out", tmp_path / "tags.csv")
    for path in data.rglob("*_gt.nii.gz"):
        path.unlink()
    answer = medwsss("check", data, "--tags", tmp_path / "tags.csv")
    assert answer.code == 0, answer.err
    assert f"Source: table {tmp_path / 'tags.csv'}." in answer.out
    assert len(verdict(answer)) == 2
    refused = medwsss("check", data, "--tags", tmp_path / "tags.csv", "--task", "lv")
    assert refused.code == 2
    assert "has no column LV" in refused.err


def test_rows_about_unknown_patients_are_refused_as_in_training(base: Path, tmp_path: Path) -> None:
    medwsss("tags", base, "--task", "heart", "--out", tmp_path / "tags.csv")
    with (tmp_path / "tags.csv").open("a") as file:
        file.write("patient099,ED,0,1\n")
    answer = medwsss("check", base, "--tags", tmp_path / "tags.csv")
    assert answer.code == 2
    assert "1 rows name a slice that is not there or cannot be read, first patient099 ED slice 0" in answer.err
    assert "heart: missing on 25 %" in answer.out


def test_a_truncated_file_is_listed_the_rest_is_checked_and_the_exit_code_is_2(data: Path, tmp_path: Path) -> None:
    path = frame(data, 2)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    answer = medwsss("check", data, "--task", "heart", "--out", tmp_path / "out")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("error: 1 findings would stop training, first: patient002: ")
    assert "patient002_frame01.nii.gz: damaged" in answer.out
    assert "4 with ED and ES" in answer.out
    assert "heart  heart           27        9" in answer.out  # 36 of 40 slices
    found = json.loads((tmp_path / "out" / "check.json").read_text())
    assert [finding["refused"] for finding in found["findings"] if finding["subject"] == "patient002"] == [True]


def test_a_mask_that_does_not_fit_is_listed(data: Path) -> None:
    shutil.copy(frame(data, 1), frame(data, 3, "_gt"))
    answer = medwsss("check", data, "--task", "heart")
    assert answer.code == 2
    assert "patient003: " in answer.err
    assert "no mask of 1 patients that fits, first patient003" in answer.out


def test_a_patient_with_one_phase_is_left_out_as_in_training(data: Path) -> None:
    (frame(data, 4).with_name("patient004_frame03.nii.gz")).unlink()
    answer = medwsss("check", data, "--task", "lv")
    assert answer.code == 0, answer.err
    assert "patient004: left out: ES (frame 03) not in" in answer.out
    assert not answer.err


def test_one_patient_under_two_names_is_found(data: Path) -> None:
    shutil.copy(frame(data, 1), frame(data, 5))
    answer = medwsss("check", data, "--task", "lv")
    assert "patient001 and patient005: have a frame with the same voxels" in answer.out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("nowhere",), "is not a folder"),
        (("empty",), "no patientNNN folder"),
        (("DATA", "--task", "hart"), "did you mean 'heart'?"),
        (("DATA", "--tags", "nowhere.csv"), "cannot read the image-level labels"),
        (("DATA", "--list", "val"), "--list cannot be used with data set acdc"),
        (("DATA", "--out", "file"), "is a file"),
        (("DATA", "--dataset", "vok"), "did you mean 'voc'?"),
        (("--dataset", "voc"), "pass DATA"),
        (("DATA", "--dataset", "voc", "--task", "lv"), "--task cannot be used with data set voc"),
    ],
)
def test_bad_requests_are_refused_in_one_line_and_leave_nothing(
    base: Path, tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {name: tmp_path / name for name in ("nowhere", "empty", "nowhere.csv", "file")} | {"DATA": base}
    answer = medwsss("check", *(places.get(argument, argument) for argument in arguments))
    assert answer.code == 2
    assert part in answer.err
    assert answer.err.count("\n") == 1
    assert not answer.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


def test_photographs_are_checked_by_their_tags(tmp_path: Path) -> None:
    voc = write_voc(tmp_path, images=8)
    answer = medwsss("check", voc, "--dataset", "voc", "--out", tmp_path / "out")
    # train: images 1 to 4, two of them with two classes: aeroplane; dog, person; person; aeroplane, dog
    assert answer.code == 1
    assert "voc aeroplane 2 2 50 % 1.000" in " ".join(answer.out.split())
    assert "voc: aeroplane is present on 2 images only; at least 10 are needed" in verdict(answer)
    assert (tmp_path / "out" / "check.png").is_file()
    coco = write_coco(tmp_path / "coco")
    assert medwsss("check", coco, "--dataset", "coco", "--list", "val").code == 1


def test_a_phantom_stands_in_without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    default = PhantomConfig()
    name = f"phantom-v{PHANTOM_VERSION}-{default.patients}-patients-seed-{default.seed}"
    write_acdc(tmp_path / "medwsss" / name, fake_patients(5))  # as if it had been generated before
    answer = medwsss("check", "--task", "heart", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["survey"]["patients"] == 5
    assert "using the generated phantom" in answer.err
