"""Damaged Info.cfg files, tables, splits and settings, drawn from a seed: read soundly, or refused in one line."""

import datetime
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fakes.acdc import FakePatient, write_patient
from fakes.mutations import BYTE_MUTATIONS, Mutation, accepted, drawn, mutated, with_words, within
from fakes.studies import write_studies

from medwsss.config.loading import load_config, preset_path, read_layer, to_yaml
from medwsss.data.acdc import read_study
from medwsss.data.folder_studies import folder_studies
from medwsss.data.image_labels import ImageLabels, columns_of_table, names_slices, read_image_labels, read_tag_table
from medwsss.data.sample import SliceKey
from medwsss.data.splits import read_split
from medwsss.data.study import PHASES
from medwsss.data.study_table import StudyTags, blank_columns, read_study_table, study_tags
from medwsss.errors import ConfigError, MedwsssError
from medwsss.labels import LabelSet

SEED = 7

WORDS = (
    "", " ", "0", "1", "-1", "2", "3", "3-1", "0-3", "1e999", "nan", "inf", "٣", "0" * 5000 + "1", "9" * 5000,
    "x" * 5000, "yes", "NOR", "ED", "ES", "ED: 2", "patient", "file", "slice", "frame", "ed", "es", "mask", "bag",
    "classes", "=1+1", "..", "a/b", "A1/cmr.nii.gz", "A1", "\0", "\x1b[2J", '"', '"a\nb"', "\n", "\r", "\u2028",
    "\ufeff", "é", "\udcff", "~",
)  # fmt: skip
JSON_WORDS = (
    *WORDS, "null", "true", "NaN", "1e9", "[]", "{}", "[1]", '"p1"', '"a\\nb"', '"\\ud800"', "[" * 3000,
    '{"a":' * 3000, '"hash": "a\\nb",', '"hash": [1],', '"seed": true,', '"seed": -1,', '"train"', '"held_out"',
)  # fmt: skip
YAML_WORDS = (
    *WORDS, "null", "true", ".nan", ".inf", "-.inf", "0x", "0b_", "1:2:3", "2001-99-99", "0001-01-01 00:00:00 +23:59",
    "=", "!!int ''", "!!int '-'", "!!float ''", "!!bool maybe", "!!timestamp soon", "!!binary /w==", "!!binary é",
    "!!set {a}", "!!omap [a: 1]", "!!python/name:os.system", "&a [*a]", "&a {b: *a}", "*a", "<<: {a: 1}", "<<: 3",
    "? [a]", "? {a: 1}", "{name: [1]}", "{name: null}", "{1: 2}", "[[[[1]]]]", "[" * 500, '"\\0"', '"\\ud800"',
    '"a\\nb"', "~no.one/a", "|", ">", "%", "@", "`", "- -",
)  # fmt: skip
VALUES = (
    None, True, -1, 0, 1, 3, 2**70, 10**400, 1e-300, 1e300, math.nan, math.inf, "", "1e3", "x" * 3000, "a\nb", "\0",
    "\ud800", "~no.one/a", "none", [], {}, [None], [[1]], [0.5], [-1.0, 2.0], {"name": 3}, {"name": "cam"},
    {"a\nb": 1}, {1: 2}, datetime.date(2001, 1, 1), b"\xff", {1, 2},
)  # fmt: skip
KEYS = ("name", "training", "a\nb", "\ud800", "", 1, None, math.nan, True)


def with_extreme_values(load: Callable[[bytes], Any], dump: Callable[[Any], str]) -> Mutation:
    """A mutation of a tree: an entry gets another value or key; text that is no tree any more stays as it is."""

    def change(content: bytes, rng: np.random.Generator) -> bytes:
        try:
            tree = load(content)
        except Exception:
            return content
        parts = [tree, *(tree.values() if isinstance(tree, dict) else ())]
        places = [(part, key) for part in parts if isinstance(part, dict) for key in part]
        places += [(part, index) for part in parts if isinstance(part, list) for index in range(len(part))]
        if not places:
            return content
        part, key = places[rng.integers(len(places))]
        chosen = KEYS[rng.integers(len(KEYS))] if isinstance(part, dict) and rng.random() < 0.1 else key
        part[chosen] = VALUES[rng.integers(len(VALUES))]
        return dump(tree).encode()

    return change


def outcomes(
    goods: Sequence[bytes],
    mutations: Sequence[Mutation],
    path: Path,
    read: Callable[[Path], object],
    *,
    cases: int,
    most: int = 3,
    names: Path | None = None,
) -> Counter[bool]:
    """How many damaged files are read; all others are refused as they should be, in a line that has ``names`` in it."""
    done, case = Counter[bool](), 0
    before = {*path.parent.rglob("*"), path}
    with within(60, lambda: f"seed {SEED}, case {case}"):
        for case in range(cases):
            rng = drawn(SEED, case)
            path.write_bytes(mutated(goods[case % len(goods)], rng, mutations, most=most))
            done[accepted(partial(read, path), names or path, f"seed {SEED}, case {case}") is not None] += 1
    assert set(path.parent.rglob("*")) == before
    assert min(done[False], done[True]) > cases / 20, done
    return done


WORD = with_words(WORDS, ",;\t\n: ")
TEXT_MUTATIONS: tuple[Mutation, ...] = (*BYTE_MUTATIONS, *[WORD] * len(BYTE_MUTATIONS))


# --- Info.cfg --------------------------------------------------------------------------------------------------------


def test_a_damaged_info_file_gives_two_frames_or_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "patient001"
    write_patient(folder, FakePatient(cine=True))

    def read(path: Path) -> bool | None:
        study = read_study(path.parent)
        if study is None:  # it is left out, and a warning says so
            return None
        assert tuple(study.frames) == PHASES
        assert len({frame.number for frame in study.frames.values()}) == 2
        assert all(frame.path.is_file() for frame in study.frames.values())
        assert all(value is None or math.isfinite(value) for value in (study.height_cm, study.weight_kg))
        return True

    outcomes([(folder / "Info.cfg").read_bytes()], TEXT_MUTATIONS, folder / "Info.cfg", read, cases=600)


# --- Tables ----------------------------------------------------------------------------------------------------------

TASK = LabelSet("two", ("scar", "clot"))
SLICES = tuple(SliceKey(f"P{number}", phase, index) for number in (1, 2) for phase in PHASES for index in range(3))


def tag_table(*, bags: bool, separator: str = ",") -> bytes:
    lines = [["patient", "phase", "slice", *["bag"] * bags, "scar", "clot", "remark"]]
    for row, key in enumerate(SLICES):
        lines.append(
            [key.patient, key.phase, str(key.index), *[str(row // 3)] * bags, str(row // 3 % 2), "1", "nothing"]
        )
    return "\n".join(separator.join(line) for line in lines).encode()


TAG_TABLES = (tag_table(bags=False), tag_table(bags=True), tag_table(bags=True, separator=";"))


def sound_tags(path: Path) -> ImageLabels:
    labels = read_image_labels(path, TASK, SLICES, required_keys=SLICES[:2])
    assert set(SLICES[:2]) <= set(labels.tags) <= set(SLICES)
    assert labels.array(SLICES[:2]).max() <= 1
    return labels


@pytest.mark.parametrize("read", [sound_tags, partial(read_tag_table, label_set=TASK), columns_of_table, names_slices])
def test_a_damaged_table_of_tags_is_read_soundly_or_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    outcomes(TAG_TABLES, TEXT_MUTATIONS, tmp_path / "tags.csv", read, cases=300)


STUDY_TABLE = b"patient;file;ED;es;frame;slices;Group;height_cm;weight_kg;classes;remark\n" + b"".join(
    f"A{number};A{number}/cmr.nii.gz;;;;0-2;NOR;17{number},5;70;scar, clot;nothing\n".encode() for number in range(1, 7)
)


def tags_of_studies(path: Path) -> StudyTags:
    table = read_study_table(path)
    blank_columns(table)
    tags = study_tags(table)
    assert set(tags.by_line) == {row.where for row in table.rows}
    assert all(len(seen) == len(tags.classes) and set(seen) <= {0, 1} for seen in tags.by_line.values())
    return tags


def test_a_damaged_table_of_studies_is_read_soundly_or_refused(tmp_path: Path) -> None:
    root = write_studies(tmp_path / "studies", masks=("A1",))
    goods = ((root / "studies.csv").read_bytes(), STUDY_TABLE)

    def read(path: Path) -> bool:
        studies = folder_studies(root, read_study_table(path)).studies
        assert studies
        assert all(frame.path.is_file() for study in studies for frame in study.frames.values())
        return True

    outcomes(goods, TEXT_MUTATIONS, root / "studies.csv", tags_of_studies, cases=300)
    outcomes(goods, TEXT_MUTATIONS, root / "studies.csv", read, cases=300, names=root)


# --- Splits ----------------------------------------------------------------------------------------------------------


def test_a_damaged_split_is_read_soundly_or_refused(tmp_path: Path) -> None:
    word, value = with_words(JSON_WORDS, "[]{}:, \n"), with_extreme_values(json.loads, partial(json.dumps, default=str))
    good = json.dumps({"seed": 3, "train": ["patient001", "patient002"], "held_out": ["p1", "p2"]}, indent=2).encode()

    def read(path: Path) -> bool:
        split = read_split(path)
        assert split.train
        assert split.held_out
        assert not set(split.train) & set(split.held_out)
        return True

    outcomes([good], (*BYTE_MUTATIONS, *[word] * 7, *[value] * 14), tmp_path / "split.json", read, cases=300, most=1)


# --- Settings --------------------------------------------------------------------------------------------------------


def preset(name: str) -> bytes:
    lines = preset_path("acdc", name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#")).encode()


def test_damaged_settings_are_read_soundly_or_refused(tmp_path: Path) -> None:
    word, value = with_words(YAML_WORDS, ": \n{},[]"), with_extreme_values(yaml.safe_load, yaml.safe_dump)
    mutations = (*BYTE_MUTATIONS[:3], *[word] * 3, *[value] * 12)

    def read(path: Path) -> bool:
        layer = read_layer(path)
        try:
            config = load_config([layer])
        except ConfigError as error:  # it names the setting, whichever layer it is in
            raise ConfigError(f"{path}: {error}") from None
        text = to_yaml(config)
        assert ".nan" in text or load_config([yaml.safe_load(text)]) == config
        return True

    goods = [preset(name) for name in ("unia-cpu", "cam-cpu", "unia-cine-cpu", "seeds-cpu")]
    outcomes(goods, mutations, tmp_path / "settings.yaml", read, cases=250, most=1)


# --- What such files have brought to light ---------------------------------------------------------------------------


def info(path: Path) -> object:
    return read_study(path.parent)


def settings(path: Path) -> object:
    return load_config([read_layer(path)])


FOUND: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "a frame of 5000 zeros": ("Info.cfg", info, f"ED: {'0' * 5000}1\nES: 2\n", "ED is '0000"),
    "one frame for both phases": ("Info.cfg", info, "ED: 2\nES: 02\n", "ED and ES are both frame 2"),
    "a time point of 5000 zeros": (
        "studies.csv", read_study_table, f"patient,file,frame\nA,a.nii,{'0' * 5000}1\n", "line 2: frame is '0000",
    ),
    "NUL in a file name": (
        "studies.csv", read_study_table, "patient,file\nA,a\0.nii\n", "line 2: file 'a\\x00.nii' cannot be the name",
    ),
    "a file name that no disk takes": (
        "studies.csv", read_study_table, f"patient,file\nA,{'x' * 256}\n", "line 2: file 'xxx",
    ),
    "a mask that no disk takes": (
        "studies.csv", read_study_table, f"patient,file,mask\nA,a.nii,{'a/' * 600}\n", "line 2: mask 'a/a",
    ),
    "a patient who fills the file name": (
        "studies.csv", read_study_table, f"patient,file\n{'x' * 101},a.nii\n", "line 2: patient 'xxx",
    ),
    "a split nested deeply": ("split.json", read_split, "[" * 100_000, "is not JSON"),
    "a hash of two lines": (
        "split.json", read_split, '{"train": ["a"], "held_out": ["b"], "hash": "a\\nb"}', r"not 'a\nb'",
    ),
    "a patient of two lines": (
        "split.json", read_split, '{"train": ["a\\nb"], "held_out": ["a\\nb"]}', "train must be a list of patients",
    ),
    "an empty number": ("a.yaml", read_layer, "a: !!int ''", "is not valid YAML"),
    "an empty decimal number": ("a.yaml", read_layer, "a: !!float ''", "is not valid YAML"),
    "a switch that is neither on nor off": ("a.yaml", read_layer, "a: !!bool maybe", "is not valid YAML"),
    "a day that is none": ("a.yaml", read_layer, "a: !!timestamp soon", "is not valid YAML"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_what_damaged_files_brought_to_light_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    name, read, content, part = FOUND[case]
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(MedwsssError) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ('training: {"a\\nb": 1}', "unknown setting 'training.a b'"),
        ("data: {tags: ~no.one/tags.csv}", "data.tags: there is no home folder ~no.one"),
        ('data: {split: {file: "a\\0b"}}', r"'a\x00b' cannot be the name of a file"),
        ("encoder: {arguments: {depth: !!binary /w==}}", "encoder.arguments.depth"),
        ("encoder: {arguments: {depth: 2001-01-01}}", "encoder.arguments.depth"),
        ("encoder: {arguments: &a {depth: *a}}", "its aliases multiply"),
        (f"training: {{iterations: 1{'0' * 400}}}", "training.iterations: Input should be less than 2147483648"),
        (f"training: {{seed: 1{'0' * 400}}}", "training.seed: Input should be less than 9223372036854775808"),
        ("1: 2", "1"),
    ],
)
def test_settings_that_no_run_could_keep_are_refused_in_one_line(content: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path / "a.yaml")
    assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
