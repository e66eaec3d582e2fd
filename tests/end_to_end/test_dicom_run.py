"""From DICOM series and a table to a report, a bundle and DICOM-SEG, and no name of a person on the way."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from fakes.command_line import Answer, medwsss, tiny_config_file
from fakes.dicom import IDENTITY, FakeDicom, write_dicom

from medwsss.volumes.io import load_label_volume, load_volume, save_volume

SERIES = FakeDicom(rows=36, columns=32, frames=5, slices=4)
SECRETS = re.compile("|".join(map(re.escape, IDENTITY)).encode(), re.IGNORECASE)


def beating(image: Any, place: int, time: int, *, patient: int) -> None:
    """A bright disc that is smallest at the third time point, of another brightness for every patient."""
    rows, columns = np.mgrid[:36, :32]
    radius = (9.0, 8.0, 5.0, 6.0, 8.0)[time]
    disc = np.hypot(rows - 18, columns - 16) < radius
    image.PixelData = np.where(disc, 900 + 5 * place + patient, 100).astype("<u2").tobytes()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dicom run")
    for number in range(4):
        write_dicom(folder / "data" / f"case {number}" / "short axis", SERIES, edit=partial(beating, patient=number))
    return folder


@pytest.fixture(scope="module")
def answers(base: Path) -> list[Answer]:
    """Every command in its order."""
    data, table, run = base / "data", base / "data" / "studies.csv", base / "run"
    found = [medwsss("init", data, "--classes", "LV")]
    assert found[0].code == 0, found[0].err
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    filled = [lines[0], *(line + str(number % 2) for number, line in enumerate(lines[1:]))]
    table.write_text("\n".join(filled), encoding="utf-8")
    config = tiny_config_file(base, data={"grid": {"crop": 32}, "cache_dir": base / "cache"})
    commands: list[tuple[object, ...]] = [
        ("train", "--dataset", "folder", "--root", data, "--config", config, "--out", run, "--device", "cpu"),
        ("predict", run, data, "--out", base / "pred", "--frames", "all", "--save", "uncertainty", "--device", "cpu"),
        ("report", base / "pred", "--images", data, "--out", base / "report"),
        ("export", "bundle", run, "--out", base / "bundle"),
    ]
    for command in commands:
        found.append(medwsss(*command))
        assert found[-1].code == 0, found[-1].err
    return found


def test_the_table_names_the_time_points_of_most_and_least_blood(base: Path, answers: list[Answer]) -> None:
    header, first, *_ = (base / "data" / "studies.csv").read_text().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert (row["patient"], row["file"], row["ed"], row["es"]) == ("P001", "case 0/short axis", "1", "3")
    assert len(list((base / "data" / "slices").glob("*.png"))) == 8  # four patients, two phases


def test_labels_and_uncertainty_lie_on_the_grid_of_the_images(base: Path, answers: list[Answer]) -> None:
    image = load_volume(base / "data" / "case 1" / "short axis")
    labels = load_label_volume(base / "pred" / "P002_4d.nii.gz")
    assert labels.array.shape == image.array.shape == (32, 36, 4, 5)
    np.testing.assert_allclose(labels.affine, image.affine, atol=1e-4)
    assert load_volume(base / "pred" / "uncertainty" / "P002_4d_uncertainty.nii.gz").array.shape == image.array.shape
    assert (base / "report" / "report.html").is_file()


def test_no_name_and_no_id_is_told_anywhere(base: Path, answers: list[Answer]) -> None:
    told = "".join(answer.out + answer.err for answer in answers).encode()
    assert not SECRETS.search(told)
    written = [path for path in base.rglob("*") if path.is_file() and "short axis" not in path.parts]
    assert len(written) > 30
    leaks = [path for path in written if SECRETS.search(path.read_bytes())]
    assert leaks == []
    images = sorted((base / "data" / "case 0" / "short axis").glob("*.dcm"))
    assert SECRETS.search(images[0].read_bytes())  # it would be found


def test_dicom_seg_is_written_where_something_was_segmented(base: Path, answers: list[Answer]) -> None:
    image = load_volume(base / "data" / "case 0" / "short axis")
    labels = (image.array > 500).astype(np.uint8)
    labels[..., 3] = 0
    save_volume(image.with_array(labels), base / "pred" / "P001_4d.nii.gz")
    answer = medwsss("export", "dicom-seg", base / "pred", base / "data", "--out", base / "seg")
    assert answer.code == 0, answer.err
    written = sorted(path.name for path in (base / "seg").glob("P001*"))
    assert written == [f"P001_4d_frame0{number}.dcm" for number in (1, 2, 3, 5)]
    assert "P001_4d: nothing was segmented at time point 4" in answer.err
    made = pydicom.dcmread(base / "seg" / written[2])
    assert made.pixel_array.sum() == labels[..., 2].sum()


def test_a_folder_without_dicom_has_no_dicom_seg(base: Path, answers: list[Answer], tmp_path: Path) -> None:
    answer = medwsss("export", "dicom-seg", base / "pred", tmp_path, "--out", tmp_path / "seg")
    assert answer.code == 2
    assert "holds no DICOM study" in answer.err
