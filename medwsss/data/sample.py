"""What a loader yields: one image with its image-level labels, and a batch of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset


@dataclass(frozen=True)
class SliceKey:
    """Where a 2D image comes from; photographs use their name as patient, phase "" and index 0."""

    patient: str
    phase: str
    index: int

    def __str__(self) -> str:
        if not (self.phase or self.index):
            return self.patient
        return f"{self.patient} {self.phase} slice {self.index}".replace("  ", " ")


def photograph_key(name: str) -> SliceKey:
    """The key of a photograph, which has neither phase nor slices."""
    return SliceKey(name, "", 0)


@dataclass(frozen=True)
class Sample:
    """One training image."""

    image: Float[Tensor, "3 h w"]
    """In [0, 1]; the encoder normalises."""
    image_labels: Float[Tensor, " cls"]
    """Multi-hot over the foreground classes."""
    box: Int[Tensor, "4"]
    """[top, bottom, left, right) of the area that is image and not padding."""
    key: SliceKey
    bag: int | None = None
    """Samples of a batch with the same number were tagged together (see ``ImageLabels.bags``); None for all alone."""
    labels: Int[Tensor, "h w"] | None = None
    """Pseudo-labels, 255 where there is none and in the padding; None where only tags teach."""
    label_weights: Float[Tensor, "h w"] | None = None
    """How far each pseudo-label is to be trusted, in [0, 1]; there where ``labels`` are."""
    seeds: Int[Tensor, "h w"] | None = None
    """What a prior says: 0 background, i for the i-th class, 255 where it says nothing; None where none was asked."""
    seed_confidence: Float[Tensor, "h w"] | None = None
    """How far each seed is to be trusted, in [0, 1], 0 where there is none; there where ``seeds`` are."""


class Draw(NamedTuple):
    """What a sampler asks for: an image, and the seed of its augmentation."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    seed: int


class TrainingSet(Dataset[Sample], ABC):
    """Images that train, no mask within reach; ``training_set[Draw(index, seed)]`` depends on the draw alone."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, draw: Draw) -> Sample: ...

    @abstractmethod
    def file_of(self, key: SliceKey) -> Path:
        """Where the image of a sample lies."""

    @property
    def bags(self) -> tuple[tuple[int, ...], ...]:
        """Indices of samples that were tagged together, samples that were tagged alone among them; none if all were."""
        return ()


@dataclass(frozen=True)
class Batch:
    """Samples of one size, stacked."""

    images: Float[Tensor, "b 3 h w"]
    image_labels: Float[Tensor, "b cls"]
    boxes: Int[Tensor, "b 4"]
    keys: tuple[SliceKey, ...]
    bags: Int[Tensor, " b"] | None = None
    """Images with the same number were tagged together; None where each was tagged alone."""
    labels: Int[Tensor, "b h w"] | None = None
    label_weights: Float[Tensor, "b h w"] | None = None
    seeds: Int[Tensor, "b h w"] | None = None
    seed_confidence: Float[Tensor, "b h w"] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(value.nbytes for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor))

    def to(self, device: torch.device) -> "Batch":
        """On that device; from pinned memory, while the caller goes on."""
        return self._moved(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """In memory that a GPU copies from by itself; what a loader with ``pin_memory`` calls."""
        return self._moved(Tensor.pin_memory)

    def _moved(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        tensors: dict[str, Any] = {
            field.name: move(value) for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **tensors)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of equal size; all of them have pseudo-labels, or none, and likewise seeds."""
    bags = [sample.bag for sample in samples if sample.bag is not None]
    return Batch(
        torch.stack([sample.image for sample in samples]),
        torch.stack([sample.image_labels for sample in samples]),
        torch.stack([sample.box for sample in samples]),
        tuple(sample.key for sample in samples),
        torch.tensor(bags) if bags else None,
        _stacked([sample.labels for sample in samples]),
        _stacked([sample.label_weights for sample in samples]),
        _stacked([sample.seeds for sample in samples]),
        _stacked([sample.seed_confidence for sample in samples]),
    )


def _stacked(maps: Sequence[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in maps if tensor is not None]
    return torch.stack(present) if present else None
