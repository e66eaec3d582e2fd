"""A label map as DICOM Segmentation, which viewers lay over the images that it was made from. Needs highdicom."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from medwsss.errors import OutputError, VolumeError
from medwsss.labels import BACKGROUND
from medwsss.volumes.dicom import read_dicom_stack
from medwsss.volumes.dicom_header import silent_pydicom
from medwsss.volumes.dicom_stack import DicomStack
from medwsss.volumes.volume import Volume
from medwsss.writing import written_whole

SERIES_DESCRIPTION = "medwsss segmentation"
LONGEST_TEXT = 64
"""Characters that DICOM allows in the name of a segment or series."""

_SAME_PLACE_MM = 0.05
_STRUCTURE, _TISSUE = ("123037004", "Anatomical Structure"), ("85756007", "Tissue")
_CODES: Mapping[str, tuple[str, str]] = {
    "lv": ("87878005", "Left ventricle"),
    "rv": ("53085002", "Right ventricle"),
    "myo": ("74281007", "Myocardium"),
    "heart": ("80891009", "Heart"),
}
"""SNOMED CT by class name in lower case; any other class is a tissue."""
_COLOURS = ((230, 75, 53), (77, 187, 213), (0, 160, 135), (243, 155, 127), (60, 84, 136), (145, 209, 194))

_PATIENT_AND_STUDY = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientIdentityRemoved",
    "DeidentificationMethod", "PatientAge", "PatientSize", "PatientWeight", "StudyInstanceUID", "StudyDate",
    "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber",
)  # fmt: skip
"""What the standard wants to be there, if only empty."""
_GEOMETRY = ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "SliceThickness")
_REFERENCE = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImagePositionPatient", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip


def write_dicom_seg(
    labels: Volume,
    source: Path,
    path: Path,
    *,
    class_names: Sequence[str],
    frame: int = 0,
    series_description: str = SERIES_DESCRIPTION,
) -> None:
    """Write a label map as one binary DICOM Segmentation of the images that it belongs to.

    **The file names the patient.** By the standard a segmentation carries patient and study of its images (name, id,
    birth date, sex, accession number and the like are copied from the source); without them no viewer and no archive
    could attach it. Hand it on only where the images themselves may go.

    Each class is a segment with algorithm type AUTOMATIC, also where no voxel has its label, and every slice is stored,
    also an empty one. The file appears whole or not at all.

    Args:
        labels: 3D, 0 is background and ``i`` is ``class_names[i - 1]``, on the grid of ``load_dicom(source)``.
        source: folder of the DICOM images.
        path: of the file to write.
        class_names: become the names of segments; LV, RV, MYO and heart get their SNOMED CT codes.
        frame: time point of a cine that the labels are of, counted from 0.
        series_description: shown by viewers.

    Raises:
        OutputError: highdicom is not installed, a name is no text that DICOM can hold, or the file cannot be written.
        VolumeError: the source cannot be read (see ``read_dicom_stack``), lacks a frame of reference, or the labels do
            not fit its grid or hold a number without a class.
        ValueError: ``labels`` is not 3D, or the source has no such frame.
    """
    _require_highdicom()
    for text in (*class_names, series_description):
        _check_text(text)
    stack = read_dicom_stack(source)
    if not 0 <= frame < stack.frames:
        raise ValueError(f"frame must be between 0 and {stack.frames - 1}, not {frame}")
    _check_labels(labels, stack, source, len(class_names))
    with silent_pydicom():
        images = [_source_header(files[frame]) for files in stack.source_files]
        segmentation = _segmentation(labels.array, images, stack, class_names, series_description)
        try:
            with written_whole(path) as temporary:
                segmentation.save_as(temporary)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _require_highdicom() -> None:
    try:
        import highdicom  # noqa: F401, PLC0415  an optional library
    except ImportError as error:
        raise OutputError(
            'writing DICOM segmentations needs the library highdicom: pip install "medwsss[dicom]"'
        ) from error


def _check_text(text: str) -> None:
    if not text.strip() or not text.isprintable() or "\\" in text or len(text) > LONGEST_TEXT:
        raise OutputError(
            f"{text!r} cannot be a name in DICOM: choose 1 to {LONGEST_TEXT} printable characters without a backslash"
        )


def _check_labels(labels: Volume, stack: DicomStack, source: Path, classes: int) -> None:
    if labels.array.ndim != 3:
        raise ValueError("labels must be 3D: take one frame of them first")
    if labels.grid != stack.grid:
        raise VolumeError(f"{source}: images have the grid {stack.grid}, labels have {labels.grid}; predict on them")
    corners = np.array(
        [[x, y, z, 1.0] for x in (0, stack.grid[0]) for y in (0, stack.grid[1]) for z in (0, stack.grid[2])]
    )
    apart_mm = float(np.linalg.norm(corners @ (labels.affine - stack.affine).T, axis=1).max())
    if apart_mm > _SAME_PLACE_MM:
        raise VolumeError(f"{source}: labels lie up to {apart_mm:.3g} mm beside the images; predict on them")
    unnamed = sorted(set(np.unique(labels.array).tolist()) - {BACKGROUND, *range(1, classes + 1)})
    if unnamed:
        raise VolumeError(f"{source}: labels hold {unnamed}, but classes have the numbers 1 to {classes}")


def _source_header(path: Path) -> Any:
    import pydicom  # noqa: PLC0415

    tags = ["SpecificCharacterSet", "SeriesNumber", *_PATIENT_AND_STUDY, *_GEOMETRY, *_REFERENCE]
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    if not header.get("FrameOfReferenceUID"):
        raise VolumeError(f"{path}: FrameOfReferenceUID is missing, no segmentation can refer to it; export it again")
    return header


def _segmentation(
    labels: UInt8[np.ndarray, "x y z"],
    images: Sequence[Any],
    stack: DicomStack,
    class_names: Sequence[str],
    series_description: str,
) -> Any:
    import highdicom as hd  # noqa: PLC0415
    from pydicom.valuerep import DS  # noqa: PLC0415

    first = images[0]
    row_mm, column_mm = (float(step) for step in first.PixelSpacing)
    thickness_mm = first.get("SliceThickness")
    segmentation = hd.seg.Segmentation(
        source_images=[_nameless(image, first) for image in images],
        pixel_array=np.ascontiguousarray(labels.transpose(2, 1, 0)),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(number, name) for number, name in enumerate(class_names, start=1)],
        series_instance_uid=_new_uid(),
        series_number=_series_number(first),
        sop_instance_uid=_new_uid(),
        instance_number=1,
        manufacturer="medwsss",
        manufacturer_model_name="medwsss",
        software_versions=metadata.version("medwsss"),
        device_serial_number="medwsss",
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=(row_mm, column_mm),
            slice_thickness=float(thickness_mm or stack.spacing_mm[2]),
            spacing_between_slices=stack.spacing_mm[2],
        ),
        omit_empty_frames=False,
        series_description=series_description,
        specific_character_set="ISO_IR 192",
    )
    measures = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = DS(stack.spacing_mm[2], auto_format=True)  # highdicom puts 1 for a single slice
    segmentation.ReferencedSeriesSequence = _referenced_series(images)
    _copy_patient_and_study(first, segmentation)
    return segmentation


def _segment(number: int, name: str) -> Any:
    import highdicom as hd  # noqa: PLC0415
    from pydicom.sr.codedict import codes  # noqa: PLC0415

    known = _CODES.get(name.lower())
    category, kind = (_STRUCTURE, known) if known else (_TISSUE, _TISSUE)
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=hd.sr.CodedConcept(category[0], "SCT", category[1]),
        segmented_property_type=hd.sr.CodedConcept(kind[0], "SCT", kind[1]),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="medwsss", version=metadata.version("medwsss"), family=codes.DCM.ArtificialIntelligence
        ),
        display_color=hd.color.CIELabColor.from_rgb(*_COLOURS[(number - 1) % len(_COLOURS)]),
    )


def _nameless(image: Any, first: Any) -> Any:
    """What highdicom needs to know of a source image, as of one series: it takes no other, and checks names.

    The true series come back in ``_referenced_series``, patient and study in ``_copy_patient_and_study``.
    """
    from pydicom.dataset import Dataset  # noqa: PLC0415

    nameless = Dataset()
    for tag in _EMPTY:
        setattr(nameless, tag, "")
    for tag, header in [*((tag, first) for tag in _GEOMETRY), *((tag, image) for tag in _REFERENCE)]:
        if tag in header:
            setattr(nameless, tag, header.get(tag))
    nameless.SeriesInstanceUID = first.SeriesInstanceUID
    return nameless


def _referenced_series(images: Iterable[Any]) -> list[Any]:
    from pydicom.dataset import Dataset  # noqa: PLC0415

    by_series: dict[str, list[Any]] = {}
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        by_series.setdefault(image.SeriesInstanceUID, []).append(reference)
    series = []
    for uid, references in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedInstanceSequence = uid, references
        series.append(item)
    return series


def _copy_patient_and_study(source: Any, segmentation: Any) -> None:
    """As the source has them, in UTF-8; what cannot be read there stays empty."""
    from pydicom import config  # noqa: PLC0415
    from pydicom.dataelem import DataElement  # noqa: PLC0415

    for tag in _PATIENT_AND_STUDY:
        try:
            element = source[tag]
            value = str(element.value) if element.VR == "PN" else element.value
            copied = DataElement(element.tag, element.VR, value, validation_mode=config.IGNORE)
        except Exception:  # absent, or damaged in a way that depends on its type
            continue
        segmentation.add(copied)


def _series_number(source: Any) -> int:
    """1000 above the source's own, so that it comes after all acquired series."""
    try:
        return 1000 + max(0, int(source.SeriesNumber))
    except (AttributeError, TypeError, ValueError):
        return 1000


def _new_uid() -> str:
    from pydicom.uid import generate_uid  # noqa: PLC0415

    return str(generate_uid(prefix=None))
