"""Bad input through the real command line: one clear line on standard error, exit code 2, nothing half written."""

import errno
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from fakes.acdc import FakePatient, fake_patients, image, volume, write_acdc
from fakes.command_line import Answer, is_refused, medwsss, tiny_config_file

from medwsss.volumes.io import load_label_volume, load_volume, save_volume
from medwsss.volumes.volume import Volume

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad input")
    write_acdc(folder / "data", fake_patients(4))
    tiny_config_file(folder)
    return folder


@pytest.fixture(scope="module")
def trained(base: Path) -> Path:
    answer = medwsss("train", "--root", base / "data", "--config", base / "tiny.yaml", "--out", base / "run")
    assert answer.code == 0, answer.err
    return base / "run"


@pytest.fixture
def data(base: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(base / "data", tmp_path / "data"))


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run to damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def train(base: Path, root: Path, out: Path, *arguments: object) -> Answer:
    return medwsss("train", "--root", root, "--config", base / "tiny.yaml", "--out", out, *arguments)


def warnings_of(answer: Answer) -> list[str]:
    return [line for line in answer.err.splitlines() if line.startswith("warning: ")]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def frame(root: Path, number: int = 2, kind: str = "") -> Path:
    """The ED frame of a patient; kind ``_gt`` is its mask."""
    return root / "training" / f"patient{number:03d}" / f"patient{number:03d}_frame01{kind}.nii.gz"


def info(root: Path) -> Path:
    return root / "training" / "patient002" / "Info.cfg"


def saved(path: Path, change: Callable[[Volume], Volume]) -> None:
    save_volume(change(load_volume(path)), path)


def moved(like: Volume) -> Volume:
    return Volume(like.array.astype(np.uint8), like.spacing_mm, like.affine + 5.0 * np.eye(4, k=3))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_frames(root: Path) -> None:
    for path in root.rglob("*_frame03.nii.gz"):
        path.unlink()


# --- The data set ----------------------------------------------------------------------------------------------------

BAD_DATA: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "missing folder": (shutil.rmtree, ("is not a folder", "--root")),
    "no patients": (lambda root: shutil.rmtree(root / "training"), ("no patientNNN folder", "--root")),
    "every patient half": (without_frames, ("no patient in", "both its ED and its ES frame")),
    "no Info.cfg": (lambda root: info(root).unlink(), ("patient002/Info.cfg is missing",)),
    "Info.cfg without frames": (lambda root: info(root).write_text("Group: NOR\n"), ("neither key ED nor ES", "add")),
    "ED no number": (lambda root: info(root).write_text("ED: first\nES: 3"), ("Info.cfg: ED is 'first'",)),
    "ED zero": (lambda root: info(root).write_text("ED: 0\nES: 3"), ("ED is '0'", "counted from 1")),
    "ED with 5000 digits": (lambda root: info(root).write_text(f"ED: {'9' * 5000}\nES: 3"), ("ED is '999",)),
    "Info.cfg no text": (lambda root: info(root).write_bytes(b"\xff\x00\xfe"), ("Info.cfg has neither key ED nor ES",)),
    "truncated frame": (lambda root: cut(frame(root)), ("patient002_frame01.nii.gz: damaged", "copy")),
    "empty frame": (lambda root: frame(root).write_bytes(b""), ("patient002_frame01.nii.gz: the file is empty",)),
    "all voxels NaN": (
        lambda root: saved(frame(root), lambda old: old.with_array(np.full_like(old.array, np.nan))),
        ("patient002_frame01.nii.gz: no voxel is finite",),
    ),
    "mask of another shape": (
        lambda root: saved(frame(root, kind="_gt"), lambda old: Volume(old.array[..., :3], old.spacing_mm, old.affine)),
        ("patient002_frame01_gt.nii.gz has shape (40, 36, 3), its frame has (40, 36, 4)",),
    ),
    "mask of another affine": (
        lambda root: saved(frame(root, kind="_gt"), moved),
        ("patient002_frame01_gt.nii.gz has another affine", "by up to 5"),
    ),
    "mask with unknown codes": (
        lambda root: saved(frame(root, kind="_gt"), lambda old: old.with_array(2 * old.array)),
        ("patient002_frame01_gt.nii.gz: codes [4, 6]", "1 RV, 2 MYO, 3 LV"),
    ),
    "image as mask": (
        lambda root: saved(frame(root, kind="_gt"), lambda old: old.with_array(old.array + 0.5)),
        ("patient002_frame01_gt.nii.gz: label maps hold integers",),
    ),
    "no mask": (lambda root: frame(root, kind="_gt").unlink(), ("patient002_frame01 has no mask", "data.tags")),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_a_bad_data_set_is_one_line_and_leaves_nothing(base: Path, data: Path, tmp_path: Path, case: str) -> None:
    damage, parts = BAD_DATA[case]
    damage(data)
    is_refused(train(base, data, tmp_path / "out"), *parts)
    is_refused(medwsss("tags", data, "--out", tmp_path / "tags.csv"), *parts)
    assert {path.name for path in tmp_path.iterdir()} <= {"data"}


def test_a_single_patient_cannot_be_split(base: Path, data: Path, tmp_path: Path) -> None:
    for number in (2, 3, 4):
        shutil.rmtree(frame(data, number).parent)
    is_refused(train(base, data, tmp_path / "out"), "at least two patients")


def test_odd_images_are_told_once_and_the_run_goes_on(base: Path, data: Path, tmp_path: Path) -> None:
    """NaN, constant and incomplete patients, though a run opens every file several times."""
    saved(frame(data, 1), lambda old: old.with_array(np.where(np.arange(40)[:, None, None] < 2, np.nan, old.array)))
    saved(frame(data, 2), lambda old: old.with_array(np.full_like(old.array, 7.0)))
    write_acdc(data, [FakePatient(number=5, frame_files=("ED",))])
    answer = train(base, data, tmp_path / "out", "--set", "training.iterations=1")
    assert answer.code == 0, answer.err
    assert "data: 4 patients" in answer.out
    incomplete, nan, constant = warnings_of(answer)
    assert "patient005 is left out: ES (frame 03)" in incomplete
    assert f"patient001_frame01.nii.gz: {2 * 36 * 4} of {40 * 36 * 4} voxels are NaN" in nan
    assert "patient002_frame01.nii.gz frame 1 is constant" in constant


def test_cached_slices_do_not_silence_a_warning(base: Path, data: Path, tmp_path: Path) -> None:
    """With a table of tags and cached slices nothing opens the training images again."""
    assert medwsss("tags", data, "--out", tmp_path / "tags.csv").code == 0
    saved(frame(data, 1), lambda old: old.with_array(np.full_like(old.array, 7.0)))
    (tmp_path / "split.json").write_text(json.dumps({"train": ["patient001"], "held_out": ["patient002"]}))
    options = ("--tags", tmp_path / "tags.csv", "--set", f"data.split.file={tmp_path / 'split.json'}")
    for name in ("first", "second"):
        unused, constant = warnings_of(train(base, data, tmp_path / name, *options, "--weights", tmp_path / "none.pth"))
        assert "2 patients are in neither part" in unused
        assert constant.endswith("patient001_frame01.nii.gz frame 1 is constant: its slices become zeros")


# --- Tags and split --------------------------------------------------------------------------------------------------

HEADER = "patient,phase,slice,heart\n"
BAD_TAGS: dict[str, tuple[Callable[[str], str | bytes], tuple[str, ...]]] = {
    "unknown patient": (lambda text: text + "patient099,ED,0,1\n", ("line 34: patient 'patient099' is not in",)),
    "row twice": (lambda text: text + text.splitlines()[1], ("line 34: patient001 ED slice 0 was already",)),
    "column missing": (lambda text: text.replace("heart", "haert"), ("has no column heart",)),
    "column twice": (
        lambda text: "".join(f"{line},1\n" for line in text.splitlines()).replace("heart,1", "heart,heart"),
        ("column heart more than once",),
    ),
    "training slices missing": (lambda text: "".join(text.splitlines(True)[:5]), ("has no row for", "patient")),
    "no table": (lambda text: "", ("has no column patient, phase, slice, heart",)),
    "no text": (lambda text: b"\xff\xfe\x00\x01", ("is not UTF-8", "save it")),
    "endless field": (lambda text: text + "x" * 200_000, ("is not a CSV table",)),
    "endless number": (lambda text: f"{text}patient001,ED,{'9' * 5000},1", ("line 34: slice '999",)),
    "yes and no": (lambda text: text.replace(",1\n", ",yes\n"), ("heart is 'yes', it must be 0 or 1",)),
}


@pytest.fixture(scope="module")
def tags(base: Path) -> str:
    assert medwsss("tags", base / "data", "--out", base / "tags.csv").code == 0
    return (base / "tags.csv").read_text()


@pytest.mark.parametrize("case", BAD_TAGS)
def test_a_bad_table_of_tags_is_named(base: Path, tags: str, tmp_path: Path, case: str) -> None:
    change, parts = BAD_TAGS[case]
    content = change(tags)
    (tmp_path / "tags.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    is_refused(train(base, base / "data", tmp_path / "out", "--tags", tmp_path / "tags.csv"), "tags.csv", *parts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["none.csv", "."])
def test_a_table_of_tags_that_is_no_file_is_named(base: Path, tmp_path: Path, path: str) -> None:
    answer = train(base, base / "data", tmp_path / "out", "--tags", tmp_path / path)
    is_refused(answer, "cannot read the image-level labels", tmp_path)


def test_semicolons_and_a_byte_order_mark_are_accepted(base: Path, trained: Path, tags: str, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text(tags.replace(",", ";"), encoding="utf-8-sig")
    answer = medwsss("predict", trained, base / "data", "--out", tmp_path / "out", "--tags", tmp_path / "tags.csv")
    assert answer.code == 0, answer.err
    assert not answer.err
    options = ("--tags", tmp_path / "tags.csv", "--weights", tmp_path / "none.pth")
    is_refused(train(base, base / "data", tmp_path / "run", *options), "none.pth")  # the table is read before


def test_a_bad_mask_of_a_held_out_patient_stops_the_run_before_it_starts(
    base: Path, data: Path, tags: str, tmp_path: Path
) -> None:
    """Training by tags opens no mask, but its validation will, hours later."""
    for number in range(1, 5):
        saved(frame(data, number, "_gt"), lambda old: old.with_array(2 * old.array))
    answer = train(base, data, tmp_path / "out", "--tags", base / "tags.csv")
    is_refused(answer, "_gt.nii.gz: codes [4, 6]")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ('{"train": ["patient001", "patient002"], "held_out": ["patient002"]}', "patient002 is in both parts"),
        ('{"train": ["patient001", "patient009"], "held_out": ["patient002"]}', "patient009 is in the split but not"),
        ('{"train": ["patient001"], "held_out": []}', "no patient in held_out"),
        ('{"train": ["patient001"]}', "held_out must be a list"),
        ("[1]", "needs the lists train and held_out"),
        ("{", "is not JSON"),
        (None, "cannot read the split"),
    ],
)
def test_a_bad_split_is_named(base: Path, tmp_path: Path, content: str | None, part: str) -> None:
    path = tmp_path / "split.json"
    if content is not None:
        path.write_text(content)
    answer = train(base, base / "data", tmp_path / "out", "--set", f"data.split.file={path}")
    is_refused(answer, path, part)
    assert not (tmp_path / "out").exists()


# --- Settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--task", "hart"], ["unknown task 'hart'; did you mean 'heart'?"]),
        (["--method", "unai"], ["unknown method 'unai'; did you mean 'unia'?"]),
        (["--dataset", "acdx"], ["unknown data set 'acdx'; did you mean 'acdc'?"]),
        (["--device", "gpu"], ["unknown device 'gpu'", "cpu"]),
        (["--set", "training.seed"], ["'training.seed' is not of the form key.key=value"]),
        (["--set", "training.seed=[1"], ["'training.seed=[1' is not valid YAML"]),
        (["--set", "training.seed=2001-99-99"], ["not valid YAML"]),
        (["--set", "training.iteratons=3"], ["unknown setting 'training.iteratons'; did you mean 'iterations'?"]),
        (["--set", "data=3"], ["data: ", "(got 3)"]),
        (["--set", "data.split.seed=-1"], ["data.split.seed: ", "(got -1)"]),
        (["--set", "data.grid.percentiles=[99, 1]"], ["data.grid: ", "must grow within 0 to 100"]),
        (["--set", "inference.scales=[]"], ["inference.scales: ", "at least 1"]),
        (["--set", "encoder.affinity_blocks=[]"], ["encoder.affinity_blocks: "]),
        (["--set", "encoder.affinity_blocks=[9]"], ["encoder block 9 does not exist"]),
        (["--set", "method.pixel_adaptive.dilations=[]"], ["dilations: "]),
        (["--set", "data.grid.crop=4"], ["the crop of 4 pixels", "patch of 8", "data.grid.crop"]),
        (["--set", "encoder.name=vit_nothing"], ["'vit_nothing' cannot be built"]),
        (["--set", "encoder.arguments.colour=red"], ["unexpected keyword argument 'colour'"]),
        (["--config", "none.yaml"], ["cannot read configuration none.yaml"]),
        (["--config", "."], ["cannot read configuration ."]),
    ],
)
def test_a_bad_setting_is_named(base: Path, tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    is_refused(train(base, base / "data", tmp_path / "out", *arguments), *parts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"- 1", "must hold a mapping of settings, not a list"),
        (b"a:\n\t- b", "is not valid YAML"),
        (b"day: 2001-99-99", "is not valid YAML"),
        (b"[" * 5000, "is not valid YAML"),
        (b"!!python/object/apply:os.system [exit]", "is not valid YAML"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_bad_configuration_file_is_named(tmp_path: Path, content: bytes, part: str) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    answer = medwsss("train", "--config", tmp_path / "bad.yaml", "--out", tmp_path / "out")
    is_refused(answer, "bad.yaml", part)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_settings_of_a_method_and_its_name_come_in_any_order(base: Path, tmp_path: Path) -> None:
    order = ("--set", "method.cam.low=0.1", "--set", "method.name=cam")
    is_refused(train(base, base / "data", tmp_path / "out", *order, "--weights", tmp_path / "none.pth"), "none.pth")


def test_a_method_on_the_command_line_wins_over_the_one_in_the_file(base: Path, tmp_path: Path) -> None:
    answer = train(
        base, base / "data", tmp_path / "out", "--method", "cam", "--set", "method.uncertainty.enabled=false"
    )
    is_refused(answer, "unknown setting 'method.uncertainty' of cam")


class Hostile:
    """Runs code where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


BAD_WEIGHTS: dict[str, tuple[str, Damage, str]] = {
    "missing": ("none.pth", lambda path: None, "no weights file at"),
    "a folder": ("folder.pth", lambda path: path.mkdir(), "no weights file at"),
    "empty": ("empty.pth", lambda path: path.write_bytes(b""), "cannot read weights"),
    "empty safetensors": ("empty.safetensors", lambda path: path.write_bytes(b""), "cannot read weights"),
    "text": ("text.pth", lambda path: path.write_text("weights"), "is refused"),
    "code": ("code.pt", lambda path: path.write_bytes(pickle.dumps(Hostile(path.with_name("ran")))), "is refused"),
    "code in torch's format": (
        "code.pth",
        lambda path: torch.save({"state_dict": Hostile(path.with_name("ran"))}, path),
        "is refused: it holds more than tensors",
    ),
    "a list": ("list.pth", lambda path: torch.save([1, 2], path), "holds no table of tensors"),
    "numbered tensors": ("n.pth", lambda path: torch.save({1: torch.zeros(1)}, path), "holds no table of tensors"),
    "another network": (
        "other.safetensors",
        lambda path: safetensors.torch.save_file({"a": torch.zeros(3)}, path),
        "does not fit this encoder",
    ),
    "known names, odd shapes": (
        "odd.safetensors",
        lambda path: safetensors.torch.save_file({"patch_embed.proj.weight": torch.zeros(3)}, path),
        "does not fit this encoder",
    ),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_bad_weights_are_refused_and_run_nothing(base: Path, tmp_path: Path, case: str) -> None:
    name, write, part = BAD_WEIGHTS[case]
    write(tmp_path / name)
    answer = train(base, base / "data", tmp_path / "out", "--weights", tmp_path / name)
    is_refused(answer, tmp_path / name, part)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["train", "--nope"], ["evaluate"], ["predict", "run"], ["phantom", "--out", "x", "--patients", "2"]],
)
def test_usage_errors_stay_as_they_are(arguments: list[str]) -> None:
    answer = medwsss(*arguments)
    assert answer.code == 2
    assert answer.err.startswith("Usage: medwsss")


def test_a_cycle_of_three_frames_is_refused(tmp_path: Path) -> None:
    is_refused(medwsss("phantom", "--out", tmp_path / "out", "--cine-frames", 3), "--cine-frames is 3", "at least 6")
    assert not list(tmp_path.iterdir())


# --- Run folders -----------------------------------------------------------------------------------------------------


def test_a_run_folder_that_holds_something_is_left_alone(base: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    is_refused(train(base, base / "data", tmp_path / "out"), "already holds something", "--out", "--resume")
    assert contents(tmp_path) == {"out/mine.txt": b"mine"}


@pytest.mark.parametrize("below", [".", "a/b"])
def test_a_run_folder_cannot_be_a_file_or_lie_in_one(base: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    is_refused(train(base, base / "data", tmp_path / "file" / below), tmp_path / "file", "choose another --out")
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_that_fails_before_its_first_step_does_not_block_the_next_try(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    out = tmp_path / "out"
    if exists:
        out.mkdir()

    def disk_is_full(*_: object, **__: object) -> None:
        assert (out / "config.yaml").is_file()
        raise OSError(errno.ENOSPC, "No space left on device", str(out / "somewhere"))

    monkeypatch.setattr("medwsss.engine.train.train", disk_is_full)
    is_refused(train(base, base / "data", out), out / "somewhere", "No space left on device")
    assert out.exists() == exists
    assert not exists or not list(out.iterdir())


def test_weights_that_diverge_stop_the_run(base: Path, tmp_path: Path) -> None:
    answer = train(base, base / "data", tmp_path / "out", "--set", "training.learning_rate=.inf")
    is_refused(answer, "not finite", "step 1", "lower training.learning_rate")


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def rewritten(checkpoint: Path, change: Callable[[str, torch.Tensor], torch.Tensor], **state: object) -> None:
    with safetensors.safe_open(checkpoint, framework="pt") as stored:
        record = json.loads(stored.metadata()["state"]) | state
        tensors = {name: change(name, stored.get_tensor(name)).contiguous() for name in stored.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, checkpoint, metadata={"state": json.dumps(record)})


def last(run: Path) -> Path:
    return run / "checkpoints" / "last.safetensors"


BAD_RUNS: dict[str, tuple[Damage, str, str]] = {
    "no run": (lambda run: (run / "config.yaml").unlink(), "is not a run folder", "is not a run folder"),
    "longer run": (
        lambda run: changed(run / "config.yaml", "iterations: 4", "iterations: 6"),
        "was made with another configuration",
        "",
    ),
    "another task": (
        lambda run: changed(run / "config.yaml", "task: heart", "task: multi"),
        "was made with another configuration",
        "belongs to another configuration",
    ),
    "unknown setting": (
        lambda run: changed(run / "config.yaml", "\ntraining:", "\ntraning:"),
        "config.yaml: unknown setting 'traning'; did you mean 'training'?",
        "config.yaml: unknown setting 'traning'",
    ),
    "no checkpoint": (lambda run: last(run).unlink(), "no checkpoint to resume from", "has no checkpoint 'last'"),
    "truncated checkpoint": (lambda run: cut(last(run)), "is damaged", "is damaged"),
    "empty checkpoint": (lambda run: last(run).write_bytes(b""), "is damaged", "is damaged"),
    "checkpoint without state": (
        lambda run: safetensors.torch.save_file({"a": torch.zeros(1)}, last(run)),
        "not a checkpoint of medwsss",
        "not a checkpoint of medwsss",
    ),
    "step in words": (lambda run: rewritten(last(run), lambda _, t: t, step="four"), "is damaged", "is damaged"),
    "another split": (
        lambda run: rewritten(last(run), lambda _, t: t, split_hash="0123456789abcdef"),
        "was made with another split (0123456789abcdef",
        "",
    ),
    "weights not finite": (
        lambda run: rewritten(last(run), lambda _, t: t * torch.nan if t.is_floating_point() else t),
        "holds weights that are not finite",
        "holds weights that are not finite",
    ),
    "another optimiser": (
        lambda run: rewritten(last(run), lambda name, t: torch.zeros(5) if name.endswith("exp_avg") else t),
        "state of another optimiser",
        "",
    ),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_a_damaged_run_is_neither_resumed_nor_used_nor_changed(
    base: Path, run: Path, tmp_path: Path, case: str
) -> None:
    damage, when_resumed, when_used = BAD_RUNS[case]
    damage(run)
    before = contents(run)
    answer = medwsss("train", "--resume", run)
    is_refused(answer, run, when_resumed)
    assert contents(run) == before
    if when_used:
        answer = medwsss("predict", run, frame(base / "data"), "--out", tmp_path / "out")
        is_refused(answer, run, when_used)
        assert not (tmp_path / "out").exists()


def test_resuming_takes_no_other_settings(run: Path) -> None:
    is_refused(medwsss("train", "--resume", run, "--method", "cam"), "--resume takes all settings from the run")


# --- Prediction ------------------------------------------------------------------------------------------------------


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two good files, an empty and a truncated one."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, name in enumerate(("a", "b", "c", "d"), start=1):
        patient = FakePatient(number=number)
        save_volume(volume(patient, image(patient, 1)), folder / f"{name}.nii.gz")
    (folder / "b.nii.gz").write_bytes(b"")
    cut(folder / "c.nii.gz")
    return folder


def test_a_broken_file_does_not_keep_good_ones_from_being_segmented(trained: Path, scans: Path, tmp_path: Path) -> None:
    answer = medwsss("predict", trained, scans, "--out", tmp_path / "out", "--save", "cams")
    assert answer.code == 2
    first, second = answer.err.splitlines()
    assert first.startswith("error: b: ")
    assert str(scans / "b.nii.gz") in first
    assert second.startswith("error: c: ")
    assert "2 volumes segmented" in answer.out
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert record["cases"] == ["a", "d"]
    assert set(record["failed"]) == {"b", "c"}
    labels = {"a.nii.gz", "d.nii.gz"}
    assert set(contents(tmp_path / "out")) == {
        "prediction.json", "quality.csv", *labels, "cams/a_heart.nii.gz", "cams/d_heart.nii.gz"
    }  # fmt: skip


def test_old_results_are_kept_without_overwrite_and_never_look_new_with_it(
    trained: Path, scans: Path, tmp_path: Path
) -> None:
    out, arguments = tmp_path / "out", ("--save", "cams", "--overwrite")
    medwsss("predict", trained, scans, "--out", out, *arguments)
    before = contents(out)
    is_refused(medwsss("predict", trained, scans, "--out", out), out, "already holds results", "--overwrite")
    assert contents(out) == before
    cut(scans / "a.nii.gz")
    assert medwsss("predict", trained, scans, "--out", out, *arguments).code == 2
    assert set(contents(out)) == {"prediction.json", "quality.csv", "d.nii.gz", "cams/d_heart.nii.gz"}


def test_results_of_other_inputs_are_not_mixed_silently(trained: Path, scans: Path, tmp_path: Path) -> None:
    arguments = ("--out", tmp_path / "out")
    assert medwsss("predict", trained, scans / "a.nii.gz", *arguments).code == 0
    is_refused(medwsss("predict", trained, scans / "d.nii.gz", *arguments), "results of other inputs (a)")
    answer = medwsss("predict", trained, scans / "d.nii.gz", *arguments, "--overwrite")
    assert answer.code == 0
    assert "still holds 1 results of an earlier prediction, first a" in warnings_of(answer)[0]


def test_overwriting_one_case_leaves_cases_with_longer_names(trained: Path, scans: Path, tmp_path: Path) -> None:
    for name in ("a_b", "a[1]"):
        shutil.copy(scans / "a.nii.gz", scans / f"{name}.nii.gz")
    arguments = ("--out", tmp_path / "out", "--save", "cams")
    medwsss("predict", trained, scans, *arguments)
    medwsss("predict", trained, scans / "a[1].nii.gz", "--out", tmp_path / "out", "--overwrite")
    maps = {path.name for path in (tmp_path / "out" / "cams").iterdir()}
    assert maps == {"a_heart.nii.gz", "a_b_heart.nii.gz", "d_heart.nii.gz"}


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_inputs_are_never_overwritten(trained: Path, scans: Path, options: tuple[str, ...]) -> None:
    before = contents(scans)
    answer = medwsss("predict", trained, scans, "--out", scans, *options)
    is_refused(answer, "would replace the input", "a.nii.gz")
    assert contents(scans) == before


@pytest.mark.parametrize("shape", [(20, 20), (9, 9, 3, 2, 2), (9, 9, 3, 1, 2)])
def test_only_3d_and_4d_images_are_segmented(trained: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), tmp_path / "odd.nii.gz")
    answer = medwsss("predict", trained, tmp_path / "odd.nii.gz", "--out", tmp_path / "out")
    is_refused(answer, tmp_path / "odd.nii.gz", f"has shape {shape}", "3D", "4D")
    assert set(contents(tmp_path / "out")) == {"prediction.json"}


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 20, 3), (20, 20, 1), (3, 3, 2, 2)])
def test_the_smallest_volumes_are_segmented_on_their_grid(
    trained: Path, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    voxels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.5, 1.5, 10.0, 1.0])), tmp_path / "small.nii.gz")
    assert medwsss("predict", trained, tmp_path / "small.nii.gz", "--out", tmp_path / "out").code == 0
    assert load_label_volume(tmp_path / "out" / "small.nii.gz").array.shape == shape


def test_odd_voxels_of_a_cine_are_counted_and_named_by_frame(trained: Path, tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).random((20, 20, 3, 2)).astype(np.float32)
    voxels[0, 0, 0, 0] = np.inf
    voxels[..., 1] = 3.0
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "cine.nii.gz")
    answer = medwsss("predict", trained, tmp_path / "cine.nii.gz", "--out", tmp_path / "out")
    assert answer.code == 0
    infinite, constant = warnings_of(answer)
    assert "cine.nii.gz: 1 of 2400 voxels are NaN or infinite" in infinite
    assert "cine.nii.gz frame 2 is constant" in constant


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("none.nii.gz", [], "none.nii.gz does not exist"),
        ("texts", [], "holds no NIfTI file"),
        ("texts/a.txt", [], "a.txt: unknown kind of file"),
        ("a.nii.gz", ["--checkpoint", "lst"], "unknown checkpoint 'lst'; did you mean 'last'?"),
        ("a.nii.gz", ["--frames", "al"], "unknown frames 'al'; did you mean 'all'?"),
        ("a.nii.gz", ["--save", "cam"], "unknown map 'cam'; did you mean 'cams'?"),
        ("a.nii.gz", ["--tags", "none.csv"], "cannot read the image-level labels none.csv"),
    ],
)
def test_bad_arguments_of_predict_are_named(
    trained: Path, scans: Path, tmp_path: Path, name: str, options: list[str], part: str
) -> None:
    (scans / "texts").mkdir()
    (scans / "texts" / "a.txt").write_text("text")
    is_refused(medwsss("predict", trained, scans / name, "--out", tmp_path / "out", *options), part)
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_two_inputs_of_one_name_are_refused(trained: Path, scans: Path, tmp_path: Path) -> None:
    path = scans / "a.nii.gz"
    is_refused(medwsss("predict", trained, path, path, "--out", tmp_path / "out"), "occur twice", "(a)")


def test_a_failed_map_takes_its_label_volume_back(trained: Path, scans: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cams").write_text("a file in the way")
    answer = medwsss("predict", trained, scans / "a.nii.gz", "--out", tmp_path / "out", "--save", "cams")
    is_refused(answer, "error: a: cannot make the folder", tmp_path / "out" / "cams")
    assert set(contents(tmp_path / "out")) == {"cams", "prediction.json"}


def test_tags_of_more_patients_than_inputs_are_counted_and_missing_ones_named(
    base: Path, trained: Path, tags: str, data: Path, tmp_path: Path
) -> None:
    frame(data).write_bytes(b"")
    (tmp_path / "tags.csv").write_text(
        "".join(line for line in tags.splitlines(True) if "patient003" not in line) + "patient099,ED,0,1\n"
    )
    answer = medwsss("predict", trained, data, "--out", tmp_path / "out", "--tags", tmp_path / "tags.csv")
    assert answer.code == 2
    (warning,) = warnings_of(answer)
    assert "names 1 patients that are not among the inputs, first patient099" in warning
    assert "error: patient003_frame01: the tags lack 4 slices" in answer.err
    assert "error: patient002_frame01: " in answer.err  # the empty file
    assert "5 volumes segmented" in answer.out


# --- Output folders --------------------------------------------------------------------------------------------------


@pytest.fixture
def masks(base: Path, tmp_path: Path) -> Path:
    """A reference mask as prediction."""
    folder = tmp_path / "masks"
    folder.mkdir()
    shutil.copy(frame(base / "data", 1, "_gt"), folder / "patient001_frame01.nii.gz")
    return folder


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize("below", [".", "a/b"])
def test_results_cannot_go_into_a_file(
    base: Path, trained: Path, masks: Path, tmp_path: Path, command: str, below: str
) -> None:
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    inputs = (trained, frame(base / "data")) if command == "predict" else (masks, base / "data")
    answer = medwsss(command, *inputs, "--out", tmp_path / "file" / below)
    is_refused(answer, tmp_path / "file", "is a file", "choose another --out")
    assert contents(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("command", ["train", "predict", "evaluate"])
def test_a_read_only_folder_is_refused(base: Path, trained: Path, masks: Path, tmp_path: Path, command: str) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    inputs = {
        "train": ("--root", base / "data", "--config", base / "tiny.yaml"),
        "predict": (trained, frame(base / "data")),
        "evaluate": (masks, base / "data"),
    }
    answer = medwsss(command, *inputs[command], "--out", locked / "out")
    is_refused(answer, locked, "is read-only", "choose another --out")
    assert not list(locked.iterdir())


def test_a_report_that_fails_half_way_leaves_the_old_one(
    base: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("evaluate", masks, base / "data", "--out", tmp_path / "report")
    assert medwsss(*arguments).code == 0
    before = contents(tmp_path)

    def disk_is_full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("medwsss.reports.html.report_html", disk_is_full)
    is_refused(medwsss(*arguments), tmp_path / "report", "No space left on device")
    assert contents(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"masks", "report"}


def test_a_report_is_not_moved_over_a_folder(base: Path, masks: Path, tmp_path: Path) -> None:
    (tmp_path / "report" / "report.html").mkdir(parents=True)
    answer = medwsss("evaluate", masks, base / "data", "--out", tmp_path / "report")
    is_refused(answer, tmp_path / "report" / "report.html", "is a folder")
    assert not contents(tmp_path / "report")


# --- Evaluation ------------------------------------------------------------------------------------------------------


def first_mask(folder: Path) -> Path:
    return folder / "patient001_frame01.nii.gz"


def renamed(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(path.with_name(f"other_{path.name}"))


BAD_PREDICTIONS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "missing": (shutil.rmtree, ("is neither a file nor a folder",)),
    "empty": (lambda folder: [path.unlink() for path in folder.iterdir()], ("holds no label files",)),
    "nothing matches": (renamed, ("no prediction in", "a prediction: other_patient001_frame01", "rename")),
    "another shape": (
        lambda folder: saved(first_mask(folder), lambda old: Volume(old.array[..., :3], old.spacing_mm, old.affine)),
        ("patient001_frame01.nii.gz and ", "differ in shape: (40, 36, 3) and (40, 36, 4)"),
    ),
    "another affine": (lambda folder: saved(first_mask(folder), moved), ("differ in affine, by up to 5",)),
    "a time axis": (
        lambda folder: saved(first_mask(folder), lambda old: old.with_array(np.stack([old.array] * 2, axis=-1))),
        ("differ in shape: (40, 36, 4, 2)",),
    ),
    "unknown codes": (
        lambda folder: saved(first_mask(folder), lambda old: old.with_array(2 * old.array)),
        ("patient001_frame01.nii.gz: codes [4, 6] are not among [0, 1, 2, 3]",),
    ),
    "probabilities": (
        lambda folder: saved(first_mask(folder), lambda old: old.with_array(old.array + 0.5)),
        ("patient001_frame01.nii.gz: label maps hold integers",),
    ),
    "truncated": (lambda folder: cut(first_mask(folder)), ("patient001_frame01.nii.gz: damaged",)),
    "empty file": (lambda folder: first_mask(folder).write_bytes(b""), ("patient001_frame01.nii.gz: the file is",)),
    "no record": (lambda folder: (folder / "prediction.json").write_text("{"), ("is not a record of medwsss",)),
    "record of an odd task": (
        lambda folder: (folder / "prediction.json").write_text('{"task": ["heart"]}'),
        ("prediction.json names task", "heart, lv, multi"),
    ),
}


@pytest.mark.parametrize("case", BAD_PREDICTIONS)
def test_predictions_that_cannot_be_compared_are_named(base: Path, masks: Path, tmp_path: Path, case: str) -> None:
    damage, parts = BAD_PREDICTIONS[case]
    damage(masks)
    is_refused(medwsss("evaluate", masks, base / "data", "--out", tmp_path / "report"), *parts)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--task", "hart"], "unknown task 'hart'; did you mean 'heart'?"),
        (["--prediction-codes", "LV"], "codes 'LV' cannot be read: write them like"),
        (["--prediction-codes", "1=kidney"], "has no structure 'kidney'"),
        (["--prediction-codes", "1=LV"], "codes [2, 3] are not among [0, 1]"),
        (["--images", "nowhere"], "nowhere is not a folder"),
        (["--device", "gpu"], "unknown device 'gpu'"),
    ],
)
def test_bad_arguments_of_evaluate_are_named(
    base: Path, masks: Path, tmp_path: Path, arguments: list[str], part: str
) -> None:
    is_refused(medwsss("evaluate", masks, base / "data", "--out", tmp_path / "report", *arguments), part)
    assert not (tmp_path / "report").exists()


def test_an_empty_folder_of_references_is_named(masks: Path, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    answer = medwsss("evaluate", masks, tmp_path / "truth", "--out", tmp_path / "report")
    is_refused(answer, tmp_path / "truth", "holds no label files")


def test_masks_without_any_class_are_undefined_and_not_perfect(masks: Path, tmp_path: Path) -> None:
    for path in masks.iterdir():
        saved(path, lambda old: old.with_array(0 * old.array))
    answer = medwsss("evaluate", masks, shutil.copytree(masks, tmp_path / "truth"), "--out", tmp_path / "report")
    assert answer.code == 0, answer.err
    assert pd.read_csv(tmp_path / "report" / "per_case.csv").dice.isna().all()
