"""The phantom's heart: shapes in millimetres that beat, for each of ACDC's diagnoses.

Coordinates: x and y in the slice plane from the image centre (x towards the back, y towards the feet), z along the
heart's axis from the mitral plane at end-diastole (0) to the apex (``length_mm``); negative z lies above the base.
A depth is positive inside a shape and negative outside, in mm.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Plane = Float[np.ndarray, "x y"]
Range = tuple[float, float]
Point = tuple[float, float]

SMALLEST_CAVITY_MM = 2.5
SMALLEST_WALL_RADIUS_MM = 5.0
SMALLEST_RV_MM = 4.0


@dataclass(frozen=True)
class GroupShape:
    """Typical ranges of one diagnosis at end-diastole, and how far each chamber shortens."""

    cavity_mm: Range
    """Radius of the LV cavity at the base."""
    wall_mm: Range
    shortening: Range
    """Share of the cavity's radius that is lost at end-systole."""
    asymmetry: Range
    """Relative amplitude of the wall's thickness around the ring."""
    rv_reach_mm: Range
    """How far the RV extends beyond the LV's outer wall."""
    rv_shortening: Range


GROUP_SHAPES: dict[str, GroupShape] = {
    "DCM": GroupShape((27.0, 30.0), (7.0, 8.5), (0.08, 0.16), (0.0, 0.1), (18.0, 28.0), (0.10, 0.20)),
    "HCM": GroupShape((20.0, 23.0), (10.5, 12.0), (0.36, 0.46), (0.15, 0.3), (18.0, 26.0), (0.25, 0.35)),
    "MINF": GroupShape((25.0, 29.0), (7.5, 9.5), (0.14, 0.22), (0.2, 0.35), (18.0, 28.0), (0.20, 0.30)),
    "NOR": GroupShape((22.5, 26.0), (7.5, 9.0), (0.27, 0.36), (0.0, 0.1), (22.0, 30.0), (0.25, 0.35)),
    "RV": GroupShape((20.5, 24.0), (7.0, 9.0), (0.24, 0.34), (0.0, 0.1), (33.0, 42.0), (0.12, 0.22)),
}
"""The five diagnoses of ACDC, in the order in which patients take turns."""


@dataclass(frozen=True)
class Moment:
    """One time in the cardiac cycle."""

    contraction: float
    """0 at end-diastole, 1 at end-systole."""
    drift: float
    """Breathing position in [-1, 1] times the patient's shift; 0 at end-diastole, 1 at end-systole."""


@dataclass(frozen=True)
class HeartSection:
    """The heart cut by one slice at one moment; chambers the slice misses are empty."""

    centre: Point
    cavity_mm: float
    outer_mm: float
    wall_wave: tuple[float, float]
    """Amplitude in mm and direction of the wall's asymmetry."""
    lobes: tuple[float, float, float]
    """Relative amplitude and phase of the contour's ellipticity, and the phase of its third harmonic."""
    septum: float
    """Direction of the RV as seen from the LV's centre, in radians."""
    rv_reach_mm: float
    rv_half_width_mm: float

    def _polar(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        dx, dy = x - self.centre[0], y - self.centre[1]
        return np.hypot(dx, dy), np.arctan2(dy, dx)

    def _lobed(self, angle: Plane) -> Plane:
        amplitude, phase, third = self.lobes
        lobed: Plane = amplitude * np.cos(2.0 * (angle - phase)) + 0.4 * amplitude * np.cos(3.0 * (angle - third))
        return lobed

    def cavity_depth(self, x: Plane, y: Plane) -> Plane:
        """Depth inside the LV cavity."""
        if self.cavity_mm < SMALLEST_CAVITY_MM:
            return np.full_like(x, -1e3)
        radius, angle = self._polar(x, y)
        depth: Plane = self.cavity_mm * (1.0 + self._lobed(angle)) - radius
        return depth

    def outer_depth(self, x: Plane, y: Plane) -> Plane:
        """Depth inside the LV's outer wall: cavity and myocardium."""
        if self.outer_mm < SMALLEST_WALL_RADIUS_MM:
            return np.full_like(x, -1e3)
        radius, angle = self._polar(x, y)
        wave = self.wall_wave[0] * np.cos(angle - self.wall_wave[1])
        depth: Plane = self.outer_mm + self.cavity_mm * self._lobed(angle) + wave - radius
        return depth

    def rv_depth(self, x: Plane, y: Plane) -> Plane:
        """Depth inside the RV's outline, which passes behind the LV: the crescent is what the LV leaves of it."""
        if self.rv_reach_mm < SMALLEST_RV_MM:
            return np.full_like(x, -1e3)
        dx, dy = x - self.centre[0], y - self.centre[1]
        along = dx * math.cos(self.septum) + dy * math.sin(self.septum)
        across = dy * math.cos(self.septum) - dx * math.sin(self.septum)
        start = 0.55 * self.outer_mm
        half_length = self.outer_mm - start + self.rv_reach_mm
        # Narrower towards the tip: a rounded triangle rather than an ellipse.
        half_width = self.rv_half_width_mm * (1.0 - 0.25 * np.clip((along - start) / half_length, -1.0, 1.0))
        beyond = np.hypot((along - start) / half_length, across / half_width)
        depth: Plane = (1.0 - beyond) * min(half_length, self.rv_half_width_mm)
        return depth


@dataclass(frozen=True)
class Heart:
    """A heart's shape at end-diastole and how it beats."""

    group: str
    centre: Point
    tilt: Point
    """In-plane shift of the centre per mm along z."""
    length_mm: float
    descent_mm: float
    """How far the mitral plane moves towards the apex in systole."""
    cavity_mm: float
    wall_mm: float
    shortening: float
    wall_wave: tuple[float, float]
    lobes: tuple[float, float, float]
    septum: float
    rv_reach_mm: float
    rv_half_width_mm: float
    rv_shortening: float
    rv_span: Range
    """Where the RV starts and ends, as fractions of the LV's length."""
    papillary_angles: tuple[float, float]

    def centre_at(self, z_mm: float, moment: Moment) -> Point:
        """LV centre in a slice; contraction pulls it slightly towards the septum."""
        pull = 2.0 * moment.contraction
        x = self.centre[0] + self.tilt[0] * z_mm + pull * math.cos(self.septum)
        return x, self.centre[1] + self.tilt[1] * z_mm + pull * math.sin(self.septum)

    def base_mm(self, moment: Moment) -> float:
        """Position of the mitral plane."""
        return self.descent_mm * moment.contraction

    def section(self, z_mm: float, moment: Moment) -> HeartSection | None:
        """The heart in the slice at ``z_mm``; None above the base and below the apex."""
        if not self.base_mm(moment) <= z_mm < self.length_mm:
            return None
        depth = max(z_mm, 0.0) / self.length_mm
        outer = (self.cavity_mm + self.wall_mm) * _taper(depth, 1.0)
        relaxed = min(self.cavity_mm * _taper(depth, 0.95), outer - 3.0)
        cavity = max(relaxed, 0.0) * (1.0 - self.shortening * moment.contraction)
        # Muscle is conserved; what the wall loses in length it gains in cross-section, about a tenth.
        muscle = (outer**2 - max(relaxed, 0.0) ** 2) * (1.0 + 0.1 * moment.contraction)
        start, end = self.rv_span
        inside_rv = start <= depth + 1e-9 and depth < end
        rv = _taper(depth, end) * (1.0 - self.rv_shortening * moment.contraction) if inside_rv else 0.0
        return HeartSection(
            centre=self.centre_at(z_mm, moment),
            cavity_mm=cavity,
            outer_mm=math.sqrt(cavity**2 + muscle),
            wall_wave=(self.wall_wave[0] * self.wall_mm * _taper(depth, 1.0), self.wall_wave[1]),
            lobes=self.lobes,
            septum=self.septum,
            rv_reach_mm=self.rv_reach_mm * rv,
            rv_half_width_mm=self.rv_half_width_mm * (0.35 + 0.65 * rv),
        )


def _taper(depth: float, end: float) -> float:
    """Relative radius at a fraction of the length: blunt at the base, closed at ``end``."""
    return math.sqrt(max(0.0, 1.0 - (depth / end) ** 2.5))


def draw_heart(rng: np.random.Generator, group: str) -> Heart:
    """A heart of the given diagnosis, its middle within ±30 mm of the image centre along both axes.

    Raises:
        ValueError: ``group`` is not one of ``GROUP_SHAPES``.
    """
    if group not in GROUP_SHAPES:
        raise ValueError(f"group must be one of {tuple(GROUP_SHAPES)}, not {group!r}")
    shape = GROUP_SHAPES[group]
    septum = math.pi - rng.uniform(-0.1, 0.7)
    cavity = rng.uniform(*shape.cavity_mm)
    wall = rng.uniform(*shape.wall_mm)
    reach = rng.uniform(*shape.rv_reach_mm)
    middle = (rng.uniform(-30.0, 30.0), rng.uniform(-30.0, 30.0))
    # The RV hangs on one side, so the LV's centre lies off the middle of the heart by about a third of the reach.
    offset = 0.35 * reach
    return Heart(
        group=group,
        centre=(middle[0] - offset * math.cos(septum), middle[1] - offset * math.sin(septum)),
        tilt=(rng.uniform(-0.08, 0.08), rng.uniform(-0.08, 0.08)),
        length_mm=rng.uniform(64.0, 80.0),
        descent_mm=rng.uniform(5.0, 10.0),
        cavity_mm=cavity,
        wall_mm=wall,
        shortening=rng.uniform(*shape.shortening),
        wall_wave=(rng.uniform(*shape.asymmetry), septum + (math.pi if group == "MINF" else 0.0) + rng.normal(0, 0.4)),
        lobes=(rng.uniform(0.01, 0.06), rng.uniform(0.0, math.pi), rng.uniform(0.0, math.tau)),
        septum=septum,
        rv_reach_mm=reach,
        rv_half_width_mm=rng.uniform(0.85, 1.05) * (cavity + wall) + 0.25 * (reach - 22.0),
        rv_shortening=rng.uniform(*shape.rv_shortening),
        rv_span=(0.15 if rng.random() < 0.33 else 0.0, rng.uniform(0.7, 0.9)),
        papillary_angles=(septum + rng.uniform(1.7, 2.4), septum - rng.uniform(1.7, 2.4)),
    )
