"""A tiny ACDC in the real layout: a bright heart on a grey body, a few small patients, and ways to leave parts out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medwsss.volumes.io import save_volume
from medwsss.volumes.volume import Volume

GROUPS = ("DCM", "HCM", "MINF", "NOR", "RV")
GRID = (40, 36, 4)
SPACING_MM = (1.5, 1.5, 10.0)


@dataclass(frozen=True, kw_only=True)
class FakePatient:
    """One patient; the defaults are a complete one."""

    number: int = 1
    group: str | None = "NOR"
    ed: int | None = 1
    es: int | None = 3
    frame_files: tuple[str, ...] = ("ED", "ES")
    """Phases that get a file of their own."""
    cine: bool = False
    masks: bool = True
    suffix: str = ".nii.gz"
    grid: tuple[int, int, int] = GRID
    spacing_mm: tuple[float, float, float] = SPACING_MM
    affine: tuple[tuple[float, ...], ...] | None = None

    @property
    def name(self) -> str:
        return f"patient{self.number:03d}"


def fake_patients(count: int) -> tuple[FakePatient, ...]:
    """Complete patients, spread over the five groups."""
    return tuple(FakePatient(number=i + 1, group=GROUPS[i % len(GROUPS)]) for i in range(count))


def write_acdc(root: Path, patients: Sequence[FakePatient], *, part: str = "training") -> Path:
    """Write patients below ``root / part`` and return ``root``; part "" gives a flat folder."""
    for patient in patients:
        write_patient(root / part / patient.name, patient)
    return root


def write_patient(folder: Path, patient: FakePatient) -> None:
    folder.mkdir(parents=True)
    numbers = {"ED": patient.ed or 1, "ES": patient.es or 3}
    entries = {
        "ED": patient.ed,
        "ES": patient.es,
        "Group": patient.group,
        "Height": 170.0,
        "NbFrame": 4,
        "Weight": 70.0,
    }
    lines = [f"{key}: {value}\n" for key, value in entries.items() if value is not None]
    (folder / "Info.cfg").write_text("".join(lines), encoding="utf-8")
    for phase, number in numbers.items():
        stem = f"{patient.name}_frame{number:02d}"
        if phase in patient.frame_files:
            save_volume(volume(patient, image(patient, number)), folder / f"{stem}{patient.suffix}")
        if patient.masks:
            save_volume(volume(patient, mask(patient, number)), folder / f"{stem}_gt{patient.suffix}")
    if patient.cine:
        frames = np.stack([image(patient, number) for number in range(1, 5)], axis=-1)
        save_volume(volume(patient, frames), folder / f"{patient.name}_4d{patient.suffix}")


def volume(patient: FakePatient, array: np.ndarray) -> Volume:
    x, y, z = patient.spacing_mm
    affine = np.diag([-x, -y, z, 1.0]) if patient.affine is None else np.array(patient.affine)
    return Volume(array, patient.spacing_mm, affine)


def mask(patient: FakePatient, number: int) -> np.ndarray:
    """Codes of a frame: slice 0 has no heart, slice 1 only RV and MYO, the others RV, MYO and LV."""
    labels = np.zeros(patient.grid, dtype=np.uint8)
    x, y = patient.grid[0] // 2, patient.grid[1] // 2
    half = 4 + number % 2
    labels[x - half : x + half, y - half : y + half, 1:] = 2
    labels[x - half - 3 : x - half, y - 2 : y + 2, 1:] = 1
    labels[x - 2 : x + 2, y - 2 : y + 2, 2:] = 3
    return labels


def image(patient: FakePatient, number: int) -> np.ndarray:
    """Grey levels of a frame, 0-255, with noise of its own."""
    rng = np.random.default_rng([patient.number, number])
    levels = np.array([40, 220, 90, 200])[mask(patient, number)]
    return (levels + rng.normal(0.0, 10.0, patient.grid)).clip(0, 255).astype(np.int16)
