"""A folder of DICOM files is one volume in the right place and order, or is refused without naming anyone."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from fakes.dicom import AXIAL, IDENTITY, OBLIQUE, OBLIQUE_NORMAL, PATIENT, FakeDicom, Layout, break_charset, write_dicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)

from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.volumes import load_label_volume, load_volume, save_volume
from medwsss.volumes.dicom import is_dicom_folder, load_dicom, read_dicom_stack
from medwsss.volumes.volume import Volume

STILL = FakeDicom(frames=1)


def ras(volume: Volume, x: int, y: int, z: int) -> np.ndarray:
    return (volume.affine @ [x, y, z, 1.0])[:3]


# --- where voxels lie ------------------------------------------------------------------------------------------------


def test_an_axial_stack_lies_where_its_header_says_turned_from_lps_to_ras(tmp_path: Path) -> None:
    volume = load_dicom(write_dicom(tmp_path / "a", STILL))
    assert volume.array.shape == (6, 5, 3)
    assert volume.array.dtype == np.float32
    assert (volume.spacing_mm, volume.units) == ((1.25, 1.5, 8.0), ("mm", "sec"))
    np.testing.assert_allclose(ras(volume, 0, 0, 0), (-10, 20, 30))  # LPS (10, -20, 30)
    np.testing.assert_allclose(ras(volume, 2, 0, 0), (-10 - 2 * 1.25, 20, 30))  # columns grow toward left
    np.testing.assert_allclose(ras(volume, 0, 2, 0), (-10, 20 - 2 * 1.5, 30))  # rows grow toward posterior
    np.testing.assert_allclose(ras(volume, 0, 0, 2), (-10, 20, 30 + 2 * 8))


def test_an_oblique_voxel_lies_at_the_sum_of_its_steps(tmp_path: Path) -> None:
    volume = load_dicom(write_dicom(tmp_path / "a", replace(STILL, orientation=OBLIQUE)))
    lps = (
        np.array([10.0, -20.0, 30.0])
        + 4 * 1.25 * np.array(OBLIQUE[:3])
        + 3 * 1.5 * np.array(OBLIQUE[3:])
        + 2 * 8.0 * np.array(OBLIQUE_NORMAL)
    )
    np.testing.assert_allclose(ras(volume, 4, 3, 2), lps * [-1, -1, 1], atol=1e-5)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("shuffle", [0, 5])
def test_slices_and_time_points_are_in_order_whatever_files_are_called(
    layout: Layout, shuffle: int, tmp_path: Path
) -> None:
    fake = FakeDicom(layout=layout, orientation=OBLIQUE)
    volume = load_dicom(write_dicom(tmp_path / "a", fake, shuffle=shuffle))
    np.testing.assert_array_equal(volume.array, fake.volume())
    assert volume.frame_spacing == pytest.approx(0.040)
    assert volume.array.flags.writeable


def test_slices_stored_from_head_to_feet_are_turned_to_the_normal(tmp_path: Path) -> None:
    down = write_dicom(tmp_path / "a", STILL, edit=lambda dataset, z, _: turn_over(dataset, z))
    volume = load_dicom(down)
    np.testing.assert_array_equal(volume.array, STILL.volume()[:, :, ::-1])
    np.testing.assert_allclose(ras(volume, 0, 0, 0), (-10, 20, 30 - 2 * 8))


def turn_over(dataset: Dataset, z: int) -> None:
    dataset.ImagePositionPatient = [10, -20, 30 - 8 * z]


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_voxels_and_places_agree_with_simpleitk(orientation: tuple[float, ...], tmp_path: Path) -> None:
    fake = replace(STILL, orientation=orientation, slope=0.5, intercept=-3.0, slices=4)
    folder = write_dicom(tmp_path / "a", fake, shuffle=3)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image, volume = reader.Execute(), load_dicom(folder)
    np.testing.assert_allclose(volume.array, sitk.GetArrayFromImage(image).transpose(2, 1, 0), rtol=1e-6)
    np.testing.assert_allclose(volume.spacing_mm, image.GetSpacing(), atol=1e-5)
    for voxel in [(0, 0, 0), (5, 0, 0), (0, 4, 0), (5, 4, 3)]:
        lps = np.array(image.TransformIndexToPhysicalPoint(voxel))
        np.testing.assert_allclose(ras(volume, *voxel), lps * [-1, -1, 1], atol=1e-4)


def test_the_volume_of_an_object_is_its_voxels_times_the_size_of_one(tmp_path: Path) -> None:
    volume = load_dicom(write_dicom(tmp_path / "a", replace(STILL, orientation=OBLIQUE)))
    bright = int((volume.array % 10 >= 3).sum())
    assert bright == 3 * 5 * 3  # columns 3, 4 and 5 of 5 rows in 3 slices
    ml = bright * abs(np.linalg.det(volume.affine[:3, :3])) / 1000
    assert ml == pytest.approx(45 * 1.25 * 1.5 * 8.0 / 1000, rel=1e-6)
    assert np.prod(volume.spacing_mm) == pytest.approx(1.25 * 1.5 * 8.0, rel=1e-6)


def test_it_survives_a_round_trip_through_nifti(tmp_path: Path) -> None:
    volume = load_dicom(write_dicom(tmp_path / "a", FakeDicom(orientation=OBLIQUE)))
    save_volume(volume, tmp_path / "a.nii.gz")
    again = load_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-4)
    assert again.frame_spacing == pytest.approx(volume.frame_spacing)


def test_a_single_slice_is_as_thick_as_its_header_says(tmp_path: Path) -> None:
    for frames, shape in [(1, (6, 5, 1)), (4, (6, 5, 1, 4))]:
        volume = load_dicom(write_dicom(tmp_path / f"{frames}", FakeDicom(slices=1, frames=frames)))
        assert volume.array.shape == shape
        assert volume.spacing_mm == (1.25, 1.5, 7.0)


# --- grey values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", ["MR", "CT"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (2.0, -1024.0), (0.25, 0.5), (None, 7.0)])
def test_stored_pixels_become_grey_values(
    modality: str, signed: bool, slope: float | None, intercept: float | None, tmp_path: Path
) -> None:
    fake = replace(STILL, modality=modality, signed=signed, slope=slope, intercept=intercept)
    np.testing.assert_allclose(load_dicom(write_dicom(tmp_path / "a", fake)).array, fake.volume())


def test_each_file_is_rescaled_by_its_own_header(tmp_path: Path) -> None:
    def scaled(dataset: Dataset, z: int, t: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 1 + z, 0

    volume = load_dicom(write_dicom(tmp_path / "a", STILL, edit=scaled))
    np.testing.assert_array_equal(volume.array, STILL.volume() * [1, 2, 3])


@pytest.mark.parametrize("name", ["jp2klossless", "jpeg_ls_lossless", "RLE", "bigendian", "implicit", "padded", "expb"])
@pytest.mark.parametrize("slope", [None, 2.5])
def test_compressed_files_hold_the_grey_values_of_the_plain_one(name: str, slope: float | None, tmp_path: Path) -> None:
    for folder, file in [("plain", "MR_small.dcm"), ("other", f"MR_small_{name}.dcm")]:
        dataset = pydicom.dcmread(str(get_testdata_file(file)))
        if slope is not None:
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, -7
        (tmp_path / folder).mkdir()
        dataset.save_as(tmp_path / folder / "a")
    plain, other = load_dicom(tmp_path / "plain"), load_dicom(tmp_path / "other")
    assert plain.array.max() == (2145 if slope is None else 2145 * 2.5 - 7)
    np.testing.assert_allclose(other.array, plain.array)


def test_deflated_files_are_read(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "a", STILL)
    for path in folder.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.save_as(path)
    np.testing.assert_array_equal(load_dicom(folder).array, STILL.volume())


def test_monochrome1_is_not_inverted(tmp_path: Path) -> None:
    def negative(dataset: Dataset, z: int, t: int) -> None:
        dataset.PhotometricInterpretation = "MONOCHROME1"

    volume = load_dicom(write_dicom(tmp_path / "a", STILL, edit=negative))
    np.testing.assert_array_equal(volume.array, STILL.volume())


# --- time ------------------------------------------------------------------------------------------------------------


def backwards(dataset: Dataset, z: int, t: int) -> None:
    """Everything but the trigger time counts backwards."""
    dataset.TemporalPositionIndex, dataset.TemporalPositionIdentifier = 10 - t, 10 - t
    dataset.InstanceNumber = 100 - t
    dataset.AcquisitionTime = f"10150{9 - t}.25"


def test_the_trigger_time_goes_before_anything_else(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "a", edit=backwards)
    np.testing.assert_array_equal(load_dicom(folder).array, FakeDicom().volume())
    np.testing.assert_array_equal(read_dicom_stack(folder).trigger_times_ms, [[3, 43, 83, 123]] * 3)


@pytest.mark.parametrize(
    ("absent", "seconds"),
    [
        (("TriggerTime",), 0.0),
        (("TriggerTime", "TemporalPositionIndex"), 0.0),
        (("TriggerTime", "TemporalPositionIndex", "TemporalPositionIdentifier"), 1.0),
        (("TriggerTime", "TemporalPositionIndex", "TemporalPositionIdentifier", "AcquisitionTime"), 0.0),
    ],
)
def test_without_trigger_times_the_next_clock_decides(absent: tuple[str, ...], seconds: float, tmp_path: Path) -> None:
    def without(dataset: Dataset, z: int, t: int) -> None:
        backwards(dataset, z, t)
        for tag in absent:
            delattr(dataset, tag)

    stack = read_dicom_stack(write_dicom(tmp_path / "a", edit=without))
    volume = load_dicom(tmp_path / "a")
    np.testing.assert_array_equal(volume.array, FakeDicom().volume()[..., ::-1])
    assert (stack.trigger_times_ms, stack.frame_spacing) == (None, pytest.approx(seconds))


def test_a_trigger_time_that_never_changes_is_no_clock(tmp_path: Path) -> None:
    def constant(dataset: Dataset, z: int, t: int) -> None:
        dataset.TriggerTime = 0

    volume = load_dicom(write_dicom(tmp_path / "a", edit=constant))
    np.testing.assert_array_equal(volume.array, FakeDicom().volume())
    assert volume.frame_spacing == 0.0


def test_each_slice_may_have_its_own_heart_rate(tmp_path: Path) -> None:
    def slower(dataset: Dataset, z: int, t: int) -> None:
        dataset.TriggerTime = 5 * z + (30 + z) * t

    stack = read_dicom_stack(write_dicom(tmp_path / "a", edit=slower))
    np.testing.assert_array_equal(stack.trigger_times_ms, [[0, 30, 60, 90], [5, 36, 67, 98], [10, 42, 74, 106]])
    assert stack.frame_spacing == pytest.approx(0.031)


def test_the_stack_knows_which_file_is_which_slice_and_time_point(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "a", FakeDicom(layout=Layout.NO_SUFFIX), shuffle=2)
    stack = read_dicom_stack(folder)
    assert (stack.frames, stack.grid, len(stack.source_files)) == (4, (6, 5, 3), 3)
    for z, files in enumerate(stack.source_files):
        for t, path in enumerate(files):
            np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, FakeDicom().stored(z, t))


# --- the patient -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "charset"), [("Müßig^Jürgen", "ISO_IR 100"), ("Иванов^山田", "ISO_IR 192"), ("Müller", None)]
)
def test_names_of_any_script_break_nothing(name: str, charset: str | None, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom writes what no set can hold, with a warning
        folder = write_dicom(tmp_path / "a", replace(STILL, name=name, charset=charset))
    np.testing.assert_array_equal(load_dicom(folder).array, STILL.volume())


def test_a_character_set_that_does_not_exist_breaks_nothing(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "a", replace(STILL, charset="ISO_IR 100"))
    break_charset(folder, b"\xff\xfe\x81\x1b$)Z" + b"\xe4" * (len(PATIENT) - 7))
    np.testing.assert_array_equal(load_dicom(folder).array, STILL.volume())


def test_an_empty_value_of_a_damaged_kind_breaks_nothing(tmp_path: Path) -> None:
    def without_reference(dataset: Dataset, z: int, t: int) -> None:
        dataset.FrameOfReferenceUID = ""

    folder = write_dicom(tmp_path / "a", STILL, edit=without_reference)
    rewritten(1, renamed(b"\x20\x00\x52\x00UI", b"\x20\x00\x52\x00U?"))(folder)
    np.testing.assert_array_equal(load_dicom(folder).array, STILL.volume())


def test_nothing_of_the_patient_is_in_what_is_returned(tmp_path: Path) -> None:
    stack, volume = read_dicom_stack(write_dicom(tmp_path / "a")), load_dicom(tmp_path / "a")
    shown = repr(stack) + repr(volume) + repr(vars(stack)) + repr(vars(volume))
    assert not [word for word in IDENTITY if word in shown]


# --- which folders ---------------------------------------------------------------------------------------------------


def test_a_folder_is_dicom_by_its_content_not_by_names(tmp_path: Path) -> None:
    assert is_dicom_folder(write_dicom(tmp_path / "a", FakeDicom(layout=Layout.NO_SUFFIX)))
    (tmp_path / "b" / "sub").mkdir(parents=True)
    (tmp_path / "b" / "text.dcm").write_text("no DICOM")
    for name in ("DICOMDIR", ".hidden", "sub/image"):
        (tmp_path / "b" / name).write_bytes(bytes(128) + b"DICM")
    assert not is_dicom_folder(tmp_path / "b")
    assert not is_dicom_folder(tmp_path / "none")
    assert not is_dicom_folder(tmp_path / "b" / "text.dcm")


def test_load_volume_reads_a_folder(tmp_path: Path) -> None:
    volume = load_volume(write_dicom(tmp_path / "a"))
    np.testing.assert_array_equal(volume.array, FakeDicom().volume())


def test_labels_are_not_read_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="unknown kind"):
        load_label_volume(write_dicom(tmp_path / "a"))


def test_objects_that_are_no_image_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "a", STILL)
    write_dicom(folder, replace(STILL, slices=2, layout=Layout.NO_SUFFIX), edit=stored_as(SegmentationStorage))
    with pytest.warns(MedwsssWarning, match=r"a: 2 of 5 DICOM files hold no MR .*2 Segmentation Storage.*left out"):
        volume = load_dicom(folder)
    np.testing.assert_array_equal(volume.array, STILL.volume())


def test_importing_volumes_loads_no_reader() -> None:
    code = "import sys, medwsss.volumes.dicom; print({'pydicom', 'SimpleITK', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- refusals --------------------------------------------------------------------------------------------------------


def stored_as(storage: str) -> Callable[[Dataset, int, int], None]:
    def edit(dataset: Dataset, z: int, t: int) -> None:
        dataset.SOPClassUID = storage

    return edit


def at(z: int | None = None, t: int | None = None, **values: object) -> Callable[[Dataset, int, int], None]:
    """Give the images of a slice and time point other header values; None takes a tag away."""

    def edit(dataset: Dataset, own_z: int, own_t: int) -> None:
        if z in (None, own_z) and t in (None, own_t):
            for tag, value in values.items():
                if value is None:
                    delattr(dataset, tag)
                else:
                    setattr(dataset, tag, value)

    return edit


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("IM*"))


def delete(*numbers: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for number in numbers:
            (folder / f"IM_{number:04d}.dcm").unlink()

    return change


def second_series(**values: object) -> Callable[[Path], None]:
    """Another series in the same folder, of the same patient and study unless given."""

    def change(folder: Path) -> None:
        known = pydicom.dcmread(files(folder)[0])

        def edit(dataset: Dataset, z: int, t: int) -> None:
            for tag in ("StudyInstanceUID", "FrameOfReferenceUID"):
                setattr(dataset, tag, getattr(known, tag))
            dataset.SeriesNumber = 8
            at(**values)(dataset, z, t)

        write_dicom(folder, FakeDicom(layout=Layout.NO_SUFFIX), edit=edit)

    return change


def rewritten(number: int, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / f"IM_{number:04d}.dcm"
        path.write_bytes(change(path.read_bytes()))

    return apply


def nothing(folder: Path) -> None: ...


def empty(folder: Path) -> None:
    for path in files(folder):
        path.unlink()


def copy_twice(folder: Path) -> None:
    copyfile(folder / "IM_0005.dcm", folder / "copy of 5")


def repeated(folder: Path) -> None:
    """The same image of the same time, stored again under another instance."""
    dataset = pydicom.dcmread(folder / "IM_0005.dcm")
    dataset.SOPInstanceUID, dataset.InstanceNumber = generate_uid(), 99
    dataset.save_as(folder / "again")


def compressed_negative(folder: Path) -> None:
    empty(folder)
    dataset = pydicom.dcmread(str(get_testdata_file("MR_small_jp2klossless.dcm")))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(folder / "IM_0001.dcm")


def compressed_damage(folder: Path) -> None:
    empty(folder)
    dataset = pydicom.dcmread(str(get_testdata_file("MR_small_jp2klossless.dcm")))
    dataset.PixelData = dataset.PixelData[:20] + b"\x17" * (len(dataset.PixelData) - 20)
    dataset.save_as(folder / "IM_0001.dcm")


def renamed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(old, new)


TILT = {"ImagePositionPatient": [10, -18, 46]}
REFUSALS: dict[str, tuple[Callable[[Dataset, int, int], None] | None, Callable[[Path], None], str]] = {
    "no DICOM": (None, empty, r"a: no DICOM file; pass the folder that itself holds"),
    "no image": (stored_as(SecondaryCaptureImageStorage), nothing, r"a: no MR or CT image .*12 Secondary Capture"),
    "unknown kind": (stored_as("1.2.3.4"), nothing, r"a: no MR or CT image .*12 of an unknown kind"),
    "enhanced": (stored_as(EnhancedMRImageStorage), nothing, r"IM_0001\.dcm: several frames .*dcm2niix"),
    "frames in a file": (at(NumberOfFrames=2), nothing, r"IM_0001\.dcm: several frames .*dcm2niix"),
    "colour": (at(PhotometricInterpretation="RGB"), nothing, r"IM_0001\.dcm: pixels are RGB, not grey"),
    "unknown colour": (at(PhotometricInterpretation="ERIKA"), nothing, r"IM_0001\.dcm: pixels are of an unknown Photo"),
    "other patient": (None, second_series(PatientID="PAT-9999"), r"a: .*differ in patient \(12 files .*12 files"),
    "other study": (None, second_series(StudyInstanceUID="1.2.3"), r"a: .*differ in study \(12 files .*12 files"),
    "two kinds": (at(1, SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), nothing, r"8 files .*: MR Image.*4 files .*: CT"),
    "other size": (at(1, Rows=6), nothing, r"a: .*size \(8 files .*: 5 x 6 pixels, 4 files .*: 6 x 6 pixels"),
    "other spacing": (
        at(2, PixelSpacing=[1.5, 1.3]), nothing,
        r"a: .*pixel spacing \(8 files like IM_0001.*: 1\.5 x 1\.25 mm, 4 files like IM_0009.*: 1\.5 x 1\.3 mm",
    ),
    "other orientation": (
        None, second_series(ImageOrientationPatient=list(OBLIQUE)),
        r"a: .*orientation \(12 files like I\w+.* \(series [78]\): .*12 files like I\w+.*keep only",
    ),
    "other reference": (at(0, FrameOfReferenceUID="1.2.3"), nothing, r"differ in frame of reference \(8 files"),
    "phase images": (at(t=1, ImageType=["ORIGINAL", "PRIMARY", "P"]), nothing, r"differ in ImageType \(9 .* 3 files"),
    "two series": (None, second_series(), r"a: 3 of 3 slice positions have images of several .*\(series 7 and 8\)"),
    "a copy": (None, copy_twice, r"a: IM_0005\.dcm and copy of 5 are the same image twice"),
    "the same time": (None, repeated, r"a: IM_0005\.dcm and again show the same slice .*\(TriggerTime 3\)"),
    "nothing tells the time": (
        at(TriggerTime=None, InstanceNumber=None), nothing, r"a: 4 files show the same slice, such as IM_0001",
    ),
    "a missing time point": (
        None, delete(7),
        r"a: slices have different numbers of time points: 2 slices with 4 images, 1 slice with 3 images "
        r"\(slice 2 of 3, at IM_0005\.dcm, differs\)",
    ),
    "a shifted slice": (at(2, **TILT), nothing, r"a: IM_0009\.dcm lies 2 mm beside the line through IM_0008\.dcm"),
    "a shifted time point": (
        at(1, 3, ImagePositionPatient=[11, -20, 38]), nothing, r"a: IM_0008\.dcm lies 1 mm beside the line",
    ),
    "no position": (at(1, ImagePositionPatient=None), nothing, r"IM_0005\.dcm: ImagePositionPatient is missing"),
    "no orientation": (at(ImageOrientationPatient=None), nothing, r"IM_0001\.dcm: ImageOrientationPatient is missing"),
    "no spacing": (at(PixelSpacing=None), nothing, r"IM_0001\.dcm: PixelSpacing is missing"),
    "no rows": (at(Rows=None), nothing, r"IM_0001\.dcm: Rows is missing"),
    "no series": (at(SeriesInstanceUID=""), nothing, r"IM_0001\.dcm: SeriesInstanceUID is missing"),
    "no instance": (None, rewritten(1, renamed(b"\x08\x00\x18\x00UI", b"\x08\x00\x17\x00UI")), "SOPInstanceUID"),
    "a spacing of zero": (at(PixelSpacing=[0, 1]), nothing, r"IM_0001\.dcm: .*must be positive"),
    "no right angle": (at(ImageOrientationPatient=[1, 0, 0, 0.6, 0.8, 0]), nothing, r"IM_0001\.dcm: .*perpendicular"),
    "two numbers of three": (at(ImagePositionPatient=[1, 2]), nothing, r"dcm: ImagePositionPatient .*cannot be"),
    "words for numbers": (
        None, rewritten(2, renamed(b"1.5\\1.25", b"ERIKA\\xx")), r"IM_0002\.dcm: PixelSpacing is missing or cannot be",
    ),
    "truncated pixels": (None, rewritten(3, lambda content: content[:-9]), r"IM_0003\.dcm: damaged or truncated"),
    "truncated header": (None, rewritten(3, lambda content: content[:700]), r"IM_0003\.dcm: "),
    "only the mark": (None, rewritten(3, lambda content: content[:132]), r"IM_0003\.dcm: "),
    "noise": (None, rewritten(3, lambda content: content[:140] + bytes(range(256)) * 9), r"IM_0003\.dcm: "),
    "compressed negative": (None, compressed_negative, r"IM_0001\.dcm: compressed MONOCHROME1 .*dcm2niix"),
    "compressed damage": (None, compressed_damage, r"IM_0001\.dcm: pixels cannot be decoded \(JPEG 2000"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_line_that_names_the_place_and_nobody(case: str, tmp_path: Path) -> None:
    edit, change, reason = REFUSALS[case]
    change(write_dicom(tmp_path / "a", edit=edit))
    with pytest.raises(VolumeError, match=reason) as caught:
        load_dicom(tmp_path / "a")
    told = str(caught.value)
    assert "\n" not in told
    assert "/a" in told
    assert not [word for word in (*IDENTITY, "PAT-9999", "ERIKA") if word.lower() in told.lower()]


STACK = FakeDicom(slices=5, frames=2)


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ((2,), r"a slice is missing between slice 2 \(IM_0003\.dcm\) and slice 3 \(IM_0007\.dcm\) of 4: 16 mm apart"),
        (
            (1, 2),
            r"2 slices are missing between slice 1 \(IM_0001\.dcm\) and slice 2 \(IM_0007\.dcm\) of 3: 24 mm apart",
        ),
    ],
)
def test_a_missing_slice_is_named_by_its_neighbours(
    missing: tuple[int, ...], told: str, orientation: tuple[float, ...], tmp_path: Path
) -> None:
    folder = write_dicom(tmp_path / "a", replace(STACK, orientation=orientation))
    delete(*(2 * z + t for z in missing for t in (1, 2)))(folder)
    with pytest.raises(VolumeError, match=rf"a: {told} where others are 8 mm"):
        load_dicom(folder)


def moved(by_mm: float) -> Callable[[Dataset, int, int], None]:
    return at(3, ImagePositionPatient=[10, -20, 30 + 3 * 8 + by_mm])


def test_unequal_spacing_is_refused_and_rounding_is_not(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"a: unequal slice spacing: .* mm between slice [34] \(IM_000[57]\.dcm\)"):
        load_dicom(write_dicom(tmp_path / "a", STACK, edit=moved(1.5)))
    volume = load_dicom(write_dicom(tmp_path / "b", STACK, edit=moved(0.1)))  # 2 % of 8 mm is 0.16 mm
    assert volume.spacing_mm[2] == pytest.approx(8.0)


@pytest.mark.parametrize("thickness", [None, 0])
def test_a_single_slice_without_thickness_is_refused(thickness: float | None, tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "a", FakeDicom(slices=1), edit=at(SliceThickness=thickness))
    with pytest.raises(VolumeError, match=r"IM_0001\.dcm: a single slice needs SliceThickness"):
        load_dicom(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="none: no such folder"):
        load_dicom(tmp_path / "none")


def test_a_damaged_compressed_file_prints_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    compressed_damage(tmp_path / "a")
    with pytest.raises(VolumeError):
        load_dicom(tmp_path / "a")
    assert PATIENT not in "".join(capfd.readouterr())
