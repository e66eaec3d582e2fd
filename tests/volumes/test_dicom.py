"""DICOM series as volumes: geometry, time, and errors that name files and never persons."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.dicom import IDENTITY, NAME, FakeSeries, position, write_series

from medwsss.errors import VolumeError
from medwsss.metrics.dice import volume_ml
from medwsss.volumes.dicom import is_dicom_folder, load_dicom, read_stack
from medwsss.volumes.io import load_volume, time_points

CINE = FakeSeries()


def test_voxels_lie_where_the_headers_put_them(tmp_path: Path) -> None:
    volume = load_dicom(write_series(tmp_path / "cine", CINE))
    assert volume.array.shape == (5, 6, 3, 4)
    column, row, place = 3, 2, 1
    # DICOM: first pixel + row direction · column · 1.25 mm + column direction · row · 1.5 mm, toward left and posterior
    expected = (
        position(CINE, place) + np.array([0.6, 0.8, 0.0]) * column * 1.25 + np.array([0.0, 0.0, -1.0]) * row * 1.5
    )
    index = volume.affine @ [column, row, place, 1.0]
    np.testing.assert_allclose(index[:3], expected * [-1.0, -1.0, 1.0], atol=1e-9)  # RAS counts right and anterior
    assert volume.spacing_mm == pytest.approx((1.25, 1.5, 8.0))


def test_grey_levels_are_rescaled_and_ordered_by_slice_and_trigger_time(tmp_path: Path) -> None:
    volume = load_dicom(write_series(tmp_path / "cine", FakeSeries(slope=2.0, intercept=-7.0)))
    column, place, time = np.arange(5)[:, None, None], np.arange(3)[None, :, None], np.arange(4)[None, None, :]
    np.testing.assert_array_equal(volume.array[:, 0], 2.0 * (100 * place + 10 * time + column) - 7.0)
    assert volume.array.dtype == np.float32
    assert volume.frame_spacing == pytest.approx(0.04)  # trigger times are 40 ms apart


def test_without_trigger_times_the_numbers_of_the_images_order_them(tmp_path: Path) -> None:
    def strip(image: Any, place: int, time: int) -> None:
        del image.TriggerTime
        image.InstanceNumber = 100 - 10 * place - time

    volume = load_dicom(write_series(tmp_path / "cine", CINE, change=strip))
    assert volume.array[0, 0, 0].tolist() == [30.0, 20.0, 10.0, 0.0]
    assert volume.frame_spacing == 0.0


def test_a_series_for_each_slice_is_one_stack(tmp_path: Path) -> None:
    together = load_dicom(write_series(tmp_path / "a", CINE))
    apart = load_dicom(write_series(tmp_path / "b", FakeSeries(series_per_slice=True)))
    np.testing.assert_array_equal(apart.array, together.array)
    np.testing.assert_array_equal(apart.affine, together.affine)


def test_one_time_point_is_a_still_volume_and_one_slice_takes_its_thickness(tmp_path: Path) -> None:
    assert load_dicom(write_series(tmp_path / "a", FakeSeries(frames=1))).array.shape == (5, 6, 3)
    assert load_dicom(write_series(tmp_path / "b", FakeSeries(frames=1, slices=1))).spacing_mm[2] == pytest.approx(6.0)


def test_a_volume_is_count_times_voxel_volume_on_an_oblique_grid(tmp_path: Path) -> None:
    volume = load_dicom(write_series(tmp_path / "a", FakeSeries(frames=1, row_mm=1.0 / 3.0, step_mm=7.7)))
    mask = volume.array > 100
    expected = mask.sum() * (1.0 / 3.0) * 1.25 * 7.7 / 1000.0
    assert volume_ml(mask, volume) == pytest.approx(expected, rel=1e-6)


def test_the_same_stack_as_an_independent_reader_gives(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    folder = write_series(tmp_path / "a", FakeSeries(frames=1))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image, volume = reader.Execute(), load_dicom(folder)
    for index in ((0, 0, 0), (4, 1, 2), (2, 5, 1)):
        left = np.array(image.TransformIndexToPhysicalPoint(index))
        place = np.linalg.solve(volume.affine, [*(left * [-1.0, -1.0, 1.0]), 1.0])[:3]
        assert volume.array[tuple(place.round().astype(int))] == image[index]


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", "ISO_IR 6", "no such thing"])
def test_names_in_any_characters_do_not_matter(tmp_path: Path, charset: str) -> None:
    def charsets(image: Any, place: int, time: int) -> None:
        image.PatientName = "Mueller" if charset == "ISO_IR 6" else NAME
        image.SpecificCharacterSet = "ISO_IR 192" if charset == "no such thing" else charset

    folder = write_series(tmp_path / "a", FakeSeries(frames=1), change=charsets)
    if charset == "no such thing":
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", b"ISO_XX 999"))
    assert load_dicom(folder).array.shape == (5, 6, 3)


def test_the_door_for_volumes_takes_a_folder(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "cine", CINE)
    assert is_dicom_folder(folder)
    assert not is_dicom_folder(tmp_path)
    assert time_points(folder) == 4
    np.testing.assert_array_equal(load_volume(folder).array, load_dicom(folder).array)


def _set(**values: Any) -> Callable[[Any, int, int], None]:
    def change(image: Any, place: int, time: int) -> None:
        if (place, time) == (1, 1):
            for name, value in values.items():
                setattr(image, name, value)

    return change


def _moved(place: int, time: int) -> list[float]:
    return [float(value) for value in position(CINE, place) + np.array([-0.8, 0.6, 0.0]) * (3.0 if place == 1 else 0.0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(Modality="SC"), "modality SC is no image"),
        (_set(PatientID="ID-4712"), "11 images and 1 others differ in patient or study"),
        (_set(ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), "differ in orientation"),
        (_set(PixelSpacing=[2.0, 2.0]), "differ in pixel spacing"),
        (_set(NumberOfFrames=3), "convert it to NIfTI"),
        (_set(PhotometricInterpretation="RGB"), "not grey levels"),
        (_set(ImagePositionPatient=None), "no ImagePositionPatient"),
        (_set(PixelSpacing=[0.0, 1.0]), "makes no sense"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, change: Callable[[Any, int, int], None], message: str
) -> None:
    folder = write_series(tmp_path / "cine", CINE, change=change)
    with pytest.raises(VolumeError, match=message) as caught:
        read_stack(folder)
    assert str(folder) in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (NAME, "ller", IDENTITY, "4711", "4712", "1950"))


def test_missing_double_and_uneven_slices_are_told_apart(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "gap", FakeSeries(slices=5, frames=1))
    middle = next(path for path in folder.iterdir() if read_place(path) == 2)
    middle.unlink()
    with pytest.raises(VolumeError, match="1 slice is missing between slices 1 and 2"):
        read_stack(folder)
    uneven = write_series(
        tmp_path / "uneven",
        FakeSeries(frames=1),
        change=lambda i, p, t: setattr(i, "ImagePositionPatient", _moved(p, t)),
    )
    with pytest.raises(VolumeError, match=r"unequal spacing, slices 0 and 1 are 11\.00 mm"):
        read_stack(uneven)
    copied = write_series(tmp_path / "copied", CINE)
    first = sorted(copied.iterdir())[0]
    (copied / "copy").write_bytes(first.read_bytes())
    with pytest.raises(VolumeError, match="1 of 13 files are copies"):
        read_stack(copied)
    first.unlink()
    (copied / "copy").unlink()
    with pytest.raises(VolumeError, match="1 slices have 3, 2 slices have 4 images"):
        read_stack(copied)


def read_place(path: Path) -> int:
    from fakes.dicom import read

    return round(float(read(path).pixel_array[0, 0]) // 100)


def test_damage_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="holds no DICOM file"):
        load_dicom(tmp_path)
    folder = write_series(tmp_path / "cine", FakeSeries(frames=1))
    victim = sorted(folder.iterdir())[1]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:400])
    with pytest.raises(VolumeError, match=victim.name):
        load_dicom(folder)
    victim.write_bytes(whole[:-20])
    with pytest.raises(VolumeError, match=victim.name):
        load_dicom(folder)


def test_reading_tells_no_name_even_where_headers_are_invalid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_series(tmp_path / "a", FakeSeries(frames=1))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"19500101", b"Mueller_"))  # no date of birth
    load_dicom(folder)
    assert "Mueller" not in caplog.text + "".join(capfd.readouterr())
