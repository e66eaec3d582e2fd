"""Damaged data sets and settings, drawn from a seed, on the real command line: done, or one line and nothing left."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import Answer, is_refused, medwsss, tiny_config_file
from fakes.mutations import BYTE_MUTATIONS, drawn, mutated, with_words, within
from fakes.studies import write_studies

from medwsss.volumes.io import load_label_volume, load_volume, save_volume
from medwsss.volumes.volume import Volume

SEED = 11
WORDS = ("", "0", "-1", "1e999", ".nan", "null", "x" * 5000, "9" * 5000, "\0", '"a\\nb"', "[]", "{}", "..", "=1", "\n")
TEXT_MUTATIONS = (*BYTE_MUTATIONS, *[with_words(WORDS, ",:\n ")] * len(BYTE_MUTATIONS))
SPLIT = {"seed": 0, "train": ["patient001", "patient002"], "held_out": ["patient003"]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzzed input")
    write_acdc(folder / "acdc", fake_patients(3))
    write_studies(folder / "studies", masks=("A1",))
    tiny_config_file(folder)
    (folder / "split.json").write_text(json.dumps(SPLIT))
    return folder


@pytest.fixture
def data(base: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(base, tmp_path / "data"))


def damage(path: Path, rng: np.random.Generator) -> None:
    packed = path.name.endswith(".gz")
    path.write_bytes(mutated(path.read_bytes(), rng, BYTE_MUTATIONS if packed else TEXT_MUTATIONS))


def train(root: Path, config: Path, out: Path, *arguments: object) -> Answer:
    """As far as the weights, which come after the data and are not there."""
    return medwsss(
        "train", "--root", root, "--config", config, "--out", out, "--weights", root.parent / "none.pth", *arguments
    )


def done_or_refused(case: int, out: Path, command: str, *arguments: object) -> None:
    """Exit code 0 and what was asked for, or exit code 2, one line and nothing."""
    with within(60, lambda: f"seed {SEED}, case {case}"):
        answer = medwsss(command, *arguments)
    if answer.code != 0:
        is_refused(answer)
    assert out.exists() == (answer.code == 0), f"seed {SEED}, case {case}: {answer}"


@pytest.mark.parametrize("case", range(6))
def test_a_damaged_data_set_is_read_or_refused(data: Path, tmp_path: Path, case: int) -> None:
    rng = drawn(SEED, case)
    kinds = (["Info.cfg"], ["patient???_frame0?.nii.gz"], ["patient???_frame0?_gt.nii.gz"])
    files = sorted(path for kind in kinds[case % 3] for path in (data / "acdc").rglob(kind))
    damage(files[rng.integers(len(files))], rng)
    done_or_refused(case, tmp_path / "tags.csv", "tags", data / "acdc", "--out", tmp_path / "tags.csv")
    is_refused(train(data / "acdc", data / "tiny.yaml", tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "tags.csv"}


@pytest.mark.parametrize("case", range(4))
def test_a_damaged_table_of_studies_is_read_or_refused(data: Path, tmp_path: Path, case: int) -> None:
    damage(data / "studies" / "studies.csv", drawn(SEED, case))
    config = tiny_config_file(tmp_path, data={"name": "folder", "grid": {"crop": 32}})
    is_refused(train(data / "studies", config, tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} == {"data", "tiny.yaml"}


@pytest.mark.parametrize("case", range(4))
def test_a_damaged_split_is_read_or_refused(data: Path, tmp_path: Path, case: int) -> None:
    damage(data / "split.json", drawn(SEED, case))
    split = ("--set", f"data.split.file={data / 'split.json'}")
    is_refused(train(data / "acdc", data / "tiny.yaml", tmp_path / "out", *split))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("case", range(6))
def test_damaged_settings_are_read_or_refused(data: Path, tmp_path: Path, case: int) -> None:
    damage(data / "tiny.yaml", drawn(SEED, case))
    is_refused(train(data / "acdc", data / "tiny.yaml", tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("data.tags=~no.one/tags.csv", "data.tags: there is no home folder ~no.one"),
        ('data.split.file="a\\0b"', "cannot be the name of a file"),
        ("training.seed=!!bool maybe", "is not valid YAML"),
        ("encoder.arguments.depth=!!binary /w==", "encoder.arguments.depth"),
        ("encoder.arguments.depth=0", "has no block"),
        ("encoder.arguments={patch_size: 0, embed_dim: 8}", "a power of two as encoder.arguments.patch_size"),
        ("encoder.arguments={patch_size: 8, embed_dim: wide}", "a whole number as encoder.arguments.embed_dim"),
        ("encoder.arguments={patch_size: 8, embed_dim: 1180591620717411303424}", "a whole number as encoder.arguments"),
        ("inference.scales=[.inf]", "inference.scales.0"),
    ],
)
def test_settings_that_ended_in_a_traceback_are_refused(base: Path, tmp_path: Path, setting: str, part: str) -> None:
    stem = ("--set", "encoder.stem=convolutional", "--set", "encoder.pretrained=false")
    answer = train(base / "acdc", base / "tiny.yaml", tmp_path / "out", "--set", setting, *stem)
    is_refused(answer, part)
    assert list(tmp_path.iterdir()) == []


def test_images_of_a_single_voxel_and_of_a_single_slice_are_trained_on_and_segmented(
    data: Path, tmp_path: Path
) -> None:
    """At the smaller scale of activation maps less than a pixel would be left of them."""
    affine = np.diag([-1.5, -1.5, 10.0, 1.0])
    for number, shape in ((1, (1, 1, 1)), (2, (5, 4, 1))):
        for path in (data / "acdc" / "training" / f"patient{number:03d}").glob("*.nii.gz"):
            save_volume(Volume(np.zeros(shape, np.uint8), (1.5, 1.5, 10.0), affine), path)
    short = ("--set", "training.iterations=1", "--set", f"data.split.file={data / 'split.json'}")
    answer = medwsss(
        "train", "--root", data / "acdc", "--config", data / "tiny.yaml", "--out", tmp_path / "run", *short
    )
    assert answer.code == 0, answer.err
    voxel = data / "acdc" / "training" / "patient001" / "patient001_frame01.nii.gz"
    answer = medwsss("predict", tmp_path / "run", voxel, "--out", tmp_path / "out", "--save", "cams")
    assert answer.code == 0, answer.err
    assert load_label_volume(tmp_path / "out" / "patient001_frame01.nii.gz").array.shape == (1, 1, 1)
    assert load_volume(tmp_path / "out" / "cams" / "patient001_frame01_heart.nii.gz").array.shape == (1, 1, 1)
