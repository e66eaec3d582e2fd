"""ACDC as it lies on disk: patients, their ED and ES frames, and (apart from them) the reference masks.

Layout: ``training/patientNNN/`` with ``Info.cfg``, ``patientNNN_4d.nii.gz``, ``patientNNN_frameFF.nii.gz`` and
``patientNNN_frameFF_gt.nii.gz`` (O. Bernard et al., IEEE TMI 2018). Masks are found by
``reference_masks`` alone.
"""

import re
import reprlib
import warnings
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from medwsss.data.study import PHASES, Frame, Study, numbered_case
from medwsss.errors import DatasetError, MedwsssWarning

_LONGEST_INFO = 100_000
"""Characters of Info.cfg that are read; it has about a hundred."""
_PATIENT = re.compile(r"patient\d+")
_FRAME = re.compile(r"_frame(\d+)(_gt)?\.nii(?:\.gz)?$")


def find_studies(root: Path) -> list[Study]:
    """All patients below ``root``, in the order of their names.

    ``root`` holds ``training/`` or ``testing/`` or both, or is itself a folder of patients. A patient of one phase
    only, because a file is missing or Info.cfg names one frame, is left out with a ``MedwsssWarning``.

    Raises:
        DatasetError: no such folder, no patient, a patient twice, an unusable Info.cfg, or no patient with both frames.
    """
    folders = patient_folders(root)
    studies = [study for folder in folders if (study := read_study(folder)) is not None]
    if not studies:
        raise DatasetError(f"no patient in {root} has both its ED and its ES frame: unzip the data set again")
    return studies


def patient_folders(root: Path) -> list[Path]:
    """The folders of all patients below ``root`` (see ``find_studies``), in the order of their names.

    Raises:
        DatasetError: no such folder, no patient, or a patient twice.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder: pass the unzipped ACDC folder as --root")
    parts = [root / name for name in ("training", "testing") if (root / name).is_dir()] or [root]
    folders = sorted((folder for part in parts for folder in _patients_in(part)), key=lambda folder: folder.name)
    if not folders:
        raise DatasetError(f"no patientNNN folder in {root}: pass the unzipped ACDC folder as --root")
    for first, second in pairwise(folders):
        if first.name == second.name:
            raise DatasetError(f"{first.name} is there twice, in {first.parent} and {second.parent}: remove one")
    return folders


def read_study(folder: Path) -> Study | None:
    """The patient in ``folder``; None, with a ``MedwsssWarning``, where one of the two frames is not there.

    Raises:
        DatasetError: an unusable Info.cfg.
    """
    info_file = folder / "Info.cfg"
    info = _read_info(info_file)
    numbers = _frame_numbers(info, info_file)
    cines = [folder / f"{folder.name}_4d{suffix}" for suffix in (".nii.gz", ".nii")]
    cine = next((path for path in cines if path.is_file()), None)
    frames = _frames(folder, numbers, cine)
    missing = [f"{phase} (frame {number:02d})" for phase, number in numbers.items() if phase not in frames]
    reasons = [f"{info_file} has no key {phase}" for phase in PHASES if phase not in numbers]
    if missing:
        reasons.append(f"{' and '.join(missing)} not in {folder}, and no 4D file to take it from")
    if reasons:
        warnings.warn(f"{folder.name} is left out: {'; '.join(reasons)}", MedwsssWarning, stacklevel=2)
        return None
    frame_count = _number(info, "NbFrame")
    return Study(
        patient=folder.name,
        group=info.get("Group") or "unknown",
        frames=frames,
        cine=cine,
        height_cm=_number(info, "Height"),
        weight_kg=_number(info, "Weight"),
        frame_count=None if frame_count is None else round(frame_count),
    )


def reference_masks(root: Path) -> dict[str, Path]:
    """The mask file of every case below ``root`` that has one, by ``case_id``.

    Raises:
        DatasetError: no such folder, no patient, or a patient twice.
    """
    return {
        numbered_case(folder.name, number): path
        for folder in patient_folders(root)
        for number, path in _numbered_files(folder, masks=True).items()
    }


def _patients_in(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if entry.is_dir() and _PATIENT.fullmatch(entry.name))


def _numbered_files(folder: Path, *, masks: bool) -> dict[int, Path]:
    """Frame files or mask files of a patient by frame number; .nii.gz wins over .nii."""
    found = {}
    for path in sorted(folder.glob(f"{folder.name}_frame*")):
        match = _FRAME.search(path.name)
        if match and (match[2] is not None) == masks:
            found[int(match[1])] = path
    return found


def _frames(folder: Path, numbers: Mapping[str, int], cine: Path | None) -> dict[str, Frame]:
    files = _numbered_files(folder, masks=False)
    frames = {}
    for phase, number in numbers.items():
        if number in files:
            frames[phase] = Frame(files[number], number)
        elif cine is not None:
            frames[phase] = Frame(cine, number, time_index=number - 1)
    return frames


def _read_info(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise DatasetError(f"{path} is missing: it names the ED and ES frames of the patient")
    with path.open(encoding="utf-8", errors="replace") as stream:
        lines = stream.read(_LONGEST_INFO).splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _frame_numbers(info: Mapping[str, str], path: Path) -> dict[str, int]:
    """Of the phases that Info.cfg names; at least one, and two that differ."""
    numbers = {phase: _frame_number(info[phase], phase, path) for phase in PHASES if phase in info}
    if not numbers:
        raise DatasetError(f"{path} has neither key ED nor ES: add the numbers of both frames")
    if len(set(numbers.values())) < len(numbers):
        raise DatasetError(f"{path}: ED and ES are both frame {numbers['ED']}: correct the number of one")
    return numbers


def _frame_number(value: str, phase: str, path: Path) -> int:
    if not re.fullmatch(r"0{0,9}[1-9][0-9]{0,5}", value):
        raise DatasetError(f"{path}: {phase} is {reprlib.repr(value)}, not a frame number counted from 1")
    return int(value)


def _number(info: Mapping[str, str], key: str) -> float | None:
    """An optional number of Info.cfg; None where it is missing or no number, because nothing depends on it."""
    try:
        value = float(info[key])
    except (KeyError, ValueError):
        return None
    return value if np.isfinite(value) else None
