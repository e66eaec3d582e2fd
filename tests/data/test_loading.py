from pathlib import Path

import numpy as np
import pytest
from fakes.acdc import fake_patients, write_acdc

from medwsss.config.data import AcdcDataConfig, GridConfig, SplitConfig
from medwsss.data import VOLUME_SETS
from medwsss.data.acdc import reference_masks
from medwsss.data.loading import load_acdc
from medwsss.data.sample import Draw
from medwsss.data.splits import Split, write_split
from medwsss.errors import ImageLabelsError, MedwsssWarning, SplitError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_acdc(tmp_path / "data", fake_patients(5))


@pytest.fixture
def config(tmp_path: Path) -> AcdcDataConfig:
    return AcdcDataConfig(task="lv", cache_dir=tmp_path / "cache", grid=GridConfig(crop=32))


def with_split(config: AcdcDataConfig, tmp_path: Path, split: Split) -> AcdcDataConfig:
    write_split(split, tmp_path / "split.json")
    return config.model_copy(update={"split": SplitConfig(file=tmp_path / "split.json")})


def without_masks(root: Path) -> None:
    for path in reference_masks(root).values():
        path.unlink()


def test_acdc_is_found_by_name() -> None:
    assert VOLUME_SETS["acdc"] is load_acdc


def test_patients_are_split_and_tags_are_written_for_all_of_them(
    tmp_path: Path, root: Path, config: AcdcDataConfig
) -> None:
    data = load_acdc(config, root, tmp_path / "run" / "tags.csv")
    assert data.labels.names == ("LV",)
    assert len(data.split.held_out) == 1  # round(0.25 × 5)
    assert {study.patient for study in data.held_out} == set(data.split.held_out)
    assert {study.patient for study in data.training} == set(data.split.train)
    assert len((tmp_path / "run" / "tags.csv").read_text().splitlines()) == 1 + 5 * 2 * 4
    assert (data.source, data.split_source) == (f"5 patients in {root}", "drawn with seed 0, by patient")
    assert data.tags_source.startswith("derived from the reference masks")


def test_the_training_set_holds_training_patients_only(tmp_path: Path, root: Path, config: AcdcDataConfig) -> None:
    data = load_acdc(config, root, tmp_path / "tags.csv")
    slices = data.training_set()
    assert {key.patient for key in slices.keys} == set(data.split.train)
    np.testing.assert_array_equal(slices.image_labels_array[:4], [[0], [0], [1], [1]])


def test_with_a_table_no_mask_is_needed_from_the_start(tmp_path: Path, root: Path, config: AcdcDataConfig) -> None:
    load_acdc(config, root, tmp_path / "tags.csv")
    without_masks(root)
    data = load_acdc(config.model_copy(update={"tags": tmp_path / "tags.csv"}), root, tmp_path / "unused.csv")
    assert data.training_set()[Draw(2, seed=0)].image_labels.tolist() == [1.0]
    assert data.tags_source == f"table {tmp_path / 'tags.csv'}"
    assert not (tmp_path / "unused.csv").exists()


def test_held_out_patients_may_lack_rows_but_training_patients_may_not(
    tmp_path: Path, root: Path, config: AcdcDataConfig
) -> None:
    load_acdc(config, root, tmp_path / "tags.csv")
    rows = (tmp_path / "tags.csv").read_text().splitlines(keepends=True)
    (tmp_path / "part.csv").write_text("".join(row for row in rows if not row.startswith("patient005")))
    config = config.model_copy(update={"tags": tmp_path / "part.csv"})

    first_four = tuple(f"patient00{i}" for i in range(1, 5))
    kept = with_split(config, tmp_path, Split(first_four, ("patient005",), seed=0))
    assert len(load_acdc(kept, root, tmp_path / "unused.csv").training_set()) == 4 * 2 * 4

    lacking = with_split(config, tmp_path, Split(("patient005",), first_four, seed=0))
    with pytest.raises(ImageLabelsError, match=r"no row for 8 slices .* first: patient005 ED slice 0"):
        load_acdc(lacking, root, tmp_path / "unused.csv")


def test_a_split_file_replaces_the_draw(tmp_path: Path, root: Path, config: AcdcDataConfig) -> None:
    split = Split(("patient001",), tuple(f"patient00{i}" for i in range(2, 6)), seed=4)
    data = load_acdc(with_split(config, tmp_path, split), root, tmp_path / "tags.csv")
    assert data.split == split
    assert data.split_source == f"file {tmp_path / 'split.json'}, by patient"


def test_a_split_of_another_data_set_is_refused_before_anything_is_written(
    tmp_path: Path, root: Path, config: AcdcDataConfig
) -> None:
    config = with_split(config, tmp_path, Split(("patient001",), ("patient099",), seed=0))
    with pytest.raises(SplitError, match="patient099 is in the split but not in the data set"):
        load_acdc(config, root, tmp_path / "tags.csv")
    assert not (tmp_path / "tags.csv").exists()


def test_patients_that_a_split_file_leaves_out_are_counted(tmp_path: Path, root: Path, config: AcdcDataConfig) -> None:
    config = with_split(config, tmp_path, Split(("patient001",), ("patient002",), seed=0))
    with pytest.warns(MedwsssWarning, match=r"3 patients are in neither part of .*first patient003"):
        data = load_acdc(config, root, tmp_path / "tags.csv")
    assert [study.patient for study in (*data.training, *data.held_out)] == ["patient001", "patient002"]
