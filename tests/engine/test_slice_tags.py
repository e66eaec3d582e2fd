from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.networks import Threshold

from medwsss.config.data import GridConfig
from medwsss.config.training import InferenceConfig
from medwsss.data.image_labels import ImageLabels
from medwsss.data.sample import SliceKey
from medwsss.engine.predict import Item
from medwsss.engine.slice_tags import allowed_classes, single_tags
from medwsss.volumes.volume import Volume

KEYS = tuple(SliceKey("P1", "ED", index) for index in range(4))


def volume() -> Volume:
    """``Threshold`` takes the largest grey level for the probability: 1 of slice 0, then 0.3, 0.7 and 0."""
    array = np.zeros((32, 32, 4), np.float32)
    array[8:24, 8:24] = np.array([100.0, 30.0, 70.0, 0.0])
    return Volume(array, (1.5, 1.5, 10.0), np.diag([-1.5, -1.5, 10.0, 1.0]))


ITEM = Item("P1_ED", None, Path("nothing reads this"), "P1", "ED")


def single(tags: dict[SliceKey, tuple[int, ...]], *bags: tuple[SliceKey, ...]) -> list[float]:
    told = single_tags(
        Threshold(),
        ITEM,
        volume(),
        ImageLabels(("heart",), tags, bags),
        grid=GridConfig(spacing_mm=1.5, crop=32),
        inference=InferenceConfig(),
        device=torch.device("cpu"),
    )
    return list(told[:, 0])


def test_slices_that_were_tagged_one_by_one_keep_their_tags_whatever_the_classifier_says() -> None:
    assert single(dict(zip(KEYS, [(0,), (1,), (0,), (1,)], strict=True))) == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("bag", "told"),
    [
        ((0, 1, 2, 3), [1, 0, 1, 0]),  # the slices that are more likely than not
        ((1, 3), [0, 1, 0, 0]),  # none is: the likeliest; slices 0 and 2 were tagged alone, with 0
    ],
)
def test_of_slices_that_were_tagged_together_the_classifier_says_which_show_the_class(
    bag: tuple[int, ...], told: list[float]
) -> None:
    tags = {key: (int(key.index in bag),) for key in KEYS}
    assert single(tags, tuple(KEYS[index] for index in bag)) == told


def test_of_slices_without_tags_the_classifier_says_all() -> None:
    assert single({KEYS[2]: (0,), KEYS[3]: (1,)}) == [1, 0, 0, 1]


def test_what_tags_rule_out_is_not_allowed_and_what_nobody_tagged_is() -> None:
    labels = ImageLabels(("LV", "scar"), {KEYS[0]: (1, 0), KEYS[1]: (1, 0), KEYS[3]: (0, 0)}, (KEYS[:2],))
    allowed = allowed_classes(ITEM, volume(), labels)
    assert allowed.tolist() == [[1, 0], [1, 0], [1, 1], [0, 0]]
