import inspect
import itertools

import pytest
import torch

from medwsss.refinement.mutual_complementing import complement, complement_with_prior

CLASSES = (1, 2)


def complemented_pixel(p1: int, p2: int, p3: int) -> int:
    """UniA, Eq. 12-15, for one pixel, term by term."""
    s_f = p2 if p2 in CLASSES and p3 in (0, 255) else 0  # Eq. 12
    m_f = int(s_f not in CLASSES)
    p_f = m_f * p3 + s_f  # Eq. 13
    s_c = p1 if p1 == p2 and p1 in CLASSES else 0  # Eq. 14, restricted to classes
    m_c = int(s_c not in CLASSES)
    return m_c * p_f + s_c  # Eq. 15


def test_the_whole_truth_table_follows_the_equations() -> None:
    table = list(itertools.product((0, 1, 2, 255), repeat=3))
    p1, p2, p3 = torch.tensor(table).T.reshape(3, 1, 8, 8)
    expected = torch.tensor([complemented_pixel(*row) for row in table]).view(1, 8, 8)
    assert torch.equal(complement(p1, p2, p3), expected)


@pytest.mark.parametrize(
    ("p1", "p2", "p3", "expected", "reason"),
    [
        (0, 2, 0, 2, "a hole in the background is filled"),
        (0, 2, 255, 2, "an ignored pixel is filled"),
        (0, 2, 1, 1, "one refined map alone does not overrule a class"),
        (2, 2, 1, 2, "agreement of both overrules a class"),
        (0, 0, 1, 1, "agreement on background overrules nothing"),
        (255, 255, 1, 1, "agreement on ignore overrules nothing"),
        (1, 0, 0, 0, "the seed alone fills nothing"),
    ],
)
def test_each_rule_on_one_pixel(p1: int, p2: int, p3: int, expected: int, reason: str) -> None:
    maps = (torch.full((1, 1, 1), label) for label in (p1, p2, p3))
    assert complement(*maps).item() == expected, reason


def test_three_equal_maps_stay_as_they_are() -> None:
    labels = torch.randint(0, 4, (2, 5, 7), generator=torch.Generator().manual_seed(0))
    assert torch.equal(complement(labels, labels, labels), labels)


def test_another_ignore_index_is_no_class() -> None:
    nine, one = torch.full((1, 1, 1), 9), torch.ones(1, 1, 1, dtype=torch.int64)
    assert complement(nine, nine, one, ignore_index=9).item() == 1
    assert complement(nine, nine, one).item() == 9


def test_uint8_maps_give_int64_labels() -> None:
    seed, colour, affinity = torch.tensor([[0, 2, 1], [2, 2, 1], [0, 255, 1]], dtype=torch.uint8)
    labels = complement(seed, colour, affinity)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [2, 2, 1]


def test_maps_of_other_shapes_or_floats_are_refused_by_name() -> None:
    labels = torch.zeros(1, 2, 2, dtype=torch.int64)
    function = inspect.unwrap(complement)
    with pytest.raises(ValueError, match="affinity_labels"):
        function(labels, labels, labels[:, :1])
    with pytest.raises(ValueError, match="colour_labels"):
        function(labels, labels.float(), labels)


# --- with a prior

SURE, UNSURE, THRESHOLD = 0.5, 0.49, 0.5
"""Confidence at the threshold is enough."""


def pixel_with_prior(p: int, p4: int, confidence: float) -> int:
    """The rule for one pixel, case by case."""
    if p4 == 255:
        return p
    if confidence >= THRESHOLD or p4 == p:
        return p4
    return 255


@pytest.mark.parametrize("confidence", [SURE, UNSURE])
def test_the_truth_table_with_a_prior_follows_the_rule(confidence: float) -> None:
    table = list(itertools.product((0, 1, 2, 255), repeat=2))
    p, p4 = torch.tensor(table).T.reshape(2, 1, 4, 4)
    expected = torch.tensor([pixel_with_prior(*row, confidence) for row in table]).view(1, 4, 4)
    found = complement_with_prior(p, p4, torch.full((1, 4, 4), confidence), threshold=THRESHOLD)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("p", "p4", "confidence", "expected", "reason"),
    [
        (1, 2, SURE, 2, "a confident prior overrules"),
        (1, 0, SURE, 0, "with background, too"),
        (1, 2, UNSURE, 255, "an unsure one that disagrees leaves the pixel open"),
        (255, 2, UNSURE, 255, "an undecided label is no second witness"),
        (0, 0, UNSURE, 0, "agreement on background is agreement"),
        (2, 2, UNSURE, 2, "a second witness is enough"),
        (1, 255, SURE, 1, "no prior, no change, whatever the confidence"),
    ],
)
def test_each_rule_of_the_prior_on_one_pixel(p: int, p4: int, confidence: float, expected: int, reason: str) -> None:
    maps = (torch.full((1, 1, 1), label) for label in (p, p4))
    found = complement_with_prior(*maps, torch.full((1, 1, 1), confidence), threshold=THRESHOLD)
    assert found.item() == expected, reason


def test_a_threshold_of_zero_believes_every_seed() -> None:
    labels, prior = torch.tensor([[1, 255, 0, 2]]), torch.tensor([[2, 1, 255, 0]])
    assert complement_with_prior(labels, prior, torch.zeros(1, 4), threshold=0.0).tolist() == [[2, 1, 0, 0]]


def test_maps_that_do_not_fit_the_prior_are_refused_by_name() -> None:
    labels, confidence = torch.zeros(1, 2, 2, dtype=torch.uint8), torch.zeros(1, 2, 2)
    function = inspect.unwrap(complement_with_prior)
    with pytest.raises(ValueError, match="prior_labels has shape"):
        function(labels, labels[:, :1], confidence, threshold=0.5)
    with pytest.raises(ValueError, match="confidence has shape"):
        function(labels, labels, confidence[:, :1], threshold=0.5)
    with pytest.raises(ValueError, match="prior_labels must hold integers"):
        function(labels, confidence, confidence, threshold=0.5)
    with pytest.raises(ValueError, match=r"threshold must be in \[0, 1\], got 1.5"):
        function(labels, labels, confidence, threshold=1.5)
