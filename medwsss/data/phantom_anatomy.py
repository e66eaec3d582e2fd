"""The phantom's patients: what surrounds the heart, what each tissue looks like, and where the slices lie.

Coordinates as in ``phantom_heart``. Everything but the heart appears in slices with and without a heart alike.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from medwsss.data.phantom_heart import Heart, Point, draw_heart


@dataclass(frozen=True)
class Vessels:
    """Short pieces of small vessels, anywhere in the field: discs of one slab each."""

    position: Float[np.ndarray, "n 3"]
    radius_mm: Float[np.ndarray, " n"]
    brightness: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Body:
    """What surrounds the heart; everything but the heart is in slices with and without a heart alike."""

    centre: Point
    half_axes: Point
    skew: tuple[float, float]
    """Amplitude and phase of the trunk's third harmonic."""
    fat_mm: tuple[float, float]
    """Thickness at the back and at the front of the chest."""
    muscle_mm: float
    rib_phase: float
    spine_angle: float
    aorta_mm: float
    diaphragm_mm: float
    """Height of the diaphragm below the heart's centre at mid-heart; it rises towards the apex."""
    diaphragm_slope: float
    dome: tuple[float, float]
    """Height and half-width of the diaphragm's dome."""
    liver_edge_mm: float
    """Where the liver ends and the stomach begins, along x from the heart's centre."""
    stomach: tuple[float, float, float]
    """Half-axes and brightness of its content."""
    great_vessels: tuple[float, float, float, float]
    """Radii of aortic root, pulmonary artery, left and right atrium."""
    atrium_flatness: float
    """Shorter over longer half-axis of the atria."""
    breathing_mm: float
    """How far the diaphragm drifts from end-diastole to end-systole: hardly, a cine is taken in a breath-hold."""
    chest_shift_mm: float
    vessels: Vessels


@dataclass(frozen=True)
class Anatomy:
    """One patient."""

    heart: Heart
    body: Body
    tissue: dict[str, float]
    """Signal of each tissue relative to blood of the LV."""


def draw_body(rng: np.random.Generator, heart: Heart, field_mm: Point) -> Body:
    """A trunk that fills the field and follows the heart's offset only in part."""
    return Body(
        centre=(0.45 * heart.centre[0] + rng.uniform(-8, 8), 0.3 * heart.centre[1] + rng.uniform(-8, 8)),
        half_axes=(field_mm[0] * rng.uniform(0.45, 0.49), field_mm[1] * rng.uniform(0.52, 0.6)),
        skew=(rng.uniform(0.01, 0.05), rng.uniform(0.0, math.tau)),
        fat_mm=(rng.uniform(5.0, 14.0), rng.uniform(8.0, 24.0)),
        muscle_mm=rng.uniform(8.0, 12.0),
        rib_phase=rng.uniform(0.0, 1.0),
        spine_angle=rng.uniform(0.45, 0.95),
        aorta_mm=rng.uniform(9.5, 13.0),
        diaphragm_mm=rng.uniform(30.0, 55.0),
        diaphragm_slope=rng.uniform(0.35, 0.75),
        dome=(rng.uniform(8.0, 25.0), rng.uniform(50.0, 80.0)),
        liver_edge_mm=rng.uniform(-25.0, 30.0),
        stomach=(rng.uniform(20.0, 32.0), rng.uniform(15.0, 23.0), (0.1, 0.6, 0.85)[int(rng.integers(3))]),
        great_vessels=(rng.uniform(13, 17), rng.uniform(11, 15), rng.uniform(19, 26), rng.uniform(16, 23)),
        atrium_flatness=rng.uniform(0.6, 0.9),
        breathing_mm=rng.uniform(0.1, 0.3) * _sign(rng),
        chest_shift_mm=rng.uniform(0.05, 0.15) * _sign(rng),
        vessels=draw_vessels(rng, heart, field_mm),
    )


def draw_vessels(rng: np.random.Generator, heart: Heart, field_mm: Point, *, count: int = 900) -> Vessels:
    """Small vessels spread over the field and the length of the stack, most of them thin, a third near the hilum."""
    span = np.array([[0.5 * field_mm[0], 0.5 * field_mm[1], 0.5 * heart.length_mm + 40.0]])
    position = rng.uniform(-1.0, 1.0, (count, 3)) * span + np.array([[0.0, 0.0, 0.5 * heart.length_mm]])
    third = count // 3
    hilum = np.array([heart.centre[0] + 50.0, heart.centre[1] - 25.0])
    position[:third, :2] = hilum + rng.normal(0.0, 26.0, (third, 2))
    radius = 0.8 + rng.gamma(2.0, 0.6, count)
    radius[:third] *= 1.4
    return Vessels(position, np.minimum(radius, 6.0), rng.uniform(0.25, 0.95, count))


def draw_tissue(rng: np.random.Generator) -> dict[str, float]:
    """Signals as in balanced steady-state cine: fat and fluid as bright as blood, muscle dark, lung nearly black."""
    typical = {
        "air": 0.01, "lung": 0.07, "muscle": 0.25, "myocardium": 0.27, "blood": 0.85, "rv_blood": 0.78, "fat": 0.9,
        "marrow": 0.42, "bone": 0.06, "liver": 0.36, "spleen": 0.42, "bed": 0.4, "pad": 0.5, "wall": 0.3,
        "fluid": 0.95,
    }  # fmt: skip
    return {name: value * rng.uniform(0.9, 1.1) for name, value in typical.items()}


def draw_anatomy(rng: np.random.Generator, group: str, field_mm: Point) -> Anatomy:
    """One patient of the given diagnosis in a field of the given size."""
    heart = draw_heart(rng, group)
    return Anatomy(heart, draw_body(rng, heart, field_mm), draw_tissue(rng))


def draw_plane(rng: np.random.Generator) -> tuple[float, tuple[int, int], Point]:
    """Pixel size in mm, pixels along x and y, and the field of view in mm: about 270 by 290."""
    pixel = float(rng.uniform(1.4, 1.9))
    sides_mm = rng.uniform((262.0, 278.0), (274.0, 296.0))
    size = (int(np.clip(round(sides_mm[0] / pixel), 150, 200)), int(np.clip(round(sides_mm[1] / pixel), 152, 204)))
    return pixel, size, (size[0] * pixel, size[1] * pixel)


def draw_slices(rng: np.random.Generator, heart: Heart, gap_mm: float) -> list[float]:
    """z of 6 to 10 slices, base first, of which two or more but at most half miss the heart at end-diastole.

    The stack may start above the base or within the heart and end within it or below the apex.
    """
    count = int(rng.integers(6, 11))
    jitter = rng.uniform(0.1, 0.9)
    stacks = [[(first + jitter + index) * gap_mm for index in range(count)] for first in range(-3, 6)]
    empty = [sum(not 0.0 <= z < heart.length_mm for z in stack) for stack in stacks]
    fitting = [stack for stack, missed in zip(stacks, empty, strict=True) if 2 <= missed <= count / 2]
    return fitting[int(rng.integers(len(fitting)))]


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0
