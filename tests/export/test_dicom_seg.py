"""A DICOM Segmentation holds the label map where the images lie, and refers to each of them."""

import builtins
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from fakes.dicom import AXIAL, OBLIQUE, PATIENT, FakeDicom, Layout, break_charset, write_dicom
from pydicom.dataset import Dataset

from medwsss.errors import MedwsssWarning, OutputError, VolumeError
from medwsss.export.dicom_seg import write_dicom_seg
from medwsss.volumes import Volume, load_label_volume, load_volume, save_volume
from medwsss.volumes.dicom import load_dicom, read_dicom_stack

NAMES = ("RV", "MYO", "LV")
STILL = FakeDicom(frames=1)


def some_labels(source: Path, classes: int = 3) -> Volume:
    """Labels of every class and background, without symmetry; slice 0 stays empty."""
    volume = load_dicom(source).frame(0)
    labels = np.random.default_rng(4).integers(0, classes + 1, volume.grid).astype(np.uint8)
    labels[:, :, 0] = 0
    return volume.with_array(labels)


def read_back(path: Path, like: Volume) -> np.ndarray:
    """Labels on the grid of ``like``, each frame set where its own position and orientation say; by pydicom alone."""
    seg = pydicom.dcmread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    row_mm, column_mm = (float(step) for step in shared.PixelMeasuresSequence[0].PixelSpacing)
    to_voxels = np.linalg.inv(like.affine)
    labels = np.zeros(like.grid, dtype=np.uint8)
    for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        segment = frame if "SegmentIdentificationSequence" in frame else shared  # shared where there is one class
        number = segment.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(pixels):
            lps = position + column * column_mm * orientation[:3] + row * row_mm * orientation[3:]
            voxel = to_voxels @ [-lps[0], -lps[1], lps[2], 1.0]
            assert np.abs(voxel - voxel.round()).max() < 1e-4
            x, y, z = voxel.round().astype(int)[:3]
            assert labels[x, y, z] == 0
            labels[x, y, z] = number
    return labels


def head_first(dataset: Dataset, z: int, t: int) -> None:
    dataset.ImagePositionPatient = [10, -20, 30 - 8 * z]
    dataset.InstanceNumber = 50 - z


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
@pytest.mark.parametrize("layout", Layout)
def test_what_is_written_is_read_back_at_the_same_places(
    orientation: tuple[float, ...], layout: Layout, tmp_path: Path
) -> None:
    source = write_dicom(tmp_path / "a", replace(STILL, orientation=orientation, layout=layout), shuffle=6)
    labels = some_labels(source)
    write_dicom_seg(labels, source, tmp_path / "out" / "seg.dcm", class_names=NAMES)
    np.testing.assert_array_equal(read_back(tmp_path / "out" / "seg.dcm", labels), labels.array)


def test_slices_stored_from_head_to_feet_are_read_back_at_the_same_places(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", STILL, edit=head_first)
    labels = some_labels(source)
    write_dicom_seg(labels, source, tmp_path / "seg.dcm", class_names=NAMES)
    np.testing.assert_array_equal(read_back(tmp_path / "seg.dcm", labels), labels.array)


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_highdicom_finds_the_same_volume(orientation: tuple[float, ...], tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", replace(STILL, orientation=orientation, slices=4))
    labels = some_labels(source)
    write_dicom_seg(labels, source, tmp_path / "seg.dcm", class_names=NAMES)
    found = hd.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    assert found.shape == (4, 5, 6)
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ found.affine
    for z, y, x in np.ndindex(found.shape):
        voxel = np.linalg.inv(labels.affine) @ to_ras @ [z, y, x, 1.0]
        assert labels.array[tuple(voxel.round().astype(int)[:3])] == found.array[z, y, x]
    assert found.spacing == pytest.approx((8.0, 1.5, 1.25), abs=1e-4)


def test_labels_that_went_through_nifti_fit(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", replace(STILL, orientation=OBLIQUE))
    labels = some_labels(source)
    save_volume(labels, tmp_path / "labels.nii.gz")
    write_dicom_seg(load_label_volume(tmp_path / "labels.nii.gz"), source, tmp_path / "seg.dcm", class_names=NAMES)
    np.testing.assert_array_equal(read_back(tmp_path / "seg.dcm", labels), labels.array)


def test_a_single_class_is_read_back_at_the_same_places(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", STILL)
    labels = some_labels(source, 1)
    write_dicom_seg(labels, source, tmp_path / "seg.dcm", class_names=["heart"])
    np.testing.assert_array_equal(read_back(tmp_path / "seg.dcm", labels), labels.array)


def test_each_frame_refers_to_the_image_of_its_slice_and_time_point(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", FakeDicom(layout=Layout.SERIES_A_SLICE), shuffle=1)
    write_dicom_seg(some_labels(source), source, tmp_path / "seg.dcm", class_names=NAMES, frame=2)
    headers = [pydicom.dcmread(files[2]) for files in read_dicom_stack(source).source_files]
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    by_position = {tuple(header.ImagePositionPatient): header.SOPInstanceUID for header in headers}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        referred = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert referred == by_position[tuple(frame.PlanePositionSequence[0].ImagePositionPatient)]
    series = {
        reference.ReferencedSOPInstanceUID: item.SeriesInstanceUID
        for item in seg.ReferencedSeriesSequence
        for reference in item.ReferencedInstanceSequence
    }
    assert series == {header.SOPInstanceUID: header.SeriesInstanceUID for header in headers}
    assert len(set(series.values())) == 3


def test_segments_say_what_they_are_and_who_made_them(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", STILL)
    names = ("LV", "rv", "Myo", "heart", "Lésion 1", "肿瘤")
    write_dicom_seg(
        some_labels(source, 6), source, tmp_path / "seg.dcm", class_names=names, series_description="Essai n° 1"
    )
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    codes = [segment.SegmentedPropertyTypeCodeSequence[0].CodeValue for segment in seg.SegmentSequence]
    assert codes == ["87878005", "53085002", "74281007", "80891009", "85756007", "85756007"]
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == list(names)
    assert {segment.SegmentAlgorithmType for segment in seg.SegmentSequence} == {"AUTOMATIC"}
    assert {segment.SegmentAlgorithmName for segment in seg.SegmentSequence} == {"medwsss"}
    assert (seg.Modality, seg.SegmentationType, seg.SeriesDescription) == ("SEG", "BINARY", "Essai n° 1")
    assert seg.SeriesNumber == 1007


@pytest.mark.parametrize(("name", "charset"), [("Müßig^Jürgen", "ISO_IR 100"), ("Иванов^山田", "ISO_IR 192")])
def test_patient_and_study_are_those_of_the_images(name: str, charset: str, tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", replace(STILL, name=name, charset=charset))
    write_dicom_seg(some_labels(source), source, tmp_path / "seg.dcm", class_names=NAMES)
    seg, image = pydicom.dcmread(tmp_path / "seg.dcm"), pydicom.dcmread(next(source.glob("*.dcm")))
    assert str(seg.PatientName) == name
    for tag in ("PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyInstanceUID", "StudyDate"):
        assert seg[tag].value == image[tag].value
    assert seg.FrameOfReferenceUID == image.FrameOfReferenceUID
    assert seg.SeriesInstanceUID != image.SeriesInstanceUID
    assert "InstitutionName" not in seg


def test_a_broken_character_set_or_a_missing_name_breaks_nothing(tmp_path: Path) -> None:
    broken = write_dicom(tmp_path / "a", replace(STILL, charset="ISO_IR 100"))
    break_charset(broken, b"\xff\xfe\x81\x1b$)Z" + b"\xe4" * (len(PATIENT) - 7))

    def anonymous(dataset: Dataset, z: int, t: int) -> None:
        for tag in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            delattr(dataset, tag)

    for source in (broken, write_dicom(tmp_path / "b", STILL, edit=anonymous)):
        labels = some_labels(source)
        write_dicom_seg(labels, source, tmp_path / "seg.dcm", class_names=NAMES)
        np.testing.assert_array_equal(read_back(tmp_path / "seg.dcm", labels), labels.array)
    assert pydicom.dcmread(tmp_path / "seg.dcm").PatientName == ""


def test_an_empty_label_map_and_a_single_slice_are_written(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", replace(STILL, slices=1))
    labels = some_labels(source)
    write_dicom_seg(labels, source, tmp_path / "seg.dcm", class_names=("LV",))
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (seg.NumberOfFrames, seg.pixel_array.any()) == (1, False)
    assert seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices == 7.0


def test_the_images_are_still_read_with_the_segmentation_beside_them(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", STILL)
    write_dicom_seg(some_labels(source), source, source / "seg.dcm", class_names=NAMES)
    with pytest.warns(MedwsssWarning, match=r"1 of 4 DICOM files .*1 Segmentation Storage"):
        np.testing.assert_array_equal(load_volume(source).array, STILL.volume())


def cropped(labels: Volume) -> Volume:
    return replace(labels, array=labels.array[1:])


def shifted(labels: Volume) -> Volume:
    affine = labels.affine.copy()
    affine[0, 3] += 1.25
    return replace(labels, affine=affine)


def undecided(labels: Volume) -> Volume:
    return labels.with_array(np.full(labels.grid, 255, np.uint8))


UNFIT: dict[str, tuple[Callable[[Volume], Volume], str]] = {
    "another grid": (cropped, r"a: images have the grid \(6, 5, 3\), labels have \(5, 5, 3\)"),
    "another place": (shifted, r"a: labels lie up to 1\.25 mm beside"),
    "undecided voxels": (undecided, r"a: labels hold \[255\], .* 1 to 3"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_labels_that_do_not_fit_are_refused_and_nothing_is_written(case: str, tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", STILL)
    change, reason = UNFIT[case]
    with pytest.raises(VolumeError, match=reason) as caught:
        write_dicom_seg(change(some_labels(source)), source, tmp_path / "seg.dcm", class_names=NAMES)
    assert PATIENT not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["", " ", "a\\b", "a\nb", "a" * 65])
def test_a_name_that_dicom_cannot_hold_is_refused(name: str, tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", STILL)
    with pytest.raises(OutputError, match="cannot be a name in DICOM"):
        write_dicom_seg(some_labels(source), source, tmp_path / "seg.dcm", class_names=("RV", "MYO", name))


def test_images_without_a_frame_of_reference_are_refused(tmp_path: Path) -> None:
    def adrift(dataset: Dataset, z: int, t: int) -> None:
        del dataset.FrameOfReferenceUID

    source = write_dicom(tmp_path / "a", STILL, edit=adrift)
    with pytest.raises(VolumeError, match=r"IM_0001\.dcm: FrameOfReferenceUID is missing"):
        write_dicom_seg(some_labels(source), source, tmp_path / "seg.dcm", class_names=NAMES)


def test_a_frame_that_the_cine_does_not_have_is_refused(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a")
    with pytest.raises(ValueError, match="between 0 and 3, not 4"):
        write_dicom_seg(some_labels(source), source, tmp_path / "seg.dcm", class_names=NAMES, frame=4)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", STILL)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*seg\.dcm: .*choose another place"):
        write_dicom_seg(some_labels(source), source, tmp_path / "file" / "seg.dcm", class_names=NAMES)


def test_without_highdicom_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a", STILL)
    labels, real = some_labels(source), builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == "highdicom":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(OutputError, match=r'pip install "medwsss\[dicom\]"'):
        write_dicom_seg(labels, source, tmp_path / "seg.dcm", class_names=NAMES)
