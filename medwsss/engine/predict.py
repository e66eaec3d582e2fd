"""From files to files: what is to be segmented, and the label volumes and maps written for it."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32

from medwsss.config.data import GridConfig
from medwsss.config.schema import RunConfig
from medwsss.config.training import InferenceConfig
from medwsss.data.image_labels import ImageLabels
from medwsss.data.records import save_record
from medwsss.data.sample import SliceKey
from medwsss.data.study import Frame, Study, case_id, cine_case, load_frame
from medwsss.engine.infer import Segmentation, segment_volume, volume_cams
from medwsss.engine.quality import QUALITY, CaseQuality, case_quality
from medwsss.errors import DatasetError, ImageLabelsError, MedwsssWarning, OutputError
from medwsss.labels import ACDC_TASKS, LabelSet
from medwsss.methods.method import Predictor
from medwsss.reading import read_json
from medwsss.volumes.dicom import is_dicom_folder
from medwsss.volumes.io import NIFTI_SUFFIXES, load_volume, save_volume, volume_stem
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume
from medwsss.writing import is_plain_name

RECORD = "prediction.json"
MAPS = ("probabilities", "cams", "uncertainty")
"""Folders of the optional maps, beside the label volumes."""


@dataclass(frozen=True)
class Item:
    """One output file: a 3D volume, or a 4D one whose frames are segmented one by one."""

    name: str
    frame: Frame | None
    """The frame to read; None reads the whole file."""
    path: Path
    patient: str
    phase: str

    def load(self) -> Volume:
        """The voxels.

        Raises:
            VolumeError, DatasetError: the file cannot be read or does not hold the frame.
        """
        return load_volume(self.path) if self.frame is None else load_frame(self.frame)

    def name_of(self, index: int, volume: Volume) -> str:
        """One frame of this item, for messages."""
        if self.frame is not None:
            return str(self.frame)
        return str(Frame(self.path, index + 1)) if volume.frames > 1 else str(self.path)


def study_items(studies: Sequence[Study], *, frames: Literal["ed-es", "all"]) -> list[Item]:
    """ED and ES of every patient, or with ``all`` the 4D file where there is one."""
    items = []
    for study in studies:
        if frames == "all" and study.cine is not None:
            items.append(Item(cine_case(study), None, study.cine, study.patient, ""))
            continue
        items += [
            Item(case_id(study, phase), study.frames[phase], study.frames[phase].path, study.patient, phase)
            for phase in study.frames
        ]
    return items


def file_items(path: Path) -> list[Item]:
    """A NIfTI file, the DICOM series in a folder, or every NIfTI file of a folder that is not a mask (``*_gt``).

    Raises:
        DatasetError: there is none.
    """
    files = (
        [path]
        if path.is_file() or is_dicom_folder(path)
        else sorted(file for file in path.glob("*") if _is_image(file))
    )
    if not files:
        raise DatasetError(
            f"{path} holds no NIfTI file: pass .nii or .nii.gz files, a folder of them, an ACDC or DICOM folder"
        )
    names = [file.name if file.is_dir() else volume_stem(file) for file in files]
    return [Item(name, None, file, name, "") for name, file in zip(names, files, strict=True)]


def predict_item(
    method: Predictor,
    item: Item,
    out: Path,
    *,
    grid: GridConfig,
    inference: InferenceConfig,
    labels: LabelSet,
    device: torch.device,
    image_labels: ImageLabels | None = None,
    maps: Sequence[str] = (),
) -> tuple[CaseQuality, ...]:
    """Segment one item and write ``out/NAME.nii.gz`` and the chosen maps, each on the grid of the input.

    Returns how far to trust it, for every frame.

    Raises:
        VolumeError, DatasetError: the input cannot be read.
        ImageLabelsError: the tags lack a slice of this item.
        OutputError: a file cannot be written.
    """
    volume = item.load()
    results, cams = [], []
    for index in range(volume.frames):
        frame, name = volume.frame(index), item.name_of(index, volume)
        tags = None if image_labels is None else tags_of(item, frame, image_labels)
        found = segment_volume(
            method, frame, grid=grid, inference=inference, device=device, image_labels=tags, name=name
        )
        results.append(found)
        if "cams" in maps:
            shown = volume_cams(
                method, frame, grid=grid, inference=inference, device=device, image_labels=tags, name=name
            )
            cams.append(shown)
    try:
        for file, written in _outputs(item.name, results, cams, like=volume, labels=labels, maps=maps):
            _save(written, out / file)
    except BaseException:  # an interruption, too: a case is there with all its maps or not at all
        for path in _result_files(out, item.name, labels.names):
            path.unlink()
        raise
    return tuple(
        case_quality(item.name, index if volume.frames > 1 else 0, found, labels)
        for index, found in enumerate(results, start=1)
    )


def _save(volume: Volume, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path.parent}: {error.strerror}; choose another --out") from None
    save_volume(volume, path)


def write_record(
    out: Path,
    items: Sequence[Item],
    *,
    config: RunConfig,
    labels: LabelSet,
    run: Path,
    checkpoint: str,
    tags: Path | None,
    failed: Mapping[str, str],
    also: Sequence[Path] = (),
) -> None:
    """What the folder holds and how it was made, for ``medwsss evaluate`` and for people.

    Raises:
        OutputError: the file cannot be written.
    """
    record = {
        "task": labels.name,
        "classes": list(labels.names),
        "tags": "none" if tags is None else str(tags),
        "method": config.method.name,
        "run": str(run),
        "checkpoint": checkpoint,
        "also": [str(path) for path in also],
        "cases": [item.name for item in items if item.name not in failed],
        "failed": dict(failed),
    }
    save_record(out / RECORD, record)


def claim_outputs(out: Path, items: Sequence[Item], *, overwrite: bool) -> None:
    """Make the folder; with ``overwrite``, remove earlier results of these items, so that no old file looks new.

    Results of other items stay, and a ``MedwsssWarning`` counts those of the last prediction.

    Raises:
        OutputError: the folder holds results that may not be overwritten, a result would replace an input, or two items
            share a name, or the folder holds a prediction of photographs.
    """
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OutputError(
            f"{len(twice)} names occur twice among the inputs ({twice[0]}): predict them into two folders"
        )
    old = [path for item in items for path in _result_files(out, item.name)]
    inputs = {item.path.resolve() for item in items}
    own = next((path for path in old if path.resolve() in inputs), None)
    if own is not None:
        raise OutputError(f"a result would replace the input {own}: choose another --out")
    if old and not overwrite:
        raise OutputError(
            f"{out} already holds results of these inputs ({old[0].name}): pass --overwrite to replace them"
        )
    if _is_of_photographs(out):
        raise OutputError(f"{out} holds a prediction of another kind of data: choose another --out")
    others = sorted(name for name in _recorded_cases(out) - set(names) if (out / _label_file(name)).exists())
    if others and not overwrite:
        raise OutputError(f"{out} already holds results of other inputs ({others[0]}): choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in (*old, out / RECORD, out / QUALITY):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {error.filename or out}: {error.strerror}; choose another --out") from None
    if others:
        message = (
            f"{out} still holds {len(others)} results of an earlier prediction, first {others[0]}: left as they are"
        )
        warnings.warn(message, MedwsssWarning, stacklevel=2)


def _outputs(
    name: str,
    results: Sequence[Segmentation],
    cams: Sequence[Volume],
    *,
    like: Volume,
    labels: LabelSet,
    maps: Sequence[str],
) -> Iterator[tuple[str, Volume]]:
    """Relative path and content of everything to write; frames go back to the fourth axis where there was one."""

    def joined(arrays: list[np.ndarray]) -> Volume:
        return replace(like, array=np.stack(arrays, axis=-1) if like.array.ndim == 4 else arrays[0])

    yield _label_file(name), joined([result.labels.array for result in results])
    if "uncertainty" in maps:
        yield map_file("uncertainty", name, "uncertainty"), joined([result.uncertainty.array for result in results])
    for channel, shown in enumerate(("background", *labels.names)):
        if "probabilities" in maps:
            yield map_file("probabilities", name, shown), joined([r.probs.array[..., channel] for r in results])
        if "cams" in maps and channel > 0:
            yield map_file("cams", name, shown), joined([volume.array[..., channel - 1] for volume in cams])


def _label_file(name: str) -> str:
    return f"{name}.nii.gz"


def map_file(folder: str, name: str, shown: str) -> str:
    """Where a map of one class lies, below the folder of the results."""
    return f"{folder}/{name}_{shown}.nii.gz"


def slice_keys_of(item: Item, frame: Volume) -> list[SliceKey]:
    """The slices of one frame of an item."""
    return [SliceKey(item.patient, item.phase, index) for index in range(len(slices_of(frame)))]


def tags_of(item: Item, frame: Volume, image_labels: ImageLabels) -> Float32[np.ndarray, "n cls"]:
    """The tags of the slices of one frame of an item.

    Raises:
        ImageLabelsError: there are none of a slice.
    """
    keys = slice_keys_of(item, frame)
    missing = [key for key in keys if key not in image_labels.tags]
    if missing:
        raise ImageLabelsError(f"the tags lack {len(missing)} slices of {item.name}, first: {missing[0]}")
    return image_labels.array(keys).astype(np.float32)


def _result_files(out: Path, name: str, classes: Sequence[str] = ()) -> list[Path]:
    """Everything there is of a case, with these classes, those of the last prediction or those of an ACDC task."""
    recorded = _record(out).get("classes")
    known = [what for what in recorded if isinstance(what, str)] if isinstance(recorded, list) else []
    shown = {"uncertainty", "background", *classes, *filter(is_plain_name, known)}
    shown = shown.union(*(task.labels.names for task in ACDC_TASKS.values()))
    maps = [map_file(folder, name, what) for folder in MAPS for what in sorted(shown)]
    return [path for file in (_label_file(name), *maps) if os.path.lexists(path := out / file)]


def _record(out: Path) -> dict[str, Any]:
    """What the last prediction into this folder has recorded; empty where there is no record or none of ours."""
    try:
        record = read_json(out / RECORD)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _is_of_photographs(out: Path) -> bool:
    record = _record(out)
    return "inputs" in record and "cases" not in record


def _recorded_cases(out: Path) -> set[str]:
    """Cases of the last prediction into this folder; none where there is no record or one of another kind."""
    cases = _record(out).get("cases")
    return {name for name in cases if isinstance(name, str)} if isinstance(cases, list) else set()


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(NIFTI_SUFFIXES) and not volume_stem(path).endswith("_gt")
