"""The studies that a table of your own names: which volumes its files give, and what is known of the patients."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from medwsss.data.cine_phases import extreme_frames
from medwsss.data.study import PHASES, Frame, Study, StudySet, case_ids
from medwsss.data.study_table import StudyTable, TableRow
from medwsss.errors import DatasetError, ImageLabelsError, MedwsssWarning
from medwsss.volumes.io import load_volume, time_points

_Value = TypeVar("_Value", str, float, float | None)


@dataclass(frozen=True)
class Entry:
    """All lines about one file, and the volumes it gives."""

    rows: tuple[TableRow, ...]
    path: Path
    frames: Mapping[str, Frame]

    @property
    def patient(self) -> str:
        return self.rows[0].patient


def folder_studies(root: Path, table: StudyTable) -> StudySet:
    """The studies that a table names, and the masks it lists; paths in it are relative to ``root``.

    Raises:
        DatasetError: images or masks are missing, or the table contradicts itself about them.
        VolumeError: a file cannot be read.
    """
    return entry_set(found_entries(root, table), root)


def found_entries(root: Path, table: StudyTable) -> list[Entry]:
    """One a file, or a time point of it, in the order of the table; every image is there, and no volume has two."""
    by_file: dict[Path, list[TableRow]] = {}
    for row in table.rows:
        by_file.setdefault((root / row.path).resolve(), []).append(row)
    missing = [rows[0] for path, rows in by_file.items() if not path.exists()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(by_file)} studies are not in {root}, first {missing[0].path} "
            f"({missing[0].where}): paths are relative to that folder"
        )
    entries = []
    for of_file in by_file.values():
        _check_owner(of_file)
        path = root / of_file[0].path  # as it is called: what a link leads to may have no suffix
        by_frame: dict[int | None, list[TableRow]] = {}
        for row in of_file:
            by_frame.setdefault(row.numbers.get("frame"), []).append(row)
        for rows in by_frame.values():
            _check_agreement(rows)
            entries.append(Entry(tuple(rows), path, _frames(path, rows[0])))
    _check_distinct(entries)
    _check_names(entries)
    _tell_found_phases(entries)
    return entries


def _check_owner(rows: Sequence[TableRow]) -> None:
    """A file is of one patient."""
    first = rows[0]
    for row in rows[1:]:
        if row.patient != first.patient:
            raise DatasetError(f"{row.where}: {row.path} belongs to {first.patient} above, not to {row.patient}")


def _check_agreement(rows: Sequence[TableRow]) -> None:
    """Lines about one volume say the same of it, and are about its slices, or there is one line."""
    first = rows[0]
    for row in rows[1:]:
        if row.numbers != first.numbers or row.phase != first.phase or row.mask != first.mask:
            raise DatasetError(f"{row.where}: {row.path} has another phase, time point or mask above: write the same")
        if row.slices is None or first.slices is None:
            raise ImageLabelsError(
                f"{row.where}: {row.path} has more than one line and one is about the whole of it: keep that line"
                " alone, or name slices on each"
            )


def _check_distinct(entries: Iterable[Entry]) -> None:
    seen: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        for phase in entry.frames:
            other = seen.setdefault((entry.patient, phase), entry)
            if other is not entry:
                raise DatasetError(
                    f"{entry.rows[0].where}: {entry.patient} has two volumes{f' called {phase}' if phase else ''} "
                    f"({other.rows[0].path} and {entry.rows[0].path}): tell them apart in the column phase"
                )


def _check_names(entries: Iterable[Entry]) -> None:
    """No two volumes get results of one name, on no kind of disk."""
    seen: dict[str, Entry] = {}
    for entry in entries:
        for name in case_ids([Study(entry.patient, "", entry.frames)]):
            other = seen.setdefault(name.lower(), entry)
            if other is not entry:
                raise DatasetError(
                    f"{entry.rows[0].where}: results of {other.rows[0].path} and {entry.rows[0].path} would both be "
                    f"called {name}: rename a patient or a phase, beyond upper and lower case"
                )


def _frames(path: Path, row: TableRow) -> Mapping[str, Frame]:
    """The volumes of a file: itself, the time points that the table names, or those of most and least blood."""
    count, numbers = time_points(path), row.numbers
    beyond = next((f"{name} {number}" for name, number in numbers.items() if number > count), None)
    if beyond is not None:
        raise DatasetError(f"{row.where}: {row.path} has {count} time points, there is no {beyond}")
    if count == 1:
        return {row.phase: Frame(path, None)}
    if "frame" in numbers:
        number = numbers["frame"]
        return {row.phase or f"frame{number:02d}": Frame(path, number, time_index=number - 1)}
    if row.mask:
        raise DatasetError(f"{row.where}: a mask is of one time point: name it in the column frame")
    if row.phase:
        raise DatasetError(
            f"{row.where}: {row.path} has {count} time points: name that of phase {row.phase} in the column frame, or"
            " leave phase empty for ED and ES"
        )
    if len(numbers) == 1:
        raise DatasetError(f"{row.where}: {', '.join(numbers)} alone is not enough: name ed and es, or none of them")
    named = (numbers["ed"], numbers["es"]) if {"ed", "es"} <= numbers.keys() else None
    chosen = named or _found_phases(path)
    if chosen[0] == chosen[1]:
        raise DatasetError(f"{row.where}: ed and es are both time point {chosen[0]}: name two")
    return {phase: Frame(path, n, time_index=n - 1) for phase, n in zip(PHASES, chosen, strict=True)}


def _found_phases(path: Path) -> tuple[int, int]:
    early, late = extreme_frames(load_volume(path).array)
    return early + 1, late + 1


def _tell_found_phases(entries: Iterable[Entry]) -> None:
    found = [entry for entry in entries if len(entry.frames) > 1 and not entry.rows[0].numbers]
    if found:
        early, late = (found[0].frames[phase].number for phase in PHASES)
        message = (
            f"ED and ES of {len(found)} cines were found by their brightness, first {found[0].rows[0].path}:"
            f" {early} and {late}; look at them, and name others in the columns ed and es (medwsss init fills them)"
        )
        warnings.warn(message, MedwsssWarning, stacklevel=3)


def entry_set(entries: Sequence[Entry], root: Path) -> StudySet:
    """The studies that entries make up, by patient, and the masks that their lines list.

    Raises:
        DatasetError: a mask is missing, or lines contradict each other about a patient.
    """
    by_patient: dict[str, list[Entry]] = {}
    for entry in entries:
        by_patient.setdefault(entry.patient, []).append(entry)
    studies = tuple(_study(patient, own) for patient, own in sorted(by_patient.items()))
    return StudySet(studies, _references(entries, root))


def _study(patient: str, entries: Sequence[Entry]) -> Study:
    rows = [row for entry in entries for row in entry.rows]
    cines = [entry.path for entry in entries if len(entry.frames) > 1]
    return Study(
        patient=patient,
        group=_only({row.group for row in rows if row.group}, "group", rows[0]) or "unknown",
        frames={phase: frame for entry in entries for phase, frame in entry.frames.items()},
        cine=cines[0] if len(cines) == 1 else None,
        height_cm=_only({row.height_cm for row in rows if row.height_cm}, "height_cm", rows[0]),
        weight_kg=_only({row.weight_kg for row in rows if row.weight_kg}, "weight_kg", rows[0]),
    )


def _only(values: set[_Value], column: str, row: TableRow) -> _Value | None:
    """What all lines of a patient say, None where none says anything."""
    if len(values) > 1:
        shown = " and ".join(map(str, sorted(values, key=str)))
        raise DatasetError(f"{row.where}: {row.patient} has {column} {shown} on different lines: write one of them")
    return next(iter(values), None)


def _references(entries: Iterable[Entry], root: Path) -> dict[str, Path]:
    found = {}
    for entry in entries:
        row = entry.rows[0]
        if row.mask:
            path = root / row.mask
            if not path.is_file():
                raise DatasetError(f"{row.where}: mask {row.mask} is not in {root}: correct it, or leave it empty")
            (name,) = case_ids([Study(entry.patient, "", entry.frames)])
            found[name] = path
    return found
