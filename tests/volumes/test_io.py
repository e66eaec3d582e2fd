"""Volumes survive a round trip through files; a file that cannot be trusted is named and refused."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medwsss.errors import MedwsssWarning, OutputError, VolumeError
from medwsss.volumes import Volume, load_label_volume, load_volume, save_volume
from medwsss.volumes.io import time_points, volume_stem

OBLIQUE = np.array([[-1.2, 0.5, 2.0, -30.0], [-0.9, -1.1, 3.0, 12.5], [0.1, -0.8, 9.0, 80.0], [0.0, 0.0, 0.0, 1.0]])
ACDC_LIKE = np.diag([-1.5, -1.5, 10.0, 1.0])


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    return x, y, z


def volume_of(array: np.ndarray, affine: np.ndarray = ACDC_LIKE) -> Volume:
    return Volume(array, spacing_of(affine), affine)


def counted(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("affine", [ACDC_LIKE, OBLIQUE])
@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 1), (4, 3, 2, 5)])
@pytest.mark.parametrize("form_codes", [(1, 1), (0, 2), (1, 0)])
def test_a_saved_volume_loads_as_itself(
    suffix: str, affine: np.ndarray, shape: tuple[int, ...], form_codes: tuple[int, int], tmp_path: Path
) -> None:
    volume = replace(volume_of(counted(*shape), affine), units=("mm", "msec"), form_codes=form_codes)
    if len(shape) == 4:
        volume = replace(volume, frame_spacing=37.5)
    save_volume(volume, tmp_path / f"a{suffix}")
    again = load_volume(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, affine, atol=1e-5)
    assert again.spacing_mm == pytest.approx(volume.spacing_mm, abs=1e-5)
    assert (again.units, again.frame_spacing) == (("mm", "msec"), volume.frame_spacing)


def test_form_codes_survive_where_they_can_carry_the_affine(tmp_path: Path) -> None:
    for codes in [(1, 1), (0, 2), (1, 0), (2, 4)]:
        save_volume(replace(volume_of(counted(4, 3, 2)), form_codes=codes), tmp_path / "a.nii")
        assert load_volume(tmp_path / "a.nii").form_codes == codes
    save_volume(replace(volume_of(counted(4, 3, 2), OBLIQUE), form_codes=(1, 0)), tmp_path / "sheared.nii")
    assert load_volume(tmp_path / "sheared.nii").form_codes == (1, 1)  # a quaternion cannot shear


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint16, np.float32, np.float64])
def test_the_dtype_is_kept(dtype: type[np.generic], tmp_path: Path) -> None:
    save_volume(volume_of(counted(4, 3, 2).astype(dtype)), tmp_path / "a.nii.gz")
    assert nib.load(tmp_path / "a.nii.gz").get_data_dtype() == dtype


def test_a_mask_is_written_as_uint8(tmp_path: Path) -> None:
    save_volume(volume_of(counted(4, 3, 2) > 5), tmp_path / "a.nii.gz")
    stored = nib.load(tmp_path / "a.nii.gz")
    assert stored.get_data_dtype() == np.uint8
    assert np.asarray(stored.dataobj).sum() == 4 * 3 * 2 - 6


def test_a_dtype_outside_the_standard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float16"):
        save_volume(volume_of(counted(4, 3, 2).astype(np.float16)), tmp_path / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_equal_volumes_give_equal_bytes_under_any_name(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        save_volume(volume_of(counted(4, 3, 2)), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("affine", [np.diag([-1.5, -1.5, 10.0, 1.0]), np.diag([2.0, 2.0, 2.0, 1.0])[[2, 0, 1, 3]]])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_header_says_where_the_voxels_come_from_on_every_grid(
    tmp_path: Path, affine: np.ndarray, dtype: type
) -> None:
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0))
    save_volume(Volume(np.ones((4, 3, 2), dtype), spacing, affine), tmp_path / "a.nii.gz", description="drawn by hand")
    assert nib.load(tmp_path / "a.nii.gz").header["descrip"].item() == b"drawn by hand"
    np.testing.assert_allclose(load_volume(tmp_path / "a.nii.gz").affine, affine)


@pytest.mark.parametrize("description", ["x" * 80, "grün"])
def test_a_description_that_the_header_cannot_hold_is_refused(tmp_path: Path, description: str) -> None:
    with pytest.raises(ValueError, match="ASCII of at most 79 characters"):
        save_volume(volume_of(counted(4, 3, 2)), tmp_path / "a.nii.gz", description=description)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nii.gz"
    save_volume(volume_of(counted(4, 3, 2)), path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"a\.nii\.gz: cannot write \(No space left on device\)"):
        save_volume(volume_of(counted(4, 3, 3)), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_place_of_the_partial_file_is_not_written_through(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a.nii.gz"
    victim.write_text("whole")
    (tmp_path / f".a.nii.gz.{os.getpid()}.tmp").symlink_to(victim)
    save_volume(volume_of(counted(4, 3, 2)), path)
    assert victim.read_text() == "whole"
    assert load_volume(path).grid == (4, 3, 2)


def test_a_missing_folder_and_an_unknown_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="existing, writable folder"):
        save_volume(volume_of(counted(4, 3, 2)), tmp_path / "none" / "a.nii")
    with pytest.raises(OutputError, match="ending in"):
        save_volume(volume_of(counted(4, 3, 2)), tmp_path / "a.mha")


def test_the_intensity_scale_of_the_header_is_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 3, 2), dtype=np.int16), ACDC_LIKE)
    image.dataobj[...] = 3
    image.header.set_slope_inter(2.0, -1.0)
    nib.save(image, tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[352:] = np.full(24, 3, dtype="<i2").tobytes()
    raw[112:120] = np.array([2.0, -1.0], dtype="<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    volume = load_volume(tmp_path / "a.nii")
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, np.full((4, 3, 2), 2 * 3 - 1))


def test_trailing_axes_of_one_beyond_the_fourth_are_dropped(tmp_path: Path) -> None:
    for shape, expected in [
        ((4, 3, 2, 1), (4, 3, 2, 1)),
        ((4, 3, 1, 1), (4, 3, 1, 1)),
        ((4, 3, 2, 5, 1), (4, 3, 2, 5)),
    ]:
        nib.save(nib.Nifti1Image(counted(*shape), ACDC_LIKE), tmp_path / "a.nii")
        assert load_volume(tmp_path / "a.nii").array.shape == expected


def test_a_label_map_of_one_time_point_is_3d(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((4, 3, 2, 1), np.uint8), ACDC_LIKE), tmp_path / "a.nii")
    assert load_label_volume(tmp_path / "a.nii").array.shape == (4, 3, 2)


def test_loaded_voxels_can_be_written_to(tmp_path: Path) -> None:
    save_volume(volume_of(counted(4, 3, 2)), tmp_path / "a.nii")
    assert load_volume(tmp_path / "a.nii").array.flags.writeable


def test_nifti_2_is_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(counted(4, 3, 2), ACDC_LIKE), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(load_volume(tmp_path / "a.nii.gz").array, counted(4, 3, 2))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_itk_files_load_like_the_nifti_that_itk_writes(suffix: str, compressed: bool, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(counted(2, 3, 4))  # SimpleITK counts (z, y, x)
    image.SetSpacing((1.5, 2.0, 10.0))
    image.SetOrigin((3.0, -4.0, 5.0))
    image.SetDirection((0.6, -0.8, 0.0, 0.8, 0.6, 0.0, 0.0, 0.0, 1.0))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"), useCompression=compressed)
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    volume, nifti = load_volume(tmp_path / f"a{suffix}"), load_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.array, counted(2, 3, 4).transpose(2, 1, 0))
    np.testing.assert_allclose(volume.affine, nifti.affine, atol=1e-5)
    assert volume.spacing_mm == pytest.approx((1.5, 2.0, 10.0))


def write_with_pixdim(path: Path, affine: np.ndarray, pixdim: tuple[float, ...]) -> None:
    image = nib.Nifti1Image(counted(4, 3, 2), affine)
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    raw[80 : 80 + 4 * len(pixdim)] = np.array(pixdim, dtype="<f4").tobytes()
    path.write_bytes(raw)


def test_pixdim_is_believed_where_the_affine_is_unit_scale(tmp_path: Path) -> None:
    write_with_pixdim(tmp_path / "a.nii", np.eye(4), (1.5, 1.5, 10.0))
    with pytest.warns(MedwsssWarning, match=r"a\.nii.*1 x 1 x 1 mm .*1\.5 x 1\.5 x 10 mm .*pixdim was believed"):
        volume = load_volume(tmp_path / "a.nii")
    assert volume.spacing_mm == (1.5, 1.5, 10.0)
    np.testing.assert_array_equal(volume.affine, np.eye(4))


def test_the_contradiction_survives_a_round_trip(tmp_path: Path) -> None:
    save_volume(Volume(counted(4, 3, 2), (1.5, 1.5, 10.0), np.eye(4)), tmp_path / "a.nii")
    with pytest.warns(MedwsssWarning, match="pixdim was believed"):
        volume = load_volume(tmp_path / "a.nii")
    assert volume.spacing_mm == (1.5, 1.5, 10.0)
    np.testing.assert_array_equal(volume.affine, np.eye(4))


def test_otherwise_the_affine_is_believed(tmp_path: Path) -> None:
    write_with_pixdim(tmp_path / "a.nii", ACDC_LIKE, (1.0, 1.0, 1.0))
    with pytest.warns(MedwsssWarning, match="the affine was believed"):
        assert load_volume(tmp_path / "a.nii").spacing_mm == (1.5, 1.5, 10.0)


def test_a_difference_below_one_percent_is_silent(tmp_path: Path) -> None:
    write_with_pixdim(tmp_path / "a.nii", ACDC_LIKE, (1.51, 1.49, 10.05))
    assert load_volume(tmp_path / "a.nii").spacing_mm == (1.5, 1.5, 10.0)


def test_a_header_in_metres_is_converted_to_mm(tmp_path: Path) -> None:
    image = nib.Nifti1Image(counted(4, 3, 2), np.diag([-0.0015, -0.0015, 0.01, 1.0]))
    image.header.set_xyzt_units("meter", "sec")
    nib.save(image, tmp_path / "a.nii")
    with pytest.warns(MedwsssWarning, match="meter"):
        volume = load_volume(tmp_path / "a.nii")
    assert volume.spacing_mm == pytest.approx((1.5, 1.5, 10.0))
    np.testing.assert_allclose(volume.affine, ACDC_LIKE, atol=1e-5)
    assert volume.units == ("mm", "sec")


def test_voxels_that_are_not_finite_take_the_smallest_finite_value_and_are_counted(tmp_path: Path) -> None:
    array = counted(4, 3, 2) + 7
    array[0, 0, 0], array[1, 1, 1], array[2, 2, 0] = np.nan, np.inf, -np.inf
    save_volume(volume_of(array), tmp_path / "a.nii")
    with pytest.warns(MedwsssWarning, match=r"a\.nii: 3 of 24 voxels .* 8"):
        loaded = load_volume(tmp_path / "a.nii").array
    assert loaded[0, 0, 0] == loaded[1, 1, 1] == loaded[2, 2, 0] == 8.0  # 7 itself was overwritten


def test_labels_come_as_uint8(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 255] * 6).reshape(4, 3, 2)
    save_volume(volume_of(labels.astype(np.float64)), tmp_path / "a.nii.gz")
    volume = load_label_volume(tmp_path / "a.nii.gz")
    assert volume.array.dtype == np.uint8
    np.testing.assert_array_equal(volume.array, labels)


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, float("nan")])
def test_values_that_are_no_label_are_refused(value: float, tmp_path: Path) -> None:
    save_volume(volume_of(np.full((4, 3, 2), value)), tmp_path / "a.nii")
    with pytest.raises(VolumeError, match=r"a\.nii.*label"):
        load_label_volume(tmp_path / "a.nii")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"none\.nii: no such file"):
        load_volume(tmp_path / "none.nii")


def test_a_vector_metaimage_is_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(counted(2, 3, 4, 3), isVector=True), str(tmp_path / "a.mha"))
    with pytest.raises(VolumeError, match="several components"):
        load_volume(tmp_path / "a.mha")


def test_the_stem_has_neither_folder_nor_suffix() -> None:
    assert volume_stem("a/patient001_4d.nii.gz") == "patient001_4d"
    assert [volume_stem(f"b.c{suffix}") for suffix in (".nii", ".mha", ".nrrd", ".NII.GZ")] == ["b.c"] * 4


def test_importing_volumes_loads_neither_nibabel_nor_simpleitk_nor_torch() -> None:
    code = "import sys, medwsss.volumes; print({'nibabel', 'SimpleITK', 'torch', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.data
def test_an_acdc_volume_survives_a_round_trip(shared_data: Callable[..., Path], tmp_path: Path) -> None:
    volume = load_volume(shared_data("acdc", "training", "patient001", "patient001_frame01.nii.gz"))
    save_volume(volume, tmp_path / "a.nii.gz")
    again = load_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-5)
    assert (again.spacing_mm, again.units, again.form_codes) == (volume.spacing_mm, volume.units, volume.form_codes)


@pytest.mark.parametrize(
    ("shape", "count"), [((4, 5, 3), 1), ((4, 5, 3, 1), 1), ((4, 5, 3, 7), 7), ((4, 5, 3, 7, 1), 7)]
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_time_points_are_counted_by_the_header_alone(
    tmp_path: Path, shape: tuple[int, ...], count: int, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)), path)
    if suffix == ".nii":  # no voxel is left
        path.write_bytes(path.read_bytes()[:352])
    assert time_points(path) == count


def test_time_points_of_other_formats_are_counted_too(tmp_path: Path) -> None:
    cine = sitk.GetImageFromArray(np.zeros((6, 3, 5, 4), np.uint8), isVector=False)
    sitk.WriteImage(cine, str(tmp_path / "a.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 5, 4), np.uint8)), str(tmp_path / "b.mha"))
    assert time_points(tmp_path / "a.nrrd") == 6
    assert time_points(tmp_path / "b.mha") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nii.gz", b"", "the file is empty"),
        ("a.nii.gz", b"\x1f\x8b no deflate stream", "damaged NIfTI file"),
        ("a.nii", b"\0" * 400, "not a NIfTI file"),
        ("a.dcm", b"DICM", "unknown kind of file"),
        ("a.nii", None, "no such file"),
    ],
)
def test_time_points_of_what_is_no_volume_are_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=message):
        time_points(tmp_path / name)
