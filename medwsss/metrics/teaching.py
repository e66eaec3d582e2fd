"""Whether tags can teach a task: rules with named limits on what ``tag_statistics`` counts, and the verdict in words.

A network that is told only which slices show a class finds it by contrast: it looks for what is there when the tag is 1
and missing when it is 0. So tags can teach a task if every class of it is missing often enough, is there often enough,
varies in enough patients, and if no two classes always come together. The limits are judgements, not measurements: on
ACDC, where 3 % of the slices show no heart, class activation maps learned nothing useful; on the phantom, where 37 %
show none, they did. Passing the rules is necessary for learning from tags, and no promise of a good segmentation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from medwsss.metrics.tag_statistics import ClassTags, PairTags, TagStatistics

LEAST_ABSENT = 0.10
"""Share of slices on which a class must be missing."""
LEAST_EXAMPLES = 10
"""Slices that must show a class, and slices that must not."""
LEAST_PATIENTS = 5
"""Patients in whom a class must be missing on some slice, and patients in whom it must be there: fewer can be learned
by heart. All patients, where there are fewer."""
LEAST_DIFFERING = 0.05
"""Share of the slices with either of two classes whose tags must tell the two apart."""


@dataclass(frozen=True)
class Teaching:
    """The verdict on the tags of a task."""

    name: str
    teaches: bool
    lines: tuple[str, ...]
    """In words, each beginning with the name of the task: every obstacle, or else what can be taught."""


def teaching(statistics: TagStatistics, *, unit: str = "slices") -> Teaching:
    """Apply the rules; ``unit`` is what has tags, in the plural."""
    if not statistics.slices:
        return Teaching(statistics.name, False, (f"{statistics.name}: there are no tags",))
    obstacles = (*_class_obstacles(statistics, unit), *_pair_obstacles(statistics, unit))
    lines = tuple(f"{statistics.name}: {text}" for text in obstacles or (_what_teaches(statistics, unit),))
    return Teaching(statistics.name, not obstacles, lines)


def inseparable(statistics: TagStatistics) -> tuple[PairTags, ...]:
    """Pairs of classes whose tags never or hardly ever differ; a class that never occurs is another problem."""
    return tuple(pair for pair in statistics.pairs if pair.differing_share < LEAST_DIFFERING)


def class_obstacle(tags: ClassTags, *, patients: int, unit: str = "slices") -> str:
    """Why the tags of a class cannot teach it, as what follows "the class is"; empty if they can.

    Args:
        tags: the counts of the class.
        patients: in the whole table.
        unit: what has tags, in the plural.
    """
    if not tags.positives:
        return f"present on none of {tags.slices} {unit}; there is nothing to learn from"
    if not tags.negatives:
        return f"present on all {tags.slices} {unit}; a classifier learns nothing from these tags"
    if tags.negatives < LEAST_ABSENT * tags.slices:
        share = percent(tags.positives, tags.slices)
        return f"present on {share} of {unit}; a classifier learns almost nothing from these tags"
    for count, where in ((tags.positives, "present"), (tags.negatives, "missing")):
        if count < LEAST_EXAMPLES:
            return f"{where} on {count} {unit} only; at least {LEAST_EXAMPLES} are needed"
    for count, where in ((tags.patients_with_positive, "present"), (tags.patients_with_negative, "missing")):
        if count < min(LEAST_PATIENTS, patients):
            return f"{where} in {count} of {patients} patients only; a classifier can learn them by heart"
    return ""


def percent(count: int, total: int) -> str:
    """A share in percent, with a decimal only where a whole number would claim none or all; a dash of nothing."""
    if not total:
        return "–"
    share = 100 * count / total
    digits = 1 if round(share) in (0, 100) and 0 < count < total else 0
    return f"{share:.{digits}f} %"


def _class_obstacles(statistics: TagStatistics, unit: str) -> Iterator[str]:
    alone = len(statistics.classes) == 1
    for tags in statistics.classes:
        text = class_obstacle(tags, patients=statistics.patients, unit=unit)
        if text:
            yield text if alone else f"{tags.name} is {text}"


def _pair_obstacles(statistics: TagStatistics, unit: str) -> Iterator[str]:
    for pair in inseparable(statistics):
        yield (
            f"{pair.first} and {pair.second} cannot be separated by these tags: "
            f"they differ on {pair.differ} of {pair.slices} {unit}"
        )


def _what_teaches(statistics: TagStatistics, unit: str) -> str:
    if len(statistics.classes) > 1:
        return f"these tags can teach all {len(statistics.classes)} classes"
    only = statistics.classes[0]
    return f"missing on {percent(only.negatives, only.slices)} of {unit}; these tags can teach it"
