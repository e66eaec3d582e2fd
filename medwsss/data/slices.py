"""Training slices with their image-level labels. No mask is within reach: a ``Study`` knows none."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from medwsss.config.data import GridConfig, VolumeDataConfig
from medwsss.data.image_labels import ImageLabels
from medwsss.data.sample import Draw, Sample, SliceKey, TrainingSet
from medwsss.data.slice_cache import SliceCache
from medwsss.data.study import Frame, Study
from medwsss.data.transforms import TrainingTransform, channels_of

OTHER_PHASE: dict[str, str] = {"ED": "ES", "ES": "ED"}


def slice_keys(studies: Sequence[Study], cache: SliceCache, grid: GridConfig) -> tuple[SliceKey, ...]:
    """Every slice of every volume, in the order of studies, phases and slices.

    Raises:
        DatasetError: a 4D file does not hold the frame that Info.cfg names.
        VolumeError: a file cannot be read.
    """
    return tuple(
        SliceKey(study.patient, phase, index)
        for study in studies
        for phase in study.frames
        for index in range(len(cache.stack(study.frames[phase], grid)))
    )


def tagged_keys(
    studies: Sequence[Study], image_labels: ImageLabels, cache: SliceCache, grid: GridConfig
) -> tuple[SliceKey, ...]:
    """Those that have tags: what a training set holds, in its order."""
    return tuple(key for key in slice_keys(studies, cache, grid) if key in image_labels.tags)


class SliceDataset(TrainingSet):
    """The slices of studies; ``dataset[Draw(index, seed)]`` is determined by the draw alone."""

    def __init__(
        self, studies: Sequence[Study], image_labels: ImageLabels, data: VolumeDataConfig, cache: SliceCache
    ) -> None:
        """Slices without a row in ``image_labels`` are left out; files are read here unless cached."""
        self.keys = tagged_keys(studies, image_labels, cache, data.grid)
        self.image_labels_array: UInt8[np.ndarray, "n cls"] = image_labels.array(self.keys)
        """Multi-hot labels by index, for samplers."""
        self._frames: dict[tuple[str, str], Frame] = {
            (study.patient, phase): study.frames[phase] for study in studies for phase in study.frames
        }
        self._grid = data.grid
        self._cache = cache
        self._transform = TrainingTransform(data.grid, data.augmentation)
        self._bags = _bags(self.keys, image_labels)
        self._bag_of = {index: number for number, bag in enumerate(self._bags) for index in bag}

    @property
    def bags(self) -> tuple[tuple[int, ...], ...]:
        """Indices of slices that were tagged together."""
        return self._bags

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, draw: Draw) -> Sample:
        """One augmented slice."""
        key = self.keys[draw.index]
        image, box = self._transform(channels_of(self._stack(key.patient, key.phase), key.index, self._grid), draw.seed)
        tags = torch.from_numpy(self.image_labels_array[draw.index].astype(np.float32))
        return Sample(image, tags, box, key, self._bag_of.get(draw.index))

    def file_of(self, key: SliceKey) -> Path:
        """The volume that the slice is of."""
        return self._frames[key.patient, key.phase].path

    def other_phase(self, index: int) -> Float32[np.ndarray, "h w"] | None:
        """The same slice at the other phase, on the working grid; None where the phases differ in slices or size."""
        key = self.keys[index]
        here = self._stack(key.patient, key.phase)
        there = self._stack(key.patient, OTHER_PHASE[key.phase])
        return there[key.index] if there.shape == here.shape else None

    def _stack(self, patient: str, phase: str) -> Float32[np.ndarray, "n h w"]:
        return self._cache.stack(self._frames[patient, phase], self._grid)


def _bags(keys: Sequence[SliceKey], image_labels: ImageLabels) -> tuple[tuple[int, ...], ...]:
    """Bags by index, slices that were tagged alone among them; none where there is no bag of several."""
    if not image_labels.bags:
        return ()
    places = {key: index for index, key in enumerate(keys)}
    together = [tuple(places[key] for key in bag if key in places) for bag in image_labels.bags]
    alone = sorted(set(places.values()) - {index for bag in together for index in bag})
    return (*(bag for bag in together if bag), *((index,) for index in alone))
