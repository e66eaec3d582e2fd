"""What a table of image-level labels holds: counts, entropies and co-occurrence. No image is looked at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Integer, UInt8


@dataclass(frozen=True, eq=False)
class TagTable:
    """Tags of slices, one row each."""

    name: str
    """Of the class set, such as ``heart``."""
    names: tuple[str, ...]
    """Classes, one a column."""
    tags: UInt8[np.ndarray, "n cls"]
    """1 where the slice shows the class, else 0."""
    patients: tuple[str, ...]
    """Whose slice it is; a photograph is a patient of its own."""
    positions: Float[np.ndarray, " n"]
    """Place of the slice in its volume, in [0, 1): 0 is the first one; NaN for photographs."""


@dataclass(frozen=True)
class ClassTags:
    """The tags of one class."""

    name: str
    positives: int
    negatives: int
    patients_with_positive: int
    patients_with_negative: int

    @property
    def slices(self) -> int:
        return self.positives + self.negatives

    @property
    def fraction(self) -> float:
        """Share of slices that show the class, in [0, 1]; NaN without slices."""
        return self.positives / self.slices if self.slices else math.nan

    @property
    def entropy_bits(self) -> float:
        """What one tag tells on average, in bits: 1 for a class on every second slice, 0 for one on all or none."""
        return entropy_bits((self.positives, self.negatives))


@dataclass(frozen=True)
class PairTags:
    """The tags of two classes: on how many slices which of them are."""

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def differ(self) -> int:
        """Slices that show one of the two and not the other: the only ones that tell them apart."""
        return self.only_first + self.only_second

    @property
    def slices(self) -> int:
        return self.both + self.differ + self.neither

    @property
    def differing_share(self) -> float:
        """Slices that tell them apart, of those that show either: in [0, 1]; NaN where neither class occurs.

        Two rare classes have equal tags nearly everywhere, and yet are told apart well; hence not of all slices.
        """
        either = self.both + self.differ
        return self.differ / either if either else math.nan

    @property
    def mutual_information_bits(self) -> float:
        """What the tag of one class tells about that of the other, in bits: H(A) + H(B) − H(A, B)."""
        first = entropy_bits((self.both + self.only_first, self.only_second + self.neither))
        second = entropy_bits((self.both + self.only_second, self.only_first + self.neither))
        joint = entropy_bits((self.both, self.only_first, self.only_second, self.neither))
        return max(0.0, first + second - joint) if self.slices else math.nan


@dataclass(frozen=True)
class TagStatistics:
    """Everything counted on one table."""

    name: str
    slices: int
    patients: int
    classes: tuple[ClassTags, ...]
    pairs: tuple[PairTags, ...]
    cooccurrence: tuple[tuple[int, ...], ...]
    """Slices that show both the class of the row and that of the column; its diagonal counts positives."""
    joint_entropy_bits: float
    """What all tags of a slice tell together, in bits; NaN without slices."""


def tag_statistics(table: TagTable) -> TagStatistics:
    """Count a table."""
    together = table.tags.astype(np.int64).T @ table.tags.astype(np.int64)
    patients = np.array(table.patients, dtype=str)
    classes = tuple(_class_tags(name, column, patients) for name, column in zip(table.names, table.tags.T, strict=True))
    pairs = tuple(_pair_tags(table, together, i, j) for i, j in combinations(range(len(table.names)), 2))
    counts = np.unique(table.tags, axis=0, return_counts=True)[1].tolist() if len(table.tags) else []
    return TagStatistics(
        name=table.name,
        slices=len(table.tags),
        patients=len(set(table.patients)),
        classes=classes,
        pairs=pairs,
        cooccurrence=tuple(tuple(row) for row in together.tolist()),
        joint_entropy_bits=entropy_bits(counts),
    )


def entropy_bits(counts: Sequence[int]) -> float:
    """Shannon entropy of a distribution given as counts, −Σ p log₂ p, in bits; NaN where nothing was counted."""
    total = sum(counts)
    if not total:
        return math.nan
    return sum(count / total * math.log2(total / count) for count in counts if count)


def shares_by_position(table: TagTable, *, bins: int) -> Float[np.ndarray, "cls bins"]:
    """Share of slices that show each class, by place in the volume: NaN where a bin holds no slice.

    Bins are equal parts of a volume from its first to its last slice, so that volumes of any length add up.
    """
    shares = np.full((len(table.names), bins), np.nan)
    placed = np.isfinite(table.positions)
    place = (table.positions[placed] * bins).astype(int)
    for index in range(bins):
        rows = table.tags[placed][place == index]
        if len(rows):
            shares[:, index] = rows.mean(axis=0)
    return shares


def _class_tags(name: str, column: UInt8[np.ndarray, " n"], patients: np.ndarray) -> ClassTags:
    positives = int(column.sum())
    with_positive, with_negative = (len(np.unique(patients[column == value])) for value in (1, 0))
    return ClassTags(name, positives, len(column) - positives, with_positive, with_negative)


def _pair_tags(table: TagTable, together: Integer[np.ndarray, "cls cls"], i: int, j: int) -> PairTags:
    both, only_first, only_second = (
        int(together[i, j]),
        int(together[i, i] - together[i, j]),
        int(together[j, j] - together[i, j]),
    )
    neither = len(table.tags) - both - only_first - only_second
    return PairTags(table.names[i], table.names[j], both, only_first, only_second, neither)
