"""The phantom's image: pixels, the brush that covers them with tissue, and what coil and receiver make of it."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import gaussian_filter

from medwsss.data.phantom_heart import Moment, Plane, Point


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixel centres of one slice in mm from the image centre."""

    x: Plane
    y: Plane
    pixel_mm: float

    @classmethod
    def centred(cls, size: tuple[int, int], pixel_mm: float) -> "Grid":
        columns, rows = ((np.arange(count, dtype=np.float32) - (count - 1) / 2.0) * pixel_mm for count in size)
        x, y = np.meshgrid(columns, rows, indexing="ij")
        return cls(x, y, pixel_mm)


class Canvas:
    """A slice under the brush; each shape covers what lies behind it, with edges as soft as a pixel."""

    def __init__(self, grid: Grid, background: float) -> None:
        self.grid = grid
        self.signal = np.full_like(grid.x, background)

    def paint(self, depth_mm: Plane, signal: float | Plane, *, edge_mm: float = 0.0) -> None:
        """Cover the inside of a shape; ``edge_mm`` widens the transition beyond one pixel and a half."""
        width = max(1.5 * self.grid.pixel_mm, edge_mm)
        cover = np.clip(0.5 + depth_mm / width, 0.0, 1.0)
        self.signal += cover * (signal - self.signal)

    def disc(self, centre: Point, radius_mm: float, signal: float) -> None:
        """Cover a small disc; only the pixels around it are touched."""
        pixel, size = self.grid.pixel_mm, self.signal.shape
        reach = radius_mm + 2.0 * pixel
        low = [max(0, math.floor((c - reach) / pixel + (n - 1) / 2)) for c, n in zip(centre, size, strict=True)]
        high = [min(n, math.ceil((c + reach) / pixel + (n - 1) / 2) + 1) for c, n in zip(centre, size, strict=True)]
        if low[0] >= high[0] or low[1] >= high[1]:
            return
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        depth = radius_mm - np.hypot(self.grid.x[window] - centre[0], self.grid.y[window] - centre[1])
        cover = np.clip(0.5 + depth / (1.5 * pixel), 0.0, 1.0)
        self.signal[window] += cover * (signal - self.signal[window])

    def tube(self, centre: Point, radius_mm: float, content: float, wall: float, *, wall_mm: float = 1.8) -> None:
        """Cover a vessel cut across: bright content in a thin wall."""
        self.disc(centre, radius_mm + wall_mm, wall)
        self.disc(centre, radius_mm, content)


def ellipse_depth(grid: Grid, centre: Point, half_axes: Point, angle: float = 0.0) -> Plane:
    """Depth inside an ellipse whose first axis points along ``angle``; exact on the outline and at the centre."""
    dx, dy = grid.x - centre[0], grid.y - centre[1]
    along = dx * math.cos(angle) + dy * math.sin(angle)
    across = dy * math.cos(angle) - dx * math.sin(angle)
    return (1.0 - np.hypot(along / half_axes[0], across / half_axes[1])) * min(half_axes)


def marbling(grid: Grid, size_mm: float, phase: float) -> Plane:
    """Irregular patches in [-1, 1] of about ``size_mm``: two waves bent by each other, so that no lattice shows."""
    u, v = grid.x / size_mm, grid.y / size_mm
    waves: Plane = np.sin(u + 1.7 * np.sin(0.63 * v + phase)) * np.sin(1.13 * v + 1.9 * np.sin(0.71 * u - phase))
    return waves


@dataclass(frozen=True, eq=False)
class Scanner:
    """What the coil, the tissue's grain and the receiver do to the signal."""

    sensitivity: Float32[np.ndarray, "x y"]
    grain: Float32[np.ndarray, "x y z"]
    noise: float
    """Standard deviation in each channel relative to blood."""
    gain: float
    """Grey levels of full blood signal."""
    phase_gain: float
    """Relative change of the gain at end-systole."""

    def acquire(
        self, rng: np.random.Generator, signal: Float[np.ndarray, "x y z"], moment: Moment
    ) -> Float[np.ndarray, "x y z"]:
        """Grey levels with grain, coil sensitivity and Rician noise."""
        flow = 1.0 + 0.04 * _grain(rng, signal.shape, 3.0)
        clean = signal * self.grain * flow * self.sensitivity[..., None] * (1.0 + self.phase_gain * moment.contraction)
        real, imaginary = rng.standard_normal((2, *signal.shape)) * self.noise
        magnitude: Float[np.ndarray, "x y z"] = self.gain * np.hypot(clean + real, imaginary)
        return magnitude


def draw_scanner(rng: np.random.Generator, grid: Grid, slices: int) -> Scanner:
    """Surface coils near the front of the chest, a smooth field besides, and grain of two sizes."""
    x, y = grid.x / 140.0, grid.y / 150.0
    a, b, c, d = rng.uniform(-0.18, 0.18, 4)
    front = 0.35 * np.exp(-(x + 1.0) * rng.uniform(0.8, 1.6))
    sensitivity = np.exp(a * x + b * y + c * x * y + d * (x * x - y * y)) * (0.85 + front)
    volume = (*grid.x.shape, slices)
    grain = 1.0 + 0.07 * _grain(rng, volume, 0.8) + 0.07 * _grain(rng, volume, 3.0)
    return Scanner(
        sensitivity.astype(np.float32),
        np.clip(grain, 0.4, 1.6).astype(np.float32),
        noise=rng.uniform(0.018, 0.035),
        gain=rng.uniform(180.0, 500.0),
        phase_gain=rng.uniform(-0.06, 0.06),
    )


def _grain(rng: np.random.Generator, shape: tuple[int, ...], sigma_px: float) -> Float[np.ndarray, "x y z"]:
    """Noise smoothed within slices to unit variance: white noise keeps 1 / (2 √π σ) of its deviation."""
    smooth: Float[np.ndarray, "x y z"] = gaussian_filter(rng.standard_normal(shape), (sigma_px, sigma_px, 0.0))
    smooth *= 2.0 * math.sqrt(math.pi) * sigma_px
    return smooth
