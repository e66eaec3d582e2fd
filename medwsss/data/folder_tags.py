"""Tags of the slices of your own studies: from lines about slices, about whole volumes, or both."""

from collections.abc import Callable, Iterable
from pathlib import Path

from medwsss.data.folder_studies import Entry, found_entries
from medwsss.data.image_labels import ImageLabels, names_slices, read_tag_table
from medwsss.data.sample import SliceKey
from medwsss.data.study import Frame, load_frame
from medwsss.data.study_table import StudyTags, read_study_table, study_tags
from medwsss.errors import ImageLabelsError
from medwsss.labels import LabelSet
from medwsss.volumes.slicing import slices_of


def tags_of_table(path: Path, labels: LabelSet, root: Path) -> ImageLabels:
    """The tags of a table of either kind: one that names slices by patient and phase, or one that names files.

    Args:
        path: the CSV file.
        labels: classes, each a column, or part of a column ``classes``.
        root: what the files of a table of studies are relative to.

    Raises:
        ImageLabelsError: the table cannot be read, or does not fit the images.
        DatasetError, VolumeError: images are missing or damaged.
    """
    if names_slices(path):
        return read_tag_table(path, labels)
    table = read_study_table(path)
    tags = study_tags(table, labels.names)
    found, _ = entry_tags(found_entries(root, table), tags, labels, lambda frame: len(slices_of(load_frame(frame))))
    return found


def entry_tags(
    entries: Iterable[Entry], told: StudyTags, labels: LabelSet, slice_count: Callable[[Frame], int]
) -> tuple[ImageLabels, int]:
    """Tags of slices, with bags of the slices of volumes that were tagged as a whole; and how many have no tag.

    Raises:
        ImageLabelsError: a slice does not exist, or has two lines.
    """
    tags: dict[SliceKey, tuple[int, ...]] = {}
    bags, untagged = [], 0
    for entry in entries:
        for phase, frame in entry.frames.items():
            count = slice_count(frame)
            if entry.rows[0].slices is None:
                keys = [SliceKey(entry.patient, phase, index) for index in range(count)]
                shown = told.by_line[entry.rows[0].where]
                tags |= dict.fromkeys(keys, shown)
                bags += [tuple(keys)] if count > 1 and any(shown) else []
                continue
            found = _slice_tags(entry, told, phase, count)
            tags |= found
            untagged += count - len(found)
    return ImageLabels(labels.names, tags, tuple(bags)), untagged


def _slice_tags(entry: Entry, told: StudyTags, phase: str, count: int) -> dict[SliceKey, tuple[int, ...]]:
    tags: dict[SliceKey, tuple[int, ...]] = {}
    for row in entry.rows:
        for index in row.slices or ():
            key = SliceKey(entry.patient, phase, index)
            if index >= count:
                raise ImageLabelsError(f"{row.where}: {row.path} has slices 0 to {count - 1}, not {index}")
            if key in tags:
                raise ImageLabelsError(f"{row.where}: slice {index} of {row.path} was on a line above: keep one")
            tags[key] = told.by_line[row.where]
    return tags
