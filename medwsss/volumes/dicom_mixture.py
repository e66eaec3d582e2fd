"""Whether DICOM images belong to one volume, and the words that tell in what they differ. Reads no file."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from medwsss.errors import VolumeError
from medwsss.volumes.dicom_header import DicomImage

_SAME_DIRECTION = 1e-3
_SAME_SPACING_MM = 1e-4
_LISTED = 3


def refuse_mixture(images: Sequence[DicomImage], folder: Path) -> None:
    """Refuse images that are of several patients, studies, kinds or geometries.

    Raises:
        VolumeError: says in what they differ, and how many files of which series are of each kind.
    """
    first = images[0]
    aspects: tuple[tuple[str, Callable[[DicomImage], Hashable], Callable[[DicomImage], str] | None], ...] = (
        ("patient", lambda image: image.patient, None),
        ("study", lambda image: image.study, None),
        ("kind of image", lambda image: image.storage, lambda image: image.storage),
        ("size", lambda image: image.size, lambda image: f"{image.size[0]} x {image.size[1]} pixels"),
        ("pixel spacing", _nearest(images, lambda image: image.pixel_spacing_mm, _SAME_SPACING_MM), _spacing_words),
        ("orientation", _nearest(images, lambda image: image.orientation, _SAME_DIRECTION), _orientation_words),
        ("frame of reference", lambda image: image.frame_of_reference, None),
        ("ImageType", lambda image: image.image_type, None),
    )
    for name, aspect, words in aspects:
        if any(aspect(image) != aspect(first) for image in images):
            counts = _counted(images, aspect, words)
            raise VolumeError(
                f"{folder}: the files are not one volume, they differ in {name} ({counts}); "
                "keep only the files of one volume in a folder"
            )


def _nearest(
    images: Sequence[DicomImage], numbers: Callable[[DicomImage], tuple[float, ...]], tolerance: float
) -> Callable[[DicomImage], Hashable]:
    """Numbers of an image, or the first among those of all images that equal them within the tolerance."""
    kinds: list[tuple[float, ...]] = []

    def kind(image: DicomImage) -> tuple[float, ...]:
        own = numbers(image)
        return next((known for known in kinds if _alike(own, known, tolerance)), own)

    for image in images:
        if kind(image) not in kinds:
            kinds.append(numbers(image))
    return kind


def _alike(own: tuple[float, ...], other: tuple[float, ...], tolerance: float) -> bool:
    return all(abs(one - two) <= tolerance for one, two in zip(own, other, strict=True))


def _counted(
    images: Sequence[DicomImage],
    aspect: Callable[[DicomImage], Hashable],
    words: Callable[[DicomImage], str] | None,
) -> str:
    groups = Counter(aspect(image) for image in images).most_common()
    shown = []
    for value, count in groups[:_LISTED]:
        example = next(image for image in images if aspect(image) == value)
        described = f": {words(example)}" if words else ""
        shown.append(f"{files_of(count)} like {example.path.name}{of_series([example])}{described}")
    more = f", and {len(groups) - _LISTED} more kinds" if len(groups) > _LISTED else ""
    return ", ".join(shown) + more


def _spacing_words(image: DicomImage) -> str:
    return " x ".join(f"{step:.4g}" for step in image.pixel_spacing_mm) + " mm"


def _orientation_words(image: DicomImage) -> str:
    return "(" + ", ".join(f"{cosine:.3g}" for cosine in image.orientation) + ")"


def of_series(images: Sequence[DicomImage]) -> str:
    """The numbers of their series in brackets, or nothing."""
    numbers = sorted({image.series_number for image in images if image.series_number is not None})
    return f" (series {' and '.join(map(str, numbers))})" if numbers else ""


def files_of(count: int) -> str:
    """``3 files``."""
    return number_of(count, "file")


def number_of(count: int, what: str) -> str:
    """A count with its noun in singular or plural."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
