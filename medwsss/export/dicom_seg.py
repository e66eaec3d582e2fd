"""Label maps as DICOM Segmentation objects beside the images they were made of: the only door to highdicom."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medwsss.data.writing import written_whole
from medwsss.errors import OutputError, VolumeError
from medwsss.volumes.dicom import DicomStack, quiet
from medwsss.volumes.volume import Volume

_SNOMED = {
    "lv": ("87878005", "Left ventricle of heart"),
    "rv": ("53085002", "Right ventricle of heart"),
    "myo": ("74281007", "Myocardium"),
    "heart": ("80891009", "Heart"),
}
_ANY = ("85756007", "Tissue")
_CATEGORY = ("123037004", "Anatomical structure")


def write_dicom_seg(
    labels: Volume, source: DicomStack, path: Path, *, class_names: Sequence[str], version: str, frame: int = 0
) -> None:
    """Write one binary segmentation object with a segment for each class that is there.

    By the standard such an object names the patient and study of its images, as the images do: viewers show it with
    them by that. It is written whole or not at all.

    Args:
        labels: 3D, on the grid of ``source``: i for the i-th class.
        source: the images.
        path: of the file, usually ``.dcm``.
        class_names: of the labels 1, 2, …
        version: of medwsss, for the header.
        frame: which time point of the images was segmented, counted from 0.

    Raises:
        VolumeError: the labels are on another grid, or hold nothing.
        OutputError: highdicom is not installed, or the file cannot be written.
    """
    if labels.array.shape != source.shape:
        raise VolumeError(f"labels of shape {labels.array.shape} do not fit images of shape {source.shape}")
    if not labels.array.any():
        raise VolumeError(f"nothing was segmented for {path.name}: no DICOM-SEG is written")
    try:
        import highdicom  # noqa: F401, PLC0415  an extra, and heavy
    except ImportError:
        raise OutputError('DICOM-SEG needs highdicom: pip install "medwsss[dicom]"') from None
    with quiet():
        made = _segmentation(labels, source, class_names, version, frame)
        try:
            with written_whole(path) as temporary:
                made.save_as(temporary)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; choose another --out") from error


def _segmentation(labels: Volume, source: DicomStack, class_names: Sequence[str], version: str, frame: int) -> Any:
    import highdicom as hd  # noqa: PLC0415
    import pydicom  # noqa: PLC0415

    images = [pydicom.dcmread(files[frame], stop_before_pixels=True) for files in source.files]
    present = [label for label in range(1, len(class_names) + 1) if (labels.array == label).any()]
    numbered = np.zeros(labels.array.shape, np.uint8)
    for number, label in enumerate(present, start=1):  # segments are numbered without gaps
        numbered[labels.array == label] = number
    algorithm = hd.AlgorithmIdentificationSequence(
        name="medwsss", family=hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"), version=version
    )
    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=numbered.transpose(2, 1, 0),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _described(number, class_names[label - 1], algorithm) for number, label in enumerate(present, start=1)
        ],
        series_instance_uid=hd.UID(),
        series_number=1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="medwsss",
        manufacturer_model_name="medwsss",
        software_versions=version,
        device_serial_number="none",
        series_description="medwsss: research only, not for diagnosis",
    )


def _described(number: int, name: str, algorithm: Any) -> Any:
    import highdicom as hd  # noqa: PLC0415

    value, meaning = _SNOMED.get(name.lower(), _ANY)
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=hd.sr.CodedConcept(_CATEGORY[0], "SCT", _CATEGORY[1]),
        segmented_property_type=hd.sr.CodedConcept(value, "SCT", meaning),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
