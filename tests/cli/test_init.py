from pathlib import Path

import pytest
import yaml
from fakes.command_line import medwsss
from fakes.studies import write_beating_studies, write_image, write_mask, write_table

from medwsss.cli.train import resolved_config
from medwsss.config.data import FolderDataConfig
from medwsss.data.study_table import read_study_table


def test_init_writes_a_table_pictures_with_numbers_and_settings(tmp_path: Path) -> None:
    root = tmp_path / "meine Studien"
    write_image(root / "a.nii.gz", 1)
    write_mask(root / "a_seg.nii.gz", 1)
    write_image(root / "sub" / "b.nii.gz", 2)
    answer = medwsss("init", root, "--classes", "scar, effusion")
    assert answer.code == 0, answer.err
    assert "2 images of 2 patients, 0 are cines" in answer.out
    table = read_study_table(root / "studies.csv")
    assert table.columns == ("patient", "file", "slice", "group", "mask", "scar", "effusion")
    assert [(row.patient, row.path, row.mask) for row in table.rows] == [
        ("P001", "a.nii.gz", "a_seg.nii.gz"),
        ("P002", "sub/b.nii.gz", ""),
    ]
    assert {path.name for path in (root / "slices").iterdir()} == {"P001.png", "P002.png"}
    settings = yaml.safe_load((root / "medwsss.yaml").read_text(encoding="utf-8"))
    data = settings["data"]
    assert (data["name"], data["root"], data["tags"]) == ("folder", str(root), str(root / "studies.csv"))
    assert (data["classes"], settings["method"]["name"]) == (["scar", "effusion"], "unia")
    assert f"medwsss train --config '{root / 'medwsss.yaml'}' --out RUN" in answer.out


def test_what_init_writes_is_a_configuration_that_train_reads(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    assert medwsss("init", tmp_path, "--classes", "scar").code == 0
    config = resolved_config(None, None, tmp_path / "medwsss.yaml", [], {}, cpu=True)
    shipped = resolved_config("acdc", "unia", None, [], {}, cpu=True)
    assert isinstance(config.data, FolderDataConfig)
    assert config.data.segmented.labels.names == ("scar",)
    assert (config.method, config.training, config.data.grid) == (shipped.method, shipped.training, shipped.data.grid)


def test_a_filled_table_gives_its_classes_and_is_left_alone(tmp_path: Path) -> None:
    write_image(tmp_path / "data" / "a.nii.gz")
    table = write_table(tmp_path / "own.csv", [{"patient": "X", "file": "a.nii.gz", "clot": 1, "scar": 0}])
    before = table.read_bytes()
    answer = medwsss("init", tmp_path / "data", "--tags", table)
    assert answer.code == 0, answer.err
    assert "tags clot, scar" in answer.out
    assert table.read_bytes() == before
    settings = yaml.safe_load((tmp_path / "data" / "medwsss.yaml").read_text(encoding="utf-8"))
    assert (settings["data"]["classes"], settings["data"]["tags"]) == (["clot", "scar"], str(table))
    assert [path.name for path in (tmp_path / "data" / "slices").iterdir()] == ["X.png"]
    assert not (tmp_path / "data" / "studies.csv").exists()


def test_init_goes_on_with_a_table_that_nobody_has_filled_in_and_not_over_its_settings(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    assert medwsss("init", tmp_path, "--classes", "scar,clot").code == 0
    again = medwsss("init", tmp_path)
    assert again.code == 2
    assert "medwsss.yaml is there already: edit it, or remove it to begin anew" in again.err
    (tmp_path / "medwsss.yaml").unlink()
    anew = medwsss("init", tmp_path)
    assert anew.code == 0, anew.err
    assert "tags scar, clot" in anew.out


@pytest.mark.parametrize(("classes", "method"), [("LV,MYO,RV", "seeds"), ("scar", "unia")])
def test_hearts_with_both_phases_are_taught_by_motion(tmp_path: Path, classes: str, method: str) -> None:
    root = write_beating_studies(tmp_path / "data", patients=1)
    (root / "studies.csv").unlink()
    answer = medwsss("init", root, "--classes", classes)
    assert answer.code == 0, answer.err
    assert "2 images of 1 patients" in answer.out
    assert yaml.safe_load((root / "medwsss.yaml").read_text())["method"]["name"] == method
    assert {path.name for path in (root / "slices").iterdir()} == {"P001_ED.png", "P001_ES.png"}


def test_cines_are_counted_and_their_phases_found(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", times=2)
    answer = medwsss("init", tmp_path, "--classes", "LV")
    assert answer.code == 0, answer.err
    assert "1 images of 1 patients, 1 are cines" in answer.out
    assert dict(read_study_table(tmp_path / "studies.csv").rows[0].numbers) == {"ed": 1, "es": 2}
    assert {path.name for path in (tmp_path / "slices").iterdir()} == {"P001_frame01.png", "P001_frame02.png"}
