"""Parts of the training patients for cross-fitting, and training sets without one of them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from medwsss.data.sample import Draw, Sample, SliceKey, TrainingSet
from medwsss.errors import SplitError


def draw_folds(groups: Mapping[str, str], *, folds: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Every patient in one of ``folds`` parts of nearly equal size, the patients of each group spread over them.

    Args:
        groups: group of each patient.
        folds: number of parts, at least two.
        seed: seed of the draw; the same seed and patients give the same parts, in whatever order they come.

    Raises:
        SplitError: there are fewer patients than parts.
    """
    if len(groups) < folds:
        raise SplitError(f"{len(groups)} training patients cannot be cut into {folds} folds: lower self_training.folds")
    rng = np.random.default_rng(seed)
    dealt: list[str] = []
    for group in sorted(set(groups.values())):
        dealt += rng.permutation(sorted(patient for patient, own in groups.items() if own == group)).tolist()
    return tuple(tuple(sorted(dealt[part::folds])) for part in range(folds))


class WithoutPatients(TrainingSet):
    """The samples of another set but those of some patients."""

    def __init__(self, samples: TrainingSet, keys: Sequence[SliceKey], patients: Collection[str]) -> None:
        """``keys`` names the samples in their order."""
        self._samples = samples
        self._indices = [index for index, key in enumerate(keys) if key.patient not in patients]

    def __len__(self) -> int:
        return len(self._indices)

    def file_of(self, key: SliceKey) -> Path:
        """As in the other set."""
        return self._samples.file_of(key)

    @property
    def bags(self) -> tuple[tuple[int, ...], ...]:
        """Those of the other set that are left: a bag is of one patient."""
        places = {index: place for place, index in enumerate(self._indices)}
        return tuple(tuple(places[i] for i in bag) for bag in self._samples.bags if all(i in places for i in bag))

    def __getitem__(self, draw: Draw) -> Sample:
        """The sample that stands there once the others are gone."""
        return self._samples[Draw(self._indices[draw.index], draw.seed)]
