"""What ``medwsss check`` has to say, before it becomes text, Markdown, JSON or a picture."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from medwsss.metrics.survey import Finding, Preview, Spread, Survey, geometry, motion_sentence, spread
from medwsss.metrics.tag_statistics import ClassTags, PairTags, TagStatistics, TagTable
from medwsss.metrics.teaching import (
    LEAST_ABSENT,
    LEAST_DIFFERING,
    LEAST_EXAMPLES,
    LEAST_PATIENTS,
    Teaching,
    percent,
    teaching,
)
from medwsss.reports.summary import plain_json, versions
from medwsss.reports.tables import Cell, Table

MOST_CLASSES = 6
"""A co-occurrence matrix is printed up to so many classes."""
MOST_PAIRS = 10
"""So many pairs of classes are printed, those hardest to separate."""
LIMITS = {
    "least share of slices without a class": LEAST_ABSENT,
    "least slices with and without a class": LEAST_EXAMPLES,
    "least patients with a slice with and without a class": LEAST_PATIENTS,
    "least share of differing tags, of slices with either class": LEAST_DIFFERING,
}


@dataclass(frozen=True, eq=False)
class Check:
    """Everything that was found."""

    source: str
    """The data, in words."""
    tags_source: str
    """Where the tags come from, in words."""
    unit: str
    """What has tags, in the plural."""
    tables: tuple[TagTable, ...]
    """One for each task."""
    statistics: tuple[TagStatistics, ...]
    """Of these tables."""
    findings: tuple[Finding, ...]
    survey: Survey | None = None
    """None for photographs."""
    least_change: float = 0.0
    """Limit of the cine prior below which nothing moves."""
    previews: tuple[Preview, ...] = ()

    @property
    def verdicts(self) -> tuple[Teaching, ...]:
        """One for each task."""
        return tuple(teaching(statistics, unit=self.unit) for statistics in self.statistics)

    @property
    def teaches(self) -> bool:
        """Whether the tags can teach every task."""
        return all(verdict.teaches for verdict in self.verdicts)

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Findings for which training would refuse the data."""
        return tuple(finding for finding in self.findings if finding.refused)


@dataclass(frozen=True)
class Section:
    """A part of the report: sentences, then a table."""

    title: str
    sentences: tuple[str, ...] = ()
    table: Table | None = None


def check_sections(check: Check) -> Iterator[Section]:
    """Data, tags and findings, in order."""
    if check.survey is not None:
        yield from _survey_sections(check.survey, check.least_change)
    tagged = [statistics for statistics in check.statistics if statistics.slices]
    if not tagged:
        yield Section("Tags", (f"There are no tags: {check.tags_source}.",))
        return
    yield Section("Tags", (f"Source: {check.tags_source}.",), class_table(tagged, check.unit))
    for statistics in tagged:
        if 1 < len(statistics.classes) <= MOST_CLASSES:
            yield Section(f"Together: {check.unit} of task {statistics.name} that show both", (), together(statistics))
        if statistics.pairs:
            joint = f"All tags of task {statistics.name} together carry {statistics.joint_entropy_bits:.2f} bits each."
            yield Section("Apart: can two classes be told apart?", (joint,), pair_table(statistics, check.unit))


def verdict_lines(check: Check) -> tuple[str, ...]:
    """The verdict in plain words: of each task, then of the motion."""
    motion = () if check.survey is None else (motion_sentence(check.survey),)
    return (*(line for verdict in check.verdicts for line in verdict.lines), *motion)


def class_table(tagged: list[TagStatistics], unit: str) -> Table:
    """A row per task and class."""
    header: tuple[str, ...] = (
        "Task",
        "Class",
        f"{unit} with",
        "without",
        "share with",
        "entropy [bits]",
        "patients with one without",
    )
    if unit != "slices":
        header = header[:-1]
    rows = tuple(
        (Cell(statistics.name), *_class_cells(tags, statistics.patients))[: len(header)]
        for statistics in tagged
        for tags in statistics.classes
    )
    return Table(header, rows)


def together(statistics: TagStatistics) -> Table:
    """The co-occurrence matrix."""
    names = [tags.name for tags in statistics.classes]
    rows = zip(names, statistics.cooccurrence, strict=True)
    return Table(("", *names), tuple((Cell(name), *(Cell(str(count)) for count in row)) for name, row in rows))


def pair_table(statistics: TagStatistics, unit: str) -> Table:
    """The pairs that are hardest to separate, hardest first."""
    pairs = sorted((pair for pair in statistics.pairs if pair.slices > pair.neither), key=lambda p: p.differing_share)
    header = ("Pair", f"differ on {unit}", f"share of {unit} with either", "mutual information [bits]")
    return Table(header, tuple(_pair_cells(pair) for pair in pairs[:MOST_PAIRS]))


def check_json(check: Check) -> dict[str, Any]:
    """All numbers, ready for strict JSON: what is undefined is null."""
    found: dict[str, Any] = {
        "data": check.source,
        "tags": check.tags_source,
        "unit": check.unit,
        "can_teach": check.teaches,
        "verdict": verdict_lines(check),
        "tasks": {
            statistics.name: _task_json(statistics, verdict)
            for statistics, verdict in zip(check.statistics, check.verdicts, strict=True)
        },
        "limits": LIMITS,
        "survey": None if check.survey is None else _survey_json(check.survey, check.least_change),
        "findings": [asdict(finding) for finding in check.findings],
        "versions": versions(),
    }
    plain: dict[str, Any] = plain_json(found)
    return plain


def _survey_sections(survey: Survey, least_change: float) -> Iterator[Section]:
    frames = [frame for patient in survey.patients for frame in patient.frames.values()]
    groups = Counter(patient.group for patient in survey.patients)
    counts = ", ".join(f"{count} {group}" for group, count in sorted(groups.items()))
    cine = sum(patient.has_cine for patient in survey.patients)
    rows = geometry(frames) | {f"change from ED to ES (limit {least_change:g})": _changes(survey)}
    yield Section(
        "Data",
        (
            f"{survey.source}: {_patients(len(survey.patients))} ({counts}), {len(survey.readable)} with ED and ES, "
            f"{cine} with a 4D cine file; {len(frames)} frames, {sum(frame.slices for frame in frames)} slices.",
        ),
        Table(
            ("", "smallest", "median", "largest"),
            tuple((Cell(name), *_spread_cells(found)) for name, found in rows.items()),
        ),
    )


def _patients(count: int) -> str:
    return "1 patient" if count == 1 else f"{count} patients"


def _changes(survey: Survey) -> Spread:
    return spread([patient.change for patient in survey.patients if patient.change == patient.change])


def _spread_cells(found: Spread) -> tuple[Cell, ...]:
    return tuple(Cell("–" if value != value else f"{value:.3g}") for value in asdict(found).values())


def _class_cells(tags: ClassTags, patients: int) -> tuple[Cell, ...]:
    return (
        Cell(tags.name),
        Cell(str(tags.positives)),
        Cell(str(tags.negatives)),
        Cell(percent(tags.positives, tags.slices)),
        Cell(f"{tags.entropy_bits:.3f}"),
        Cell(f"{tags.patients_with_negative} of {patients}"),
    )


def _pair_cells(pair: PairTags) -> tuple[Cell, ...]:
    return (
        Cell(f"{pair.first}, {pair.second}"),
        Cell(f"{pair.differ} of {pair.slices}"),
        Cell(percent(pair.differ, pair.slices - pair.neither)),
        Cell(f"{pair.mutual_information_bits:.3f}"),
    )


def _task_json(statistics: TagStatistics, verdict: Teaching) -> dict[str, Any]:
    return {
        "can_teach": verdict.teaches,
        "verdict": verdict.lines,
        "slices": statistics.slices,
        "patients": statistics.patients,
        "joint_entropy_bits": statistics.joint_entropy_bits,
        "classes": [
            asdict(tags) | {"fraction": tags.fraction, "entropy_bits": tags.entropy_bits} for tags in statistics.classes
        ],
        "cooccurrence": statistics.cooccurrence,
        "pairs": [
            asdict(pair)
            | {
                "differ": pair.differ,
                "differing_share": pair.differing_share,
                "mutual_information_bits": pair.mutual_information_bits,
            }
            for pair in statistics.pairs
        ],
    }


def _survey_json(survey: Survey, least_change: float) -> dict[str, Any]:
    frames = [frame for patient in survey.patients for frame in patient.frames.values()]
    return {
        "patients": len(survey.patients),
        "with_both_phases": len(survey.readable),
        "moving": survey.moving,
        "least_change": least_change,
        "geometry": {name: asdict(found) for name, found in geometry(frames).items()},
        "per_patient": [
            {
                "patient": patient.patient,
                "group": patient.group,
                "change": patient.change,
                "moves": patient.moves,
                "has_cine": patient.has_cine,
                "frames": {phase: asdict(frame) for phase, frame in patient.frames.items()},
            }
            for patient in survey.patients
        ],
    }
