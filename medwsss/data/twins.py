"""Two names for one patient: volumes with the same voxels, which must not lie on both sides of a split."""

import warnings
from collections import defaultdict
from collections.abc import Sequence

from medwsss.config.data import GridConfig
from medwsss.data.slice_cache import SliceCache
from medwsss.data.splits import Split
from medwsss.data.study import Study
from medwsss.errors import MedwsssWarning, SplitError


def check_no_twins(studies: Sequence[Study], split: Split, cache: SliceCache, grid: GridConfig) -> None:
    """Compare every volume of the split with all others by its voxels, whatever names and headers say.

    Twins within one part are counted by a ``MedwsssWarning``: they are seen twice. Constant images prove nothing.

    Raises:
        SplitError: a patient that trains has the voxels of one that is held out.
        DatasetError, VolumeError: a volume cannot be read.
    """
    part = dict.fromkeys(split.train, "train") | dict.fromkeys(split.held_out, "held_out")
    owners: dict[str, list[str]] = defaultdict(list)
    for study in studies:
        if study.patient in part:
            for digest in sorted({cache.voxels(frame, grid) for frame in study.frames.values()} - {""}):
                owners[digest].append(study.patient)
    twins = {tuple(patients) for patients in owners.values() if len(patients) > 1}
    for patients in sorted(twins):
        if len({part[patient] for patient in patients}) > 1:
            trained = next(patient for patient in patients if part[patient] == "train")
            held_out = next(patient for patient in patients if part[patient] == "held_out")
            raise SplitError(
                f"{trained} trains and {held_out} is held out, but both hold the same voxels: they are one patient,"
                " draw another split (data.split.seed), or name one without one of them (data.split.file)"
            )
    if twins:
        first = " and ".join(min(twins))
        message = f"{len(twins)} groups of patients hold the same voxels (first {first}): they count more than once"
        warnings.warn(message, MedwsssWarning, stacklevel=3)
