"""Label images and their references: found by name, read and checked together."""

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from medwsss.data.image_files import read_label_image
from medwsss.data.image_set import ImageSet
from medwsss.errors import EvaluationError
from medwsss.labels import IGNORE, LabelSet
from medwsss.metrics.image_results import ImageSources
from medwsss.types import LabelMap2D


@dataclass(frozen=True)
class ImagePair:
    """A label PNG and its reference."""

    name: str
    prediction: Path
    reference: str
    """Where the reference comes from, for messages."""
    load_reference: Callable[[], LabelMap2D]


@dataclass(frozen=True)
class ImagePairing:
    """What to compare, and what has no partner."""

    pairs: tuple[ImagePair, ...]
    sources: ImageSources


def pair_images(
    predictions: Path, references: ImageSet | Path, names: Sequence[str] | None, *, part: str | None = None
) -> ImagePairing:
    """Find the reference of each prediction NAME.png.

    Args:
        predictions: folder of label PNGs.
        references: a data set, or a folder of label PNGs of the same names.
        names: every one of these must have both; without them, all that have both are compared.
        part: what the list of names is called.

    Raises:
        EvaluationError: a folder holds no PNG, a name has no prediction or no reference, or nothing has both.
    """
    found = label_files(predictions)
    folder = label_files(references) if isinstance(references, Path) else {}
    has_reference = references.has_mask if isinstance(references, ImageSet) else folder.__contains__
    if names is None:
        chosen = [name for name in found if has_reference(name)]
        if not chosen:
            raise EvaluationError(_nothing_matches(predictions, references, next(iter(found))))
    else:
        chosen = list(names)
        _require(chosen, found.__contains__, f"prediction in {predictions}")
        _require(chosen, has_reference, f"mask in {_root(references)}")
    compared = set(chosen)
    sources = ImageSources(
        predictions=str(predictions),
        references=str(_root(references)),
        part=part,
        unmatched_predictions=tuple(name for name in found if name not in compared),
        unmatched_references=() if names is not None else tuple(name for name in folder if name not in compared),
    )
    return ImagePairing(tuple(_pair(name, found[name], references) for name in chosen), sources)


def label_files(folder: Path) -> dict[str, Path]:
    """PNG files directly in a folder by their names, sorted.

    Raises:
        EvaluationError: there is no such folder, or no PNG in it.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder: pass a folder of label PNGs")
    files = {path.stem: path for path in sorted(folder.glob("*.png")) if not path.name.startswith(".")}
    if not files:
        raise EvaluationError(f"{folder} holds no label PNGs (NAME.png)")
    return files


def _pair(name: str, prediction: Path, references: ImageSet | Path) -> ImagePair:
    if isinstance(references, ImageSet):
        return ImagePair(name, prediction, f"the mask of {name} in {references.root}", partial(references.mask, name))
    path = references / f"{name}.png"
    return ImagePair(name, prediction, str(path), partial(read_label_image, path))


def _require(names: Sequence[str], there: Callable[[str], bool], what: str) -> None:
    """A score on part of a list is not the list's score."""
    missing = [name for name in names if not there(name)]
    if missing:
        raise EvaluationError(
            f"{len(missing)} of the {len(names)} images to compare have no {what}, first: {missing[0]}; "
            "add them, or name a list without them"
        )


def _nothing_matches(predictions: Path, references: ImageSet | Path, first: str) -> str:
    return (
        f"no prediction in {predictions} has the name of a mask in {_root(references)} (a prediction: {first}): "
        "rename the predictions like the images"
    )


def _root(references: ImageSet | Path) -> Path:
    return references if isinstance(references, Path) else references.root


def load_maps(pair: ImagePair) -> tuple[LabelMap2D, LabelMap2D]:
    """Prediction and reference of an image, of one size.

    Raises:
        EvaluationError: sizes differ.
        DatasetError: a file cannot be read or holds no label numbers.
    """
    prediction, reference = read_label_image(pair.prediction), pair.load_reference()
    if prediction.shape != reference.shape:
        sizes = [f"{width} x {height} pixels" for height, width in (prediction.shape, reference.shape)]
        raise EvaluationError(
            f"{pair.prediction} has {sizes[0]}, {pair.reference} has {sizes[1]}: predict at the size of the image"
        )
    return prediction, reference


def check_labels(pair: ImagePair, maps: Sequence[LabelMap2D], labels: LabelSet) -> None:
    """Refuse labels of the prediction and the reference in ``maps`` that have no class.

    Raises:
        EvaluationError: there are some; the message names the file.
    """
    for where, found in zip((pair.prediction, pair.reference), maps, strict=True):
        unknown = labels.undefined_in(found)
        if unknown:
            raise EvaluationError(
                f"{where} holds labels {reprlib.repr(unknown)}: {labels.name} has 0 to {labels.num_foreground}, "
                f"and {IGNORE} for pixels to leave out"
            )
