"""A tiny folder of studies that somebody brings: files under names of their own, and a table of what they show."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fakes.acdc import FakePatient, image, mask, volume
from fakes.beating_heart import beating_heart
from medwsss.volumes.io import save_volume
from medwsss.volumes.volume import Volume

SLICES = 4
TIMES = 4
CODES = {"scar": 1, "effusion": 3}
"""Of the masks, whose code 2 is neither."""
MASK_CODES = "1=scar,2=background,3=effusion"
SHOWN = ((1, 1), (1, 0), (0, 1), (0, 0), (1, 1), (0, 1))
"""Whether scar and effusion are in the studies of ``write_studies``, patient by patient."""


def write_image(path: Path, number: int = 1, *, times: int = 1, codes: Sequence[int] = (1, 2, 3)) -> Path:
    """A volume of four slices, or a cine of ``times``; structures of other ``codes`` are as grey as the body."""
    patient = FakePatient(number=number)
    frames = []
    for time in range(1, times + 1):
        frame = image(patient, time)
        frame[~np.isin(mask(patient, time), (0, *codes))] = 40
        frames.append(frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_volume(volume(patient, frames[0] if times == 1 else np.stack(frames, axis=-1)), path)
    return path


def write_mask(path: Path, number: int = 1, *, time: int = 1, codes: Sequence[int] = (1, 2, 3)) -> Path:
    """What ``write_image`` shows at a time point."""
    patient = FakePatient(number=number)
    labels = mask(patient, time)
    labels[~np.isin(labels, codes)] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    save_volume(volume(patient, labels), path)
    return path


def write_table(path: Path, lines: Sequence[Mapping[str, object]]) -> Path:
    """A CSV table with the columns of all lines; a line may lack some."""
    columns = list(dict.fromkeys(name for line in lines for name in line))
    rows = [columns, *([str(line.get(name, "")) for name in columns] for line in lines)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_studies(root: Path, *, masks: Sequence[str] = ()) -> Path:
    """Six patients A1 to A6 in folders of their own, tagged as a whole; those in ``masks`` have one. Gives ``root``."""
    lines: list[dict[str, object]] = []
    for number, (scar, effusion) in enumerate(SHOWN, start=1):
        name = f"A{number}"
        codes = [code for code, shown in ((CODES["scar"], scar), (CODES["effusion"], effusion)) if shown]
        write_image(root / name / "cmr.nii.gz", number, codes=codes)
        if name in masks:
            write_mask(root / name / "drawn.nii.gz", number, codes=codes)
        drawn = f"{name}/drawn.nii.gz" if name in masks else ""
        lines.append({"patient": name, "file": f"{name}/cmr.nii.gz", "scar": scar, "effusion": effusion, "mask": drawn})
    write_table(root / "studies.csv", lines)
    return root


def write_beating_studies(root: Path, *, patients: int = 5, uneven: Sequence[int] = ()) -> Path:
    """Files of ES and ED of drawn hearts that beat, and a table that tags them as a whole.

    The ES of ``uneven`` patients has a slice more than the ED, so that the cine prior does not fit.
    """
    lines = []
    root.mkdir(parents=True)
    for number in range(1, patients + 1):
        for phase in ("ES", "ED"):
            file = f"heart_{number}_{phase}.nii.gz"
            slices = 5 if number in uneven and phase == "ES" else SLICES
            grey = (255 * beating_heart(phase, slices=slices, seed=number).image).astype(np.int16)
            affine = np.diag([-1.5, -1.5, 10.0, 1.0])
            save_volume(Volume(grey.transpose(2, 1, 0).copy(), (1.5, 1.5, 10.0), affine), root / file)
            lines.append({"patient": f"H{number}", "file": file, "phase": phase, "LV": 1, "MYO": 1, "RV": 1})
    write_table(root / "studies.csv", lines)
    return root
