import csv
from pathlib import Path

import numpy as np
import pytest
from fakes.studies import write_image, write_mask

from medwsss.data.discovery import find_images, write_example_table
from medwsss.errors import DatasetError, OutputError, VolumeError


def found(root: Path) -> list[tuple[str, str, str, str]]:
    """Patient, path, phase and mask of every image."""
    return [
        (
            image.patient,
            image.path.relative_to(root).as_posix(),
            image.phase,
            "" if image.mask is None else image.mask.relative_to(root).as_posix(),
        )
        for image in find_images(root)
    ]


def test_every_volume_below_the_folder_is_a_patient_but_masks_and_hidden_files(tmp_path: Path) -> None:
    for name in ("b/Scan.nii.gz", "a.nii", "c.NII.GZ", ".hidden.nii.gz", ".git/x.nii.gz", "b/Scan_seg.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    assert found(tmp_path) == [
        ("P001", "a.nii", "", ""),
        ("P002", "b/Scan.nii.gz", "", "b/Scan_seg.nii.gz"),
        ("P003", "c.NII.GZ", "", ""),
    ]


def test_files_of_one_name_but_ed_and_es_are_one_patient_with_their_masks(tmp_path: Path) -> None:
    for name in ("x_ED", "x_es", "x_ED_gt", "y_ED", "other/x_ED"):
        (tmp_path / f"{name}.nii.gz").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.nii.gz").touch()
    assert found(tmp_path) == [
        ("P001", "other/x_ED.nii.gz", "ED", ""),
        ("P002", "x_ED.nii.gz", "ED", "x_ED_gt.nii.gz"),
        ("P002", "x_es.nii.gz", "ES", ""),
        ("P003", "y_ED.nii.gz", "ED", ""),
    ]


def test_a_thousand_patients_have_names_of_one_length(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number:04d}.nii").touch()
    names = [image.patient for image in find_images(tmp_path)]
    assert (names[0], names[-1]) == ("P0001", "P1000")


@pytest.mark.parametrize(("name", "message"), [("none", "is not a folder"), ("", "holds no images")])
def test_a_folder_without_images_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "only_mask.nii.gz").touch()
    with pytest.raises(DatasetError, match=message):
        find_images(tmp_path / name)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_the_table_has_a_line_for_each_image_and_only_columns_that_say_something(tmp_path: Path) -> None:
    write_image(tmp_path / "a, b.nii.gz")
    write_image(tmp_path / "c.nii.gz")
    assert write_example_table(find_images(tmp_path), ["scar"], tmp_path / "studies.csv") == 0
    assert rows_of(tmp_path / "studies.csv") == [
        ["patient", "file", "slice", "group", "scar"],
        ["P001", "a, b.nii.gz", "", "", ""],
        ["P002", "c.nii.gz", "", "", ""],
    ]


def test_cines_get_their_phases_and_volumes_their_masks(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    write_mask(tmp_path / "a_gt.nii.gz")
    write_image(tmp_path / "b.nii.gz", times=2)
    write_mask(tmp_path / "b_gt.nii.gz")
    assert write_example_table(find_images(tmp_path), [], tmp_path / "studies.csv") == 1
    assert rows_of(tmp_path / "studies.csv") == [
        ["patient", "file", "ed", "es", "slice", "group", "mask"],
        ["P001", "a.nii.gz", "", "", "", "", "a_gt.nii.gz"],
        ["P002", "b.nii.gz", "1", "2", "", "", ""],  # of which time point the mask is, nobody says
    ]


def test_a_damaged_image_leaves_no_table(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(np.zeros(100, np.uint8).tobytes())
    with pytest.raises(VolumeError, match=r"b\.nii\.gz: damaged NIfTI file"):
        write_example_table(find_images(tmp_path), [], tmp_path / "studies.csv")
    assert not (tmp_path / "studies.csv").exists()


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose a writable folder"):
        write_example_table([], ["scar"], tmp_path / "file" / "studies.csv")
