"""Training sets with stored pseudo-labels: slices or photographs, each with its labels and their weights."""

import reprlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from medwsss.data.image_files import photograph_size, read_label_image
from medwsss.data.loading import VolumeData
from medwsss.data.photograph_transforms import LEVELS, PhotographTransform
from medwsss.data.photographs import PhotographData, PhotographSet
from medwsss.data.prepared import PreparedData
from medwsss.data.pseudo_folder import PseudoFolder, open_pseudo_folder
from medwsss.data.sample import Draw, Sample, TrainingSet
from medwsss.data.slices import SliceDataset
from medwsss.data.study import AFFINE_TOLERANCE, Frame, case_id, case_ids, load_frame
from medwsss.data.transforms import TrainingTransform, working_labels
from medwsss.errors import DatasetError, MedwsssWarning
from medwsss.labels import IGNORE, LabelSet
from medwsss.volumes.io import load_label_volume, load_volume
from medwsss.volumes.volume import Volume

ADVICE = "make the pseudo-labels of this data set again"


def pseudo_training_set(data: PreparedData, root: Path) -> TrainingSet:
    """The training part of a data set with the pseudo-labels in the folder ``root``.

    Every file is there and of the right size when this returns. Volumes are read here and stay in memory;
    photographs' labels are decoded when asked for, and refused then if they hold undefined numbers.

    Raises:
        DatasetError: the folder is incomplete or of another data set or split, a map has another size than its image,
            or a volume holds undefined labels or weights outside 0 to 1.
        VolumeError: a volume cannot be read.
    """
    match data:
        case VolumeData():
            names = case_ids(data.training)
            return PseudoSliceSet(data, _opened(root, data, data.config.name, names))
        case PhotographData():
            return PseudoPhotographSet(data, _opened(root, data, data.config.name, data.split.train))
        case _:
            raise TypeError(f"data must be volumes or photographs, not {type(data).__name__}")


@dataclass(frozen=True)
class PseudoMaps:
    """The labels of an image, and how far to trust them."""

    labels: UInt8[np.ndarray, "*grid"]
    """0 background, i for the i-th class, 255 for none."""
    weights: Float32[np.ndarray, "*grid"]
    """In [0, 1]."""

    def of_slice(self, index: int) -> "PseudoMaps":
        """One slice of stacks."""
        return PseudoMaps(self.labels[index], self.weights[index])

    def moved(
        self, transform: TrainingTransform | PhotographTransform, seed: int
    ) -> tuple[Int64[Tensor, "h w"], Float32[Tensor, "h w"]]:
        """Labels and weights moved like their image; 255 with weight 0 comes in where there is no image.

        Labels count from 1 on the way, 255 being 0 as uint8 wraps, so that the 0 of empty pixels means 255.
        """
        counted = np.stack([self.labels + np.uint8(1), self.weights]).astype(np.float32)
        labels, weights = transform.moved(counted, seed)
        return (labels.byte() - 1).long(), weights


class PseudoSliceSet(SliceDataset):
    """The slices of the training patients with pseudo-labels, on the working grid by nearest neighbour."""

    def __init__(self, data: VolumeData, folder: PseudoFolder) -> None:
        """All maps of the training patients are read here; see ``pseudo_training_set`` for what is raised."""
        super().__init__(data.training, data.image_labels, data.config, data.cache)
        self._maps = training_maps(data, folder)

    def __getitem__(self, draw: Draw) -> Sample:
        """One augmented slice, with labels that went along."""
        key = self.keys[draw.index]
        maps = self._maps[key.patient, key.phase].of_slice(key.index)
        return _labelled(super().__getitem__(draw), maps, self._transform, draw.seed)


class PseudoPhotographSet(PhotographSet):
    """The photographs of the training list with pseudo-labels, which are decoded when asked for."""

    def __init__(self, data: PhotographData, folder: PseudoFolder) -> None:
        """Only the sizes of the maps are read here.

        Raises:
            DatasetError: a map has another size than its photograph, or is no image.
        """
        paths = {name: data.image_set.image_path(name) for name in data.split.train}
        super().__init__(paths, data.image_labels, data.config)
        self._folder = folder
        self._label_set = data.labels
        _check_sizes(paths, folder)

    def __getitem__(self, draw: Draw) -> Sample:
        """One augmented photograph, with labels that went along.

        Raises:
            DatasetError: a file is missing or damaged, or labels hold undefined numbers.
        """
        name = self.keys[draw.index].patient
        source = self._folder.labels_file(name)
        labels = read_label_image(source)
        _check_defined(labels, self._label_set, source)
        weights = read_label_image(self._folder.weights_file(name)) / np.float32(LEVELS)
        return _labelled(super().__getitem__(draw), PseudoMaps(labels, weights), self._transform, draw.seed)


def _opened(root: Path, data: PreparedData, dataset: str, names: tuple[str, ...]) -> PseudoFolder:
    return open_pseudo_folder(root, dataset=dataset, label_set=data.labels, split_hash=data.split.hash, names=names)


def _labelled(
    sample: Sample, maps: PseudoMaps, transform: TrainingTransform | PhotographTransform, seed: int
) -> Sample:
    """The sample with its labels moved like its image."""
    labels, weights = maps.moved(transform, seed)
    return replace(sample, labels=labels, label_weights=weights)


def training_maps(data: VolumeData, folder: PseudoFolder) -> dict[tuple[str, str], PseudoMaps]:
    """All maps of the training patients by patient and phase, as stacks of their working slices.

    Raises:
        DatasetError: a map has another grid than its frame, or holds undefined labels or weights outside 0 to 1.
        VolumeError: a file cannot be read.
    """
    return {
        (study.patient, phase): _case_maps(
            folder,
            case_id(study, phase),
            study.frames[phase],
            data.labels,
            data.cache.stack(study.frames[phase], data.config.grid).shape,
        )
        for study in data.training
        for phase in study.frames
    }


def _case_maps(
    folder: PseudoFolder, case: str, frame: Frame, label_set: LabelSet, working: tuple[int, ...]
) -> PseudoMaps:
    """The maps of one frame as stacks of the shape ``working`` of its working slices."""
    labels_file, weights_file = folder.labels_file(case), folder.weights_file(case)
    labels, weights = load_label_volume(labels_file), load_volume(weights_file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MedwsssWarning)  # the slice cache has told what is wrong with the frame
        image = load_frame(frame)
    _check_grid(labels, labels_file, image)
    _check_grid(weights, weights_file, image)
    _check_defined(labels.array, label_set, labels_file)
    low, high = float(weights.array.min()), float(weights.array.max())
    if low < 0 or high > 1:
        raise DatasetError(f"{weights_file} holds weights from {low:g} to {high:g}, not 0 to 1: {ADVICE}")
    size = working[1], working[2]
    return PseudoMaps(working_labels(labels, size), working_labels(weights, size))


def _check_grid(maps: Volume, source: Path, image: Volume) -> None:
    if maps.array.shape != image.grid:
        raise DatasetError(f"{source} has shape {maps.array.shape}, its frame has {image.grid}: {ADVICE}")
    if not np.allclose(maps.affine, image.affine, rtol=0.0, atol=AFFINE_TOLERANCE):
        raise DatasetError(f"{source} has another affine than its frame: {ADVICE}")


def _check_sizes(paths: Mapping[str, Path], folder: PseudoFolder) -> None:
    """From the headers; no pixel is decoded."""
    for name, path in paths.items():
        size = photograph_size(path)
        for source in (folder.labels_file(name), folder.weights_file(name)):
            found = photograph_size(source)
            if found != size:
                sizes = [f"{width} x {height}" for height, width in (found, size)]
                raise DatasetError(f"{source} is {sizes[0]} pixels, its image {path} is {sizes[1]}: {ADVICE}")


def _check_defined(labels: UInt8[np.ndarray, "*grid"], label_set: LabelSet, source: Path) -> None:
    wrong = label_set.undefined_in(labels)
    if wrong:
        defined = f"0 to {label_set.num_foreground} and {IGNORE}"
        raise DatasetError(f"{source} holds labels {reprlib.repr(wrong)}: {label_set.name} has {defined}, {ADVICE}")
