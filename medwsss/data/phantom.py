"""The embedded data set: generated cardiac cine MR in ACDC's layout, so that every command runs without a download."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int16, UInt8

from medwsss.data.phantom_anatomy import Anatomy, draw_anatomy, draw_plane, draw_slices
from medwsss.data.phantom_heart import GROUP_SHAPES, Moment
from medwsss.data.phantom_imaging import Grid, Scanner, draw_scanner
from medwsss.data.phantom_painting import render_slice
from medwsss.errors import OutputError
from medwsss.volumes.io import save_volume
from medwsss.volumes.volume import Volume

PHANTOM_VERSION = 2
"""Raise it when equal arguments no longer give equal images, so that an older copy is not taken for this one."""
SHORTEST_CINE = 6
"""Fewest frames of a cycle that holds ED, ES and both ways between them."""


@dataclass(frozen=True)
class CineTiming:
    """Which frames are end-diastole and end-systole, counted from 1 as in Info.cfg."""

    frames: int
    ed: int
    es: int

    def moment(self, frame: int) -> Moment:
        """Contraction and breathing at a frame; contraction rises to end-systole and falls a little slower."""
        systole = (self.es - self.ed) % self.frames
        since = (frame - self.ed) % self.frames
        part = since / systole if since <= systole else 1.0 + (since - systole) / (self.frames - systole)
        return Moment(math.sin(0.5 * math.pi * part) ** 2, math.sin(0.5 * math.pi * since / systole))


@dataclass(frozen=True, eq=False)
class PhantomPatient:
    """One generated patient; frames are rendered on request."""

    anatomy: Anatomy
    timing: CineTiming
    slices_mm: list[float]
    grid: Grid
    scanner: Scanner
    geometry: Volume
    noise_seed: int
    height_cm: float
    weight_kg: float

    def frame(self, number: int) -> tuple[Int16[np.ndarray, "x y z"], UInt8[np.ndarray, "x y z"]]:
        """Image and codes (1 RV, 2 MYO, 3 LV) of one frame, counted from 1."""
        moment = self.timing.moment(number)
        rendered = [render_slice(self.anatomy, z, moment, self.grid) for z in self.slices_mm]
        signal, codes = (np.stack(parts, axis=-1) for parts in zip(*rendered, strict=True))
        image = self.scanner.acquire(np.random.default_rng((self.noise_seed, number)), signal, moment)
        return np.rint(np.clip(image, 0, np.iinfo(np.int16).max)).astype(np.int16), codes

    def info(self) -> str:
        """The text of Info.cfg."""
        values = {
            "ED": self.timing.ed,
            "ES": self.timing.es,
            "Group": self.anatomy.heart.group,
            "Height": self.height_cm,
            "NbFrame": self.timing.frames,
            "Weight": self.weight_kg,
        }
        return "".join(f"{key}: {value}\n" for key, value in values.items())


def draw_patient(number: int, *, seed: int = 0, cine_frames: int = 0) -> PhantomPatient:
    """Patient ``number`` (from 1); a pure function of the arguments, whatever the size of the data set.

    Raises:
        ValueError: an argument is out of range (see ``write_phantom``).
    """
    if number < 1 or seed < 0:
        raise ValueError(f"number must be at least 1 and seed at least 0, not {number} and {seed}")
    if cine_frames != 0 and cine_frames < SHORTEST_CINE:
        raise ValueError(f"cine_frames must be 0 or at least {SHORTEST_CINE}, not {cine_frames}")
    rng = np.random.default_rng((seed, number))
    groups = tuple(GROUP_SHAPES)
    pixel, size, field_mm = draw_plane(rng)
    gap = float(rng.uniform(8.0, 10.0))
    anatomy = draw_anatomy(rng, groups[(number - 1) % len(groups)], field_mm)
    slices_mm = draw_slices(rng, anatomy.heart, gap)
    affine = np.diag([-pixel, -pixel, gap, 1.0])
    affine[:3, 3] = rng.uniform(-120.0, 120.0, 3)
    grid = Grid.centred(size, pixel)
    timing = _draw_timing(rng, cine_frames)
    return PhantomPatient(
        anatomy,
        timing,
        slices_mm,
        grid,
        draw_scanner(rng, grid, len(slices_mm)),
        Volume(
            np.zeros((*size, len(slices_mm)), np.int16),
            (pixel, pixel, gap),
            affine,
            frame_spacing=round(0.9 / timing.frames, 4),  # seconds, at 67 beats a minute
        ),
        noise_seed=int(rng.integers(2**31)),
        height_cm=float(rng.integers(150, 196)),
        weight_kg=float(rng.integers(48, 116)),
    )


def _draw_timing(rng: np.random.Generator, cine_frames: int) -> CineTiming:
    frames = cine_frames or int(rng.integers(14, 36))
    systole = max(2, round(frames * rng.uniform(0.3, 0.45)))
    # Most studies are triggered at end-diastole; in some the first frame lies elsewhere in the cycle.
    first = int(rng.integers(2, frames)) if rng.random() < 0.15 else 0
    return CineTiming(frames, ed=1 + first, es=1 + (first + systole) % frames)


def write_phantom(root: Path, *, patients: int = 24, seed: int = 0, cine_frames: int = 0) -> None:
    """Write an ACDC-like data set: ``root/training/patientNNN`` with Info.cfg, the ED and ES frames and their masks.

    With ``cine_frames`` above 0, ``patientNNN_4d.nii.gz`` holds that many frames of the cycle, ED and ES among them.
    The folder appears whole or not at all. Equal arguments give equal bytes, and a patient does not depend on
    ``patients``.

    Raises:
        ValueError: ``patients`` is below 1 or above 999, ``seed`` below 0, or ``cine_frames`` neither 0 nor at least 6.
        OutputError: ``root`` is a file or a folder that is not empty, or cannot be written.
    """
    if not 1 <= patients <= 999:
        raise ValueError(f"patients must be between 1 and 999, not {patients}")
    if seed < 0 or (cine_frames != 0 and cine_frames < SHORTEST_CINE):
        raise ValueError(
            f"seed must be at least 0 and cine_frames 0 or at least {SHORTEST_CINE}, not {seed} and {cine_frames}"
        )
    root = root.resolve()
    if root.is_file() or (root.is_dir() and any(root.iterdir())):
        raise OutputError(f"{root} already exists and is not empty: choose another folder or remove it")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{root.name}.partial-", dir=root.parent) as partial:
            whole = Path(partial) / root.name
            for number in range(1, patients + 1):
                patient = draw_patient(number, seed=seed, cine_frames=cine_frames)
                write_patient(patient, whole / "training" / f"patient{number:03d}", with_cine=cine_frames > 0)
            if root.is_dir():
                root.rmdir()
            whole.rename(root)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{root}: cannot write ({reason}); choose a writable folder with space") from error


def write_patient(patient: PhantomPatient, folder: Path, *, with_cine: bool) -> None:
    """Write one patient in ACDC's layout; the folder's name is the patient's name in the files."""
    folder.mkdir(parents=True)
    (folder / "Info.cfg").write_text(patient.info(), encoding="utf-8")
    numbers = range(1, patient.timing.frames + 1) if with_cine else (patient.timing.ed, patient.timing.es)
    frames = {number: patient.frame(number) for number in numbers}
    for number in (patient.timing.ed, patient.timing.es):
        image, codes = frames[number]
        stem = folder / f"{folder.name}_frame{number:02d}"
        save_volume(patient.geometry.with_array(image), stem.with_name(f"{stem.name}.nii.gz"))
        save_volume(patient.geometry.with_array(codes), stem.with_name(f"{stem.name}_gt.nii.gz"))
    if with_cine:
        cine = np.stack([image for image, _ in frames.values()], axis=-1)
        save_volume(patient.geometry.with_array(cine), folder / f"{folder.name}_4d.nii.gz")
