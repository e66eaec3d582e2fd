"""Which prediction belongs to which reference, and what the numbers in the files mean."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medwsss.data.layouts import study_set
from medwsss.data.pseudo_folder import RECORD, PseudoFolder, read_pseudo_record
from medwsss.data.study import Frame, Study, StudySet, case_id, cine_case
from medwsss.errors import EvaluationError
from medwsss.labels import ACDC_TASKS, BACKGROUND, BACKGROUND_NAME, OWN_TASK, LabelSet, Task, own_task, parsed_codes
from medwsss.metrics.results import Sources
from medwsss.reading import read_json
from medwsss.volumes.io import ITK_SUFFIXES, NIFTI_SUFFIXES, load_label_volume, volume_stem
from medwsss.writing import is_plain_name

PREDICTION_RECORD = "prediction.json"
ACDC_STRUCTURES: Mapping[str, int] = {"rv": 1, "myo": 2, "lv": 3}

_LABEL_SUFFIX = re.compile(r"_(gt|seg|label|pred)$", re.IGNORECASE)
_IMAGE_SUFFIX = re.compile(r"_0000$")
_OTHER_MAPS = re.compile(r"_(probs|cams?|uncertainty)$", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One volume to evaluate: two label files, how to read their codes, and what is known about the patient."""

    name: str
    patient: str
    prediction: Path
    reference: Path
    prediction_codes: Task
    reference_codes: Task
    phase: str = ""
    group: str = ""
    image: Frame | None = None
    study: Study | None = None
    """Both phases of the patient, where the images lie in an ACDC folder."""


@dataclass(frozen=True)
class Pairing:
    """The cases of an evaluation, the task, and where everything came from."""

    task: str
    cases: tuple[Case, ...]
    sources: Sources


@dataclass(frozen=True)
class _Codes:
    """How to read the numbers of the predictions, and that in words."""

    task: Task
    words: str


def pair_cases(
    predictions: Path,
    truth: Path,
    *,
    task: str | None = None,
    images: Path | None = None,
    prediction_codes: str | None = None,
    truth_codes: str | None = None,
    studies: Sequence[Study] | None = None,
    references: Mapping[str, Path] | None = None,
) -> Pairing:
    """Match label files by name, ignoring a suffix _gt, _seg, _label or _pred.

    ``truth`` and ``images`` may be data sets (ACDC, or studies with a table), which also tell patient, phase and
    group; ``studies`` and ``references`` are such a data set where it has been read already. Codes such as
    ``"1=LV,2=MYO"`` say what the numbers mean; without them the reference holds ACDC codes, or the labels of the user's
    own classes, and the predictions hold the labels of the task if their prediction.json says so or no number is
    larger than the number of classes, and ACDC codes otherwise.

    Raises:
        EvaluationError: a folder is missing or empty, names are ambiguous, nothing matches, or codes make no sense.
        DatasetError: an ACDC folder is damaged.
    """
    pictured = None if studies is not None else _known(images)
    there = None if studies is not None else _known(truth)
    by_name = _by_name(_studies(pictured) + _studies(there) if studies is None else studies)
    found = _by_case(label_files(predictions), by_name)
    if references is None:
        references = label_files(truth) if there is None else there.references
    names = sorted(found.keys() & references.keys())
    if not names:
        raise EvaluationError(_nothing_matches(predictions, truth, found, references))
    record = _prediction_record(predictions)
    codes_present = _codes_present(found[name] for name in names)
    tasks = ACDC_TASKS if record.own is None else {**ACDC_TASKS, OWN_TASK: record.own}
    task = _chosen_task(task, tasks, record, prediction_codes, codes_present)
    codes = _prediction_codes(tasks[task], record, prediction_codes, codes_present)
    truth_table = _explicit_codes(tasks[task], truth_codes) if truth_codes else _reference_codes(tasks[task])
    pictures = {} if pictured else {name: Frame(path, None) for name, path in _image_files(images).items()}
    cases = tuple(
        _case(name, found[name], references[name], codes.task, truth_table.task, by_name, pictures) for name in names
    )
    sources = Sources(
        predictions=str(predictions),
        references=str(truth),
        prediction_codes=codes.words,
        reference_codes=truth_table.words,
        tags=record.tags,
        checkpoint=_CHECKPOINTS.get(record.checkpoint, "not known"),
        unmatched_predictions=tuple(sorted(found.keys() - references.keys())),
        unmatched_references=tuple(sorted(references.keys() - found.keys())),
    )
    return Pairing(task, cases, sources)


def label_files(root: Path) -> dict[str, Path]:
    """Label files by case name: the masks of an ACDC folder, the files of any other folder, or a single file.

    Of a folder of pseudo-labels it is those that have labels. Subfolders of others are searched only where the folder
    itself holds no volume. Where several files share a name, the one with a label suffix counts.

    Raises:
        EvaluationError: no such file or folder, no volume in it, or two label files of one name.
        DatasetError: the record of a folder of pseudo-labels is damaged.
    """
    if root.is_file():
        return {_label_name(root): root}
    if not root.is_dir():
        raise EvaluationError(f"{root} is neither a file nor a folder: pass label files (.nii or .nii.gz)")
    if (there := study_set(root)) is not None:
        return dict(there.references)
    if (root / RECORD).is_file():
        made = PseudoFolder(root, read_pseudo_record(root / RECORD))
        return {name: made.labels_file(name) for name in made.record.names if name not in made.record.left_out}
    files: dict[str, list[Path]] = {}
    for path in _volume_files(root):
        if not _OTHER_MAPS.search(volume_stem(path)):
            files.setdefault(_label_name(path), []).append(path)
    if not files:
        raise EvaluationError(f"{root} holds no label files (.nii or .nii.gz)")
    return {name: _only(name, paths) for name, paths in files.items()}


def _only(name: str, paths: list[Path]) -> Path:
    labelled = [path for path in paths if _LABEL_SUFFIX.search(volume_stem(path))] if len(paths) > 1 else paths
    if len(labelled) != 1:
        listed = " and ".join(str(path) for path in paths[:2])
        raise EvaluationError(f"{listed} are both named {name}: keep one of them")
    return labelled[0]


def _volume_files(folder: Path) -> list[Path]:
    def volumes(pattern: str) -> list[Path]:
        return sorted(p for p in folder.glob(pattern) if p.name.lower().endswith(NIFTI_SUFFIXES + ITK_SUFFIXES))

    return [path for path in volumes("*") or volumes("**/*") if not path.name.startswith(".")]


def _label_name(path: Path) -> str:
    return _LABEL_SUFFIX.sub("", volume_stem(path))


def _image_files(folder: Path | None) -> dict[str, Path]:
    """Images of a folder that is no data set, by case name; nothing without a folder."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder: pass the folder of images with --images")
    paths = [path for path in _volume_files(folder) if not _LABEL_SUFFIX.search(volume_stem(path))]
    return {_IMAGE_SUFFIX.sub("", volume_stem(path)): path for path in paths}


def _known(root: Path | None) -> StudySet | None:
    return None if root is None or not root.is_dir() else study_set(root)


def _studies(known: StudySet | None) -> tuple[Study, ...]:
    return () if known is None else known.studies


def _by_name(studies: Sequence[Study]) -> dict[str, tuple[Study, str]]:
    cines = {cine_case(study): (study, "") for study in studies if study.cine is not None}
    return cines | {case_id(study, phase): (study, phase) for study in studies for phase in study.frames}


def _by_case(files: Mapping[str, Path], studies: Mapping[str, tuple[Study, str]]) -> dict[str, Path]:
    grouped: dict[str, list[Path]] = {}
    for name, path in files.items():
        grouped.setdefault(_case_of(name, studies), []).append(path)
    return {name: _only(name, paths) for name, paths in grouped.items()}


def _case_of(name: str, studies: Mapping[str, tuple[Study, str]]) -> str:
    """The case meant by a file name: the name itself, or patientNNN_ED and patientNNN_ES as in ACDC submissions."""
    patient, _, phase = name.rpartition("_")
    aliases = (case for case, (study, own) in studies.items() if (study.patient, own) == (patient, phase.upper()))
    return name if name in studies else next(aliases, name)


def _case(
    name: str,
    prediction: Path,
    reference: Path,
    prediction_codes: Task,
    reference_codes: Task,
    studies: Mapping[str, tuple[Study, str]],
    pictures: Mapping[str, Frame],
) -> Case:
    if name not in studies:
        patient, phase = _patient_and_phase(name)
        image = pictures.get(name)
        return Case(name, patient, prediction, reference, prediction_codes, reference_codes, phase, image=image)
    study, phase = studies[name]
    image = pictures.get(name, study.frames.get(phase))
    return Case(
        name, study.patient, prediction, reference, prediction_codes, reference_codes, phase, study.group, image, study
    )


def _patient_and_phase(name: str) -> tuple[str, str]:
    """What a file name alone tells: two volumes of one patient must not count as two patients."""
    match = re.fullmatch(r"(?P<patient>.+?)_(?P<phase>ED|ES|4d|frame\d+)", name)
    if match is None:
        return name, ""
    return match["patient"], match["phase"] if match["phase"] in ("ED", "ES") else ""


def _nothing_matches(predictions: Path, truth: Path, found: Iterable[str], references: Iterable[str]) -> str:
    ours, theirs = (next(iter(sorted(names)), "nothing") for names in (found, references))
    return (
        f"no prediction in {predictions} has the name of a reference in {truth} "
        f"(a prediction: {ours}, a reference: {theirs}): rename the predictions like the references"
    )


# --- What the numbers mean -------------------------------------------------------------------------------------------

_ACDC_WORDS = "ACDC codes (1 RV, 2 MYO, 3 LV)"
_CHECKPOINTS = {
    "last": "last iteration, chosen by nothing",
    "best": "best validation score on the run's held-out patients: numbers on those patients flatter",
}


@dataclass(frozen=True)
class _Record:
    """What ``predict``, ``seeds`` or ``pseudo-label`` left beside its files; of other programs nothing is known."""

    source: str = PREDICTION_RECORD
    """Name of the file that says it."""
    task: str | None = None
    tags: str = "not known"
    checkpoint: str = ""
    own: Task | None = None
    """The user's own classes that were predicted, where they are none of ACDC's tasks."""


def _prediction_record(predictions: Path) -> _Record:
    folder = predictions if predictions.is_dir() else predictions.parent
    if (folder / RECORD).is_file():
        return _pseudo_record(folder / RECORD)
    path = folder / PREDICTION_RECORD
    if not path.is_file():
        return _Record()
    try:
        record = read_json(path)
        task, tags, classes = str(record["task"]), record.get("tags"), record.get("classes")
        own = _own_task(classes) if task == OWN_TASK else None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise EvaluationError(f"{path} is not a record of medwsss predict: remove it, or predict again") from error
    if task not in (*ACDC_TASKS, OWN_TASK):
        raise EvaluationError(f"{path} names task {task!r}, known are {', '.join(ACDC_TASKS)}: predict again")
    told = "not known" if tags is None else str(tags)
    return _Record(PREDICTION_RECORD, task, told, str(record.get("checkpoint")), own)


def _own_task(classes: Iterable[object]) -> Task:
    """The task of recorded classes, whose names become those of files; ``ValueError`` where they cannot."""
    names = [str(name) for name in classes]
    if not names or not all(map(is_plain_name, names)):
        raise ValueError("its classes cannot be part of file names")
    return own_task(names)


def _pseudo_record(path: Path) -> _Record:
    made = read_pseudo_record(path)
    own = _own_task(made.classes) if made.task == OWN_TASK else None
    return _Record(RECORD, made.task, str(made.provenance.get("tags", "not known")), own=own)


def _codes_present(paths: Iterable[Path]) -> set[int]:
    present: set[int] = set()
    for path in paths:
        present |= set(np.unique(load_label_volume(path).array).tolist())
    return present


def _chosen_task(
    task: str | None, tasks: Mapping[str, Task], record: _Record, codes: str | None, present: set[int]
) -> str:
    if task is not None and task not in tasks:
        raise EvaluationError(f"unknown task {task!r}: choose {', '.join(tasks)}")
    if task is not None:
        return task
    if codes is not None and record.own is None:
        named = {name.lower() for name in _parsed(codes).values()}
        return "heart" if "heart" in named else "multi" if named & {"rv", "myo"} else "lv"
    return record.task or ("multi" if present & {2, 3} else "heart")


def _prediction_codes(task: Task, record: _Record, codes: str | None, present: set[int]) -> _Codes:
    labels = task.labels
    own = Task(labels, {label: label for label in range(labels.num_classes)})
    own_words = f"labels of the task ({_numbered(labels)})"
    if codes is not None:
        return _explicit_codes(task, codes)
    if record.task == labels.name:
        return _Codes(own, f"{own_words}, as {record.source} says")
    if record.task not in (None, "multi"):
        raise EvaluationError(f"the predictions hold task {record.task}, they cannot be evaluated as {labels.name}")
    if record.task is None and max(present) < labels.num_classes:
        return _Codes(own, f"{own_words}, because no prediction holds a larger number")
    reason = f"{record.source} says task multi" if record.task else f"the predictions hold {max(present)}"
    return _Codes(task, f"{_ACDC_WORDS}, because {reason}")


def _reference_codes(task: Task) -> _Codes:
    """What references hold where nobody says: ACDC's codes, or the labels of the user's own classes."""
    if task.labels.name != OWN_TASK:
        return _Codes(task, _ACDC_WORDS)
    return _Codes(task, f"labels of the classes ({_numbered(task.labels)})")


def _numbered(labels: LabelSet) -> str:
    return ", ".join(f"{label} {name}" for label, name in enumerate(labels.names, start=1))


def _explicit_codes(task: Task, text: str) -> _Codes:
    table = {0: 0} | {code: _label(task, name) for code, name in _parsed(text).items()}
    return _Codes(Task(task.labels, table), f"as given: {text}")


def _parsed(text: str) -> dict[int, str]:
    try:
        return parsed_codes(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _label(task: Task, name: str) -> int:
    """Label of a structure in a task; structures that the task does not hold become background."""
    own = {known.lower(): label for label, known in enumerate(task.labels.names, start=1)}
    if name.lower() in own:
        return own[name.lower()]
    if name.lower() in ACDC_STRUCTURES and task.labels.name != OWN_TASK:
        return task.codes[ACDC_STRUCTURES[name.lower()]]
    if name.lower() == BACKGROUND_NAME:
        return BACKGROUND
    known = "RV, MYO, LV, " if task.labels.name != OWN_TASK else ""
    raise EvaluationError(
        f"task {task.labels.name} has no structure {name!r}: choose {known}background or {', '.join(own)}"
    )
