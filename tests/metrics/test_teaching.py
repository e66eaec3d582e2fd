import pytest

from medwsss.metrics.tag_statistics import ClassTags, PairTags, TagStatistics
from medwsss.metrics.teaching import class_obstacle, inseparable, percent, teaching


def tags(name: str, positives: int, negatives: int, *, patients: tuple[int, int] = (75, 75)) -> ClassTags:
    return ClassTags(name, positives, negatives, *patients)


def statistics(name: str, *classes: ClassTags, pairs: tuple[PairTags, ...] = (), patients: int = 75) -> TagStatistics:
    slices = classes[0].slices if classes else 0
    return TagStatistics(name, slices, patients, classes, pairs, (), 0.0)


def test_a_heart_on_97_percent_of_slices_cannot_be_taught() -> None:
    found = teaching(statistics("heart", tags("heart", 1841, 61, patients=(100, 38)), patients=100))
    assert not found.teaches
    assert found.lines == ("heart: present on 97 % of slices; a classifier learns almost nothing from these tags",)


def test_a_heart_missing_on_a_third_of_slices_can_be_taught() -> None:
    found = teaching(statistics("heart", tags("heart", 200, 100)))
    assert found.teaches
    assert found.lines == ("heart: missing on 33 % of slices; these tags can teach it",)


@pytest.mark.parametrize(
    ("positives", "negatives", "patients", "said"),
    [
        (0, 50, (0, 75), "present on none of 50 slices; there is nothing to learn from"),
        (50, 0, (75, 0), "present on all 50 slices; a classifier learns nothing from these tags"),
        (91, 9, (75, 9), "present on 91 % of slices; a classifier learns almost nothing"),
        (9, 91, (9, 75), "present on 9 slices only; at least 10 are needed"),
        (20, 9, (20, 9), "missing on 9 slices only; at least 10 are needed"),
        (90, 10, (75, 4), "missing in 4 of 75 patients only; a classifier can learn them by heart"),
        (10, 90, (4, 75), "present in 4 of 75 patients only"),
        (90, 10, (75, 5), ""),  # each limit is just reached
        (10, 90, (5, 75), ""),
    ],
)
def test_each_limit_is_an_obstacle_below_it_and_none_at_it(
    positives: int, negatives: int, patients: tuple[int, int], said: str
) -> None:
    found = class_obstacle(tags("LV", positives, negatives, patients=patients), patients=75)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_fewer_than_five_patients_all_have_to_vary() -> None:
    assert not class_obstacle(tags("LV", 10, 10, patients=(2, 2)), patients=2)
    assert "missing in 1 of 2 patients" in class_obstacle(tags("LV", 10, 10, patients=(2, 1)), patients=2)


def test_classes_that_hardly_differ_cannot_be_separated() -> None:
    # the counts of all 100 ACDC patients: LV never without MYO, MYO without LV on 20 of 1902 slices
    pair = PairTags("LV", "MYO", both=1808, only_first=0, only_second=20, neither=74)
    found = teaching(statistics("multi", tags("LV", 1000, 902), tags("MYO", 1020, 882), pairs=(pair,)))
    assert not found.teaches
    assert found.lines == ("multi: LV and MYO cannot be separated by these tags: they differ on 20 of 1902 slices",)


def test_five_percent_of_the_slices_with_either_are_enough_to_separate() -> None:
    enough = PairTags("A", "B", both=95, only_first=5, only_second=0, neither=0)
    few = PairTags("A", "C", both=96, only_first=4, only_second=0, neither=0)
    never = PairTags("B", "D", both=0, only_first=0, only_second=0, neither=100)
    assert inseparable(statistics("t", pairs=(enough, few, never))) == (few,)


def test_several_classes_are_named_in_the_verdict() -> None:
    rare, common = tags("RV", 50, 50), tags("MYO", 99, 1, patients=(75, 1))
    assert teaching(statistics("multi", rare, common)).lines == (
        "multi: MYO is present on 99 % of slices; a classifier learns almost nothing from these tags",
    )
    assert teaching(statistics("multi", rare, rare)).lines == ("multi: these tags can teach all 2 classes",)


def test_without_tags_nothing_is_taught() -> None:
    found = teaching(statistics("heart", tags("heart", 0, 0, patients=(0, 0)), patients=0))
    assert not found.teaches
    assert found.lines == ("heart: there are no tags",)


def test_photographs_are_called_images() -> None:
    found = class_obstacle(tags("dog", 3, 200, patients=(3, 200)), patients=203, unit="images")
    assert found == "present on 3 images only; at least 10 are needed"


@pytest.mark.parametrize(
    ("count", "total", "said"),
    [(0, 9, "0 %"), (9, 9, "100 %"), (1, 3, "33 %"), (1901, 1902, "99.9 %"), (1, 400, "0.2 %"), (0, 0, "–")],
)
def test_a_share_never_claims_all_or_none_falsely(count: int, total: int, said: str) -> None:
    assert percent(count, total) == said
