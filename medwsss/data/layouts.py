"""Which data set of volumes lies in a folder: ACDC's own layout, or studies with a table."""

from pathlib import Path

from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.folder_studies import folder_studies
from medwsss.data.study import StudySet
from medwsss.data.study_table import TABLE_NAME, read_study_table


def is_acdc(root: Path) -> bool:
    """Whether a folder holds ACDC's patients."""
    return any(next(root.glob(f"{part}patient*/Info.cfg"), None) for part in ("", "training/", "testing/"))


def study_set(root: Path) -> StudySet | None:
    """The studies in a folder and their masks; None where neither layout is there.

    Raises:
        DatasetError, VolumeError: it is damaged.
        ImageLabelsError: its table cannot be read.
    """
    if is_acdc(root):
        return StudySet(tuple(find_studies(root)), reference_masks(root))
    table = root / TABLE_NAME
    return folder_studies(root, read_study_table(table)) if table.is_file() else None
