import math

import numpy as np
import pytest

from medwsss.metrics.tag_statistics import PairTags, TagTable, entropy_bits, shares_by_position, tag_statistics


def table(rows: list[tuple[int, ...]], patients: str, names: tuple[str, ...], positions: object = None) -> TagTable:
    tags = np.array(rows, dtype=np.uint8).reshape(len(rows), len(names))
    places = np.full(len(rows), np.nan) if positions is None else np.array(positions, dtype=float)
    return TagTable("task", names, tags, tuple(patients), places)


def test_one_positive_of_four_carries_0_8113_bits() -> None:
    # 1/4 · log2 4 + 3/4 · log2 (4/3) = 0.5 + 0.75 · 0.41504
    assert entropy_bits((1, 3)) == pytest.approx(0.8113, abs=5e-5)


def test_an_even_tag_carries_one_bit_and_a_constant_one_none() -> None:
    assert entropy_bits((5, 5)) == 1.0
    assert entropy_bits((0, 7)) == 0.0


def test_the_entropy_of_nothing_is_undefined() -> None:
    assert math.isnan(entropy_bits((0, 0)))
    assert math.isnan(entropy_bits(()))


def test_slices_and_patients_with_and_without_a_class_are_counted() -> None:
    found = tag_statistics(table([(1,), (1,), (0,), (1,), (0,), (0,)], "aaabbc", ("LV",)))
    (lv,) = found.classes
    assert (lv.positives, lv.negatives, lv.fraction) == (3, 3, 0.5)
    assert lv.patients_with_positive == 2  # a, b
    assert lv.patients_with_negative == 3  # a, b, c
    assert (found.slices, found.patients) == (6, 3)


def test_pairs_and_co_occurrence_of_a_table_of_five() -> None:
    rows = [(1, 1), (1, 1), (1, 0), (0, 1), (0, 0)]
    found = tag_statistics(table(rows, "aabbb", ("MYO", "LV")))
    assert found.cooccurrence == ((3, 2), (2, 3))
    (pair,) = found.pairs
    assert pair == PairTags("MYO", "LV", both=2, only_first=1, only_second=1, neither=1)
    assert pair.differ == 2
    assert pair.differing_share == 2 / 4  # of the four slices with either
    # rows by frequency: 2/5, 1/5, 1/5, 1/5
    assert found.joint_entropy_bits == pytest.approx(0.4 * math.log2(5 / 2) + 0.6 * math.log2(5))


def test_equal_tags_tell_all_about_each_other_and_independent_ones_nothing() -> None:
    assert PairTags("A", "B", both=2, only_first=0, only_second=0, neither=2).mutual_information_bits == 1.0
    assert PairTags("A", "B", both=1, only_first=1, only_second=1, neither=1).mutual_information_bits == 0.0


def test_mutual_information_is_what_the_joint_entropy_lacks() -> None:
    # H(A) = H(1/4), H(B) = H(2/4) = 1, H(A, B) = H(1/4, 1/4, 2/4) = 1.5
    pair = PairTags("A", "B", both=1, only_first=0, only_second=1, neither=2)
    assert pair.mutual_information_bits == pytest.approx(0.8113 + 1 - 1.5, abs=5e-5)


def test_two_rare_classes_are_told_apart_by_the_slices_that_show_them() -> None:
    pair = PairTags("toaster", "hair drier", both=0, only_first=3, only_second=2, neither=995)
    assert pair.differ / pair.slices < 0.05
    assert pair.differing_share == 1.0


def test_two_classes_that_never_occur_have_no_share() -> None:
    assert math.isnan(PairTags("A", "B", both=0, only_first=0, only_second=0, neither=9).differing_share)


def test_an_empty_table_has_no_entropy() -> None:
    found = tag_statistics(table([], "", ("RV", "LV")))
    assert found.slices == found.patients == 0
    assert math.isnan(found.joint_entropy_bits)
    assert math.isnan(found.classes[0].fraction)
    assert math.isnan(found.pairs[0].mutual_information_bits)


def test_shares_are_counted_by_part_of_the_volume() -> None:
    # two volumes of two slices and one of four: places 0, 1/2 and 0, 1/4, 1/2, 3/4
    rows = [(1,), (0,), (0,), (1,), (1,), (0,)]
    shares = shares_by_position(table(rows, "aabbbb", ("LV",), [0, 0.5, 0, 0.25, 0.5, 0.75]), bins=2)
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3]])


def test_a_part_without_slices_has_no_share() -> None:
    shares = shares_by_position(table([(1,), (1,)], "ab", ("LV",), [0.0, math.nan]), bins=2)
    assert shares[0, 0] == 1.0
    assert math.isnan(shares[0, 1])
