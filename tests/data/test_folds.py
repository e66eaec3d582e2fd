from collections import Counter
from pathlib import Path

import pytest
import torch

from medwsss.data.folds import WithoutPatients, draw_folds
from medwsss.data.sample import Draw, Sample, SliceKey, TrainingSet
from medwsss.errors import SplitError

GROUPS = {f"p{number}": "AB"[number % 2] for number in range(12)}


def test_every_patient_is_in_one_fold_and_groups_are_spread() -> None:
    folds = draw_folds(GROUPS, folds=3, seed=0)
    assert sorted(patient for fold in folds for patient in fold) == sorted(GROUPS)
    for fold in folds:
        assert Counter(GROUPS[patient] for patient in fold) == {"A": 2, "B": 2}


def test_the_order_of_patients_does_not_matter_and_the_seed_does() -> None:
    backwards = dict(reversed(GROUPS.items()))
    assert draw_folds(backwards, folds=3, seed=1) == draw_folds(GROUPS, folds=3, seed=1)
    assert draw_folds(GROUPS, folds=3, seed=2) != draw_folds(GROUPS, folds=3, seed=1)


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(SplitError, match="2 training patients cannot be cut into 3 folds"):
        draw_folds({"a": "X", "b": "X"}, folds=3, seed=0)


class Numbered(TrainingSet):
    """Two slices of each of three patients; the image holds its number plus the seed."""

    keys = tuple(SliceKey(patient, "ED", index) for patient in "abc" for index in range(2))

    def __len__(self) -> int:
        return len(self.keys)

    def file_of(self, key: SliceKey) -> Path:
        return Path(key.patient)

    def __getitem__(self, draw: Draw) -> Sample:
        image = torch.full((3, 1, 1), float(draw.index + draw.seed))
        return Sample(image, torch.zeros(1), torch.tensor([0, 1, 0, 1]), self.keys[draw.index])


def test_a_set_without_a_patient_has_the_others_in_order_with_their_own_draws() -> None:
    left = WithoutPatients(Numbered(), Numbered.keys, ["b"])
    shown = [left[Draw(index, 10)] for index in range(len(left))]
    assert [str(sample.key) for sample in shown] == ["a ED slice 0", "a ED slice 1", "c ED slice 0", "c ED slice 1"]
    assert [float(sample.image[0, 0, 0]) for sample in shown] == [10, 11, 14, 15]


def test_bags_of_the_others_are_left_at_their_new_places() -> None:
    class Bagged(Numbered):
        bags = ((0, 1), (2, 3), (4,), (5,))

    left = WithoutPatients(Bagged(), Numbered.keys, ["b"])
    assert left.bags == ((0, 1), (2,), (3,))  # a, and both slices of c, which come after a now
    assert WithoutPatients(Numbered(), Numbered.keys, ["b"]).bags == ()
