"""Tags as tables to count, from the masks a survey has seen, from a CSV of people, or from lists of photographs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from medwsss.data.image_labels import ImageLabels, columns_of_table
from medwsss.data.sample import SliceKey
from medwsss.errors import ImageLabelsError
from medwsss.labels import ACDC_TASKS, Task
from medwsss.metrics.survey import Finding, Survey
from medwsss.metrics.tag_statistics import TagTable


def table_from_masks(survey: Survey, task: Task) -> TagTable:
    """The tags of every slice whose mask a survey has seen."""
    tags: dict[SliceKey, tuple[int, ...]] = {}
    for patient in survey.patients:
        for phase, present in patient.present.items():
            for index, row in enumerate(tags_of_codes(present, task).tolist()):
                tags[SliceKey(patient.patient, phase, index)] = tuple(row)
    return _table(ImageLabels(task.labels.names, tags), survey, task.labels.name)


def tags_of_codes(present: Bool[np.ndarray, "n 3"], task: Task) -> UInt8[np.ndarray, "n cls"]:
    """Tags for a task from whether slices show the codes 1 to 3: a class is there if one of its codes is."""
    columns = [
        present[:, [code - 1 for code, meaning in task.codes.items() if code and meaning == label]].any(axis=1)
        for label in range(1, task.labels.num_foreground + 1)
    ]
    return np.stack(columns, axis=1).astype(np.uint8)


def tasks_of_table(path: Path) -> tuple[str, ...]:
    """The tasks whose classes all have a column in a table of tags.

    Raises:
        ImageLabelsError: the file cannot be read, or there is none.
    """
    columns = set(columns_of_table(path))
    known = tuple(name for name, task in ACDC_TASKS.items() if columns.issuperset(task.labels.names))
    if not known:
        wanted = "; ".join(", ".join(task.labels.names) for task in ACDC_TASKS.values())
        raise ImageLabelsError(f"{path} has the classes of no task: name its columns {wanted}")
    return known


def table_from_rows(
    read: ImageLabels, survey: Survey, *, name: str, source: str
) -> tuple[TagTable, tuple[Finding, ...]]:
    """The rows of a table that are about slices of the survey, and what does not match.

    Args:
        read: of ``image_labels.read_tag_table``.
        survey: what the data hold.
        name: of the task.
        source: of the table, for the findings.
    """
    known = set(_keys(survey))
    kept = {key: row for key, row in read.tags.items() if key in known}
    unknown, missing = [key for key in read.tags if key not in known], sorted(known - set(kept), key=str)
    findings = []
    if unknown:
        text = f"{len(unknown)} rows name a slice that is not there or cannot be read, first {unknown[0]}"
        findings.append(Finding(source, text, refused=True))
    if missing:
        findings.append(Finding(source, f"{len(missing)} slices have no row, first {missing[0]}"))
    return _table(ImageLabels(read.names, kept), survey, name), tuple(findings)


def table_of_photographs(labels: ImageLabels, names: Sequence[str], name: str) -> TagTable:
    """The tags of photographs, each of which is a patient of its own."""
    keys = [key for key in labels.tags if key.patient in set(names)]
    return TagTable(name, labels.names, labels.array(keys), tuple(k.patient for k in keys), np.full(len(keys), np.nan))


def without_mask(survey: Survey) -> tuple[str, ...]:
    """Patients with a frame that can be read and has no mask."""
    return tuple(patient.patient for patient in survey.patients if set(patient.frames) - set(patient.present))


def _table(labels: ImageLabels, survey: Survey, name: str) -> TagTable:
    lengths = _lengths(survey)
    keys = tuple(labels.tags)
    positions = [key.index / lengths[key.patient, key.phase] for key in keys]
    return TagTable(name, labels.names, labels.array(keys), tuple(k.patient for k in keys), np.array(positions, float))


def _keys(survey: Survey) -> Iterator[SliceKey]:
    for (patient, phase), count in _lengths(survey).items():
        yield from (SliceKey(patient, phase, index) for index in range(count))


def _lengths(survey: Survey) -> Mapping[tuple[str, str], int]:
    """Number of slices of every frame."""
    return {
        (patient.patient, phase): frame.slices for patient in survey.patients for phase, frame in patient.frames.items()
    }
