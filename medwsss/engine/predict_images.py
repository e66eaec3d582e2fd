"""From photographs to label PNGs: one image or a whole split, taken up again where it was interrupted."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from medwsss.config.training import InferenceConfig
from medwsss.data.image_files import read_photograph, write_grey_image, write_label_image
from medwsss.engine.infer_images import ImageSegmentation, cam_labels, image_cams, segment_image
from medwsss.errors import DatasetError, OutputError
from medwsss.labels import LabelSet
from medwsss.methods.method import Method
from medwsss.writing import written_whole

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LABEL_SUFFIX = ".png"
MAP_FILES = {"probabilities": ".npz", "cams": ".npz", "uncertainty": ".png"}
"""Folders of the optional maps, and what their files end with."""


@dataclass(frozen=True)
class ImageItem:
    """One photograph, and what its results are called."""

    name: str
    path: Path
    image_labels: tuple[int, ...] | None = None
    """Tags where they are known and may be used."""


def photograph_items(path: Path) -> list[ImageItem]:
    """An image file, or every .jpg, .jpeg and .png of a folder, by name; subfolders and hidden files are left out.

    Raises:
        DatasetError: there is none, or two files share a name but for the ending.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist: pass image files or a folder of them")
    files = sorted(_image_files(path)) if path.is_dir() else [path]
    if not files:
        raise DatasetError(
            f"{path} holds no photograph: pass .jpg or .png files or a folder of them, or a data set with --list"
        )
    first: dict[str, Path] = {}
    for file in files:
        if first.setdefault(file.stem, file) != file:
            raise DatasetError(f"{first[file.stem]} and {file.name} would get one result: rename one of them")
    return [ImageItem(name, file) for name, file in first.items()]


def predict_image(
    method: Method,
    item: ImageItem,
    out: Path,
    *,
    inference: InferenceConfig,
    labels: LabelSet,
    device: torch.device,
    background: float,
    source: Literal["decoder", "cams"] = "decoder",
    maps: Sequence[str] = (),
) -> Path:
    """Write ``out/NAME.png``, label numbers at the size of the photograph, and the chosen maps.

    The label image is the last file to appear: where it is, the image is done. Maps are float16
    ``probabilities/NAME.npz`` (probabilities of background and classes), float16 ``cams/NAME.npz`` (only classes that
    are shown, with their ``labels``), and ``uncertainty/NAME.png`` (grey, 255 is 1). Probabilities and uncertainty are
    those of ``segment_image``, whatever the labels come from.

    Args:
        method: the trained method.
        item: the photograph.
        out: folder for the results.
        inference: scales, flips and CRF.
        labels: names of the classes.
        device: where the method is.
        background: score that activation maps must exceed in labels made from them (``method.cam.background``).
        source: what the labels come from: the method's prediction, or its activation maps alone.
        maps: any of probabilities, cams and uncertainty.

    Raises:
        DatasetError: the photograph cannot be read.
        OutputError: a file cannot be written; nothing of this image is left then.
    """
    image = read_photograph(item.path)
    tags = None if item.image_labels is None else np.array(item.image_labels, dtype=np.float32)
    results = _Results(method, image, tags, inference, device)
    numbers = results.segmentation.labels if source == "decoder" else results.cam_labels(background)
    path, others = _label_path(out, item.name), _map_paths(out, item.name)
    try:
        remove([path])
        for name in maps:
            _save_map(results, name, others[name], labels)
        write_label_image(numbers, path)
    except BaseException:  # an interruption, too: an image is there with all its maps or not at all
        with suppress(OutputError):
            remove([path, *others.values()])
        raise
    return path


def _label_path(out: Path, name: str) -> Path:
    return out / f"{name}{LABEL_SUFFIX}"


def _map_paths(out: Path, name: str) -> dict[str, Path]:
    return {folder: out / folder / f"{name}{ending}" for folder, ending in MAP_FILES.items()}


def remove(paths: Iterable[Path]) -> None:
    """Remove files; those that are not there are fine.

    Raises:
        OutputError: a file cannot be removed.
    """
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove {path}: {error.strerror}; choose another --out") from None


@dataclass(frozen=True)
class _Results:
    """What may be asked of one photograph, computed when it is."""

    method: Method
    image: UInt8[np.ndarray, "h w 3"]
    tags: Float32[np.ndarray, " cls"] | None
    inference: InferenceConfig
    device: torch.device

    @cached_property
    def segmentation(self) -> ImageSegmentation:
        return segment_image(
            self.method, self.image, inference=self.inference, device=self.device, image_labels=self.tags
        )

    @cached_property
    def cams(self) -> Float32[np.ndarray, "cls h w"]:
        return image_cams(self.method, self.image, device=self.device, image_labels=self.tags)

    def cam_labels(self, background: float) -> UInt8[np.ndarray, "h w"]:
        return cam_labels(self.image, self.cams, background=background, crf=self.inference.crf, device=self.device)


def _save_map(results: _Results, name: str, path: Path, labels: LabelSet) -> None:
    match name:
        case "probabilities":
            names = np.array(["background", *labels.names])
            _save_arrays(path, {"probabilities": results.segmentation.probs.astype(np.float16), "names": names})
        case "cams":
            write_cams(results.cams, labels, path)
        case "uncertainty":
            levels = np.rint(255 * results.segmentation.uncertainty.clip(0, 1)).astype(np.uint8)
            write_grey_image(levels, path)
        case _:
            raise ValueError(f"maps must be among {', '.join(MAP_FILES)}, not {name}")


def write_cams(cams: Float32[np.ndarray, "cls h w"], labels: LabelSet, path: Path) -> None:
    """Store activation maps as float16 .npz: only those of classes that are shown, with their labels and names.

    Raises:
        OutputError: the file cannot be written.
    """
    shown = np.flatnonzero(cams.any(axis=(1, 2)))
    numbers, names = (shown + 1).astype(np.uint8), np.array(labels.names)[shown]
    _save_arrays(path, {"cams": cams[shown].astype(np.float16), "labels": numbers, "names": names})


def _save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    try:
        with written_whole(path) as partial, partial.open("wb") as file:  # given a path, numpy would add an ending
            np.savez_compressed(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another --out") from None


def _image_files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.name.startswith(".") and entry.is_file():
                yield Path(entry.path)
