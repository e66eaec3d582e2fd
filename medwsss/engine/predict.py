"""From files to files: what is to be segmented, and the label volumes and maps written for it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32

from medwsss.config.schema import RunConfig
from medwsss.data.acdc import PHASES, Frame, Study, case_id, load_frame
from medwsss.data.image_labels import ImageLabels
from medwsss.data.sample import SliceKey
from medwsss.data.writing import written_whole
from medwsss.engine.infer import Segmentation, segment_volume
from medwsss.errors import DatasetError, ImageLabelsError, OutputError
from medwsss.labels import LabelSet
from medwsss.methods.method import Method
from medwsss.volumes.io import NIFTI_SUFFIXES, load_volume, save_volume, volume_stem
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

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


def study_items(studies: Sequence[Study], *, frames: Literal["ed-es", "all"]) -> list[Item]:
    """ED and ES of every patient, or with ``all`` the 4D file where there is one."""
    items = []
    for study in studies:
        if frames == "all" and study.cine is not None:
            items.append(Item(f"{study.patient}_4d", None, study.cine, study.patient, ""))
            continue
        items += [
            Item(case_id(study, phase), study.frames[phase], study.frames[phase].path, study.patient, phase)
            for phase in PHASES
        ]
    return items


def file_items(path: Path) -> list[Item]:
    """A NIfTI file, or every NIfTI file of a folder that is not a mask (``*_gt``).

    Raises:
        DatasetError: there is none.
    """
    files = [path] if path.is_file() else sorted(file for file in path.glob("*") if _is_image(file))
    if not files:
        raise DatasetError(
            f"{path} holds no NIfTI file: pass .nii or .nii.gz files, a folder of them, or an ACDC folder"
        )
    return [Item(volume_stem(file), None, file, volume_stem(file), "") for file in files]


def predict_item(
    method: Method,
    item: Item,
    out: Path,
    *,
    config: RunConfig,
    labels: LabelSet,
    device: torch.device,
    image_labels: ImageLabels | None = None,
    maps: Sequence[str] = (),
) -> Path:
    """Segment one item and write ``out/NAME.nii.gz`` and the chosen maps, each on the grid of the input.

    Raises:
        VolumeError, DatasetError: the input cannot be read.
        ImageLabelsError: the tags lack a slice of this item.
        OutputError: a file cannot be written.
    """
    volume = item.load()
    results = []
    for index in range(volume.frames):
        frame = volume.frame(index)
        tags = None if image_labels is None else _tags_of(item, frame, image_labels)
        results.append(
            segment_volume(
                method,
                frame,
                grid=config.data.grid,
                inference=config.inference,
                device=device,
                image_labels=tags,
                name=str(item.path),
            )
        )
    target = out / f"{item.name}.nii.gz"
    for name, written in _outputs(results, like=volume, labels=labels, maps=maps):
        path = target if not name else out / name.format(case=item.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_volume(written, path)
    return target


def write_record(out: Path, record: Mapping[str, object]) -> None:
    """What the folder holds and how it was made, for ``medwsss evaluate`` and for people."""
    try:
        with written_whole(out / RECORD) as partial:
            partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {out / RECORD}: {error.strerror}") from None


def claim_outputs(out: Path, items: Sequence[Item], *, overwrite: bool) -> None:
    """Make the folder; with ``overwrite``, remove earlier results of these items, so that no old file looks new.

    Raises:
        OutputError: results of these items are there already and may not be overwritten, or two items share a name.
    """
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OutputError(
            f"{len(twice)} names occur twice among the inputs ({twice[0]}): predict them into two folders"
        )
    old = [path for item in items for path in _result_files(out, item.name)]
    if old and not overwrite:
        raise OutputError(
            f"{out} already holds results of these inputs ({old[0].name}): pass --overwrite to replace them"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in (*old, out / RECORD):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror}") from None


def _outputs(
    results: Sequence[Segmentation], *, like: Volume, labels: LabelSet, maps: Sequence[str]
) -> Iterator[tuple[str, Volume]]:
    """File name pattern and content of everything to write; frames go back to the fourth axis where there was one."""

    def joined(arrays: list[np.ndarray]) -> Volume:
        return replace(like, array=np.stack(arrays, axis=-1) if like.array.ndim == 4 else arrays[0])

    yield "", joined([result.labels.array for result in results])
    if "uncertainty" in maps:
        yield "uncertainty/{case}_uncertainty.nii.gz", joined([result.uncertainty.array for result in results])
    for channel, name in enumerate(("background", *labels.names)):
        if "probabilities" in maps:
            yield f"probabilities/{{case}}_{name}.nii.gz", joined([r.probs.array[..., channel] for r in results])
        if "cams" in maps and channel > 0:
            yield f"cams/{{case}}_{name}.nii.gz", joined([r.cams.array[..., channel - 1] for r in results])


def _tags_of(item: Item, frame: Volume, image_labels: ImageLabels) -> Float32[np.ndarray, "n cls"]:
    keys = [SliceKey(item.patient, item.phase, index) for index in range(len(slices_of(frame)))]
    missing = [key for key in keys if key not in image_labels.tags]
    if missing:
        raise ImageLabelsError(f"the tags lack {len(missing)} slices of {item.name}, first: {missing[0]}")
    return image_labels.array(keys).astype(np.float32)


def _result_files(out: Path, name: str) -> list[Path]:
    maps = [path for folder in MAPS for path in (out / folder).glob(f"{name}_*.nii.gz")]
    return [path for path in (out / f"{name}.nii.gz", *maps) if path.exists()]


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(NIFTI_SUFFIXES) and not volume_stem(path).endswith("_gt")
