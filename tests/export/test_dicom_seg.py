"""DICOM-SEG: what was segmented comes back at the same place."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from fakes.dicom import FakeSeries, write_series

from medwsss.errors import VolumeError
from medwsss.export.dicom_seg import write_dicom_seg
from medwsss.volumes.dicom import load_dicom, read_stack
from medwsss.volumes.volume import Volume


def labelled(folder: Path) -> Volume:
    volume = load_dicom(folder).frame(0)
    labels = np.zeros(volume.grid, np.uint8)
    labels[1:3, 2:5, 0:2] = 1
    labels[4, 0, 2] = 3
    return volume.with_array(labels)


def test_segments_lie_on_the_voxels_they_were_made_of(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "cine", FakeSeries())
    labels, path = labelled(folder), tmp_path / "seg" / "case.dcm"
    write_dicom_seg(labels, read_stack(folder), path, class_names=("RV", "scar", "LV"), version="1", frame=2)
    made = pydicom.dcmread(path)
    segments = {segment.SegmentNumber: segment.SegmentLabel for segment in made.SegmentSequence}
    assert segments == {1: "RV", 2: "LV"}  # scar is nowhere
    voxels: dict[str, set[tuple[int, ...]]] = {"RV": set(), "LV": set()}
    to_index = np.linalg.inv(labels.affine)
    for pixels, group in zip(made.pixel_array, made.PerFrameFunctionalGroupsSequence, strict=True):
        name = segments[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        left = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        origin = (to_index @ [*(left * [-1.0, -1.0, 1.0]), 1.0])[:3].round().astype(int)
        for row, column in zip(*np.nonzero(pixels), strict=True):
            voxels[name].add((int(origin[0] + column), int(origin[1] + row), int(origin[2])))
    assert voxels["RV"] == set(zip(*map(np.ndarray.tolist, np.nonzero(labels.array == 1)), strict=True))
    assert voxels["LV"] == {(4, 0, 2)}


def test_it_belongs_to_patient_study_and_images_of_the_time_point(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "cine", FakeSeries())
    stack, path = read_stack(folder), tmp_path / "case.dcm"
    write_dicom_seg(labelled(folder), stack, path, class_names=("RV", "MYO", "LV"), version="1", frame=2)
    made, image = pydicom.dcmread(path), pydicom.dcmread(stack.files[0][2])
    assert (made.PatientID, made.StudyInstanceUID) == (image.PatientID, image.StudyInstanceUID)
    referenced = {item.ReferencedSOPInstanceUID for item in made.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referenced == {str(pydicom.dcmread(files[2]).SOPInstanceUID) for files in stack.files}


def test_labels_of_another_grid_and_empty_labels_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "cine", FakeSeries())
    stack, labels, path = read_stack(folder), labelled(folder), tmp_path / "case.dcm"
    wrong = Volume(labels.array[:, :, :2], labels.spacing_mm, labels.affine)
    with pytest.raises(VolumeError, match=r"do not fit images of shape \(5, 6, 3\)"):
        write_dicom_seg(wrong, stack, path, class_names=("RV", "MYO", "LV"), version="1")
    empty = labels.with_array(np.zeros_like(labels.array))
    with pytest.raises(VolumeError, match="nothing was segmented"):
        write_dicom_seg(empty, stack, path, class_names=("RV", "MYO", "LV"), version="1")
    assert not path.exists()
