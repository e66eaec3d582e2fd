"""A drawn short-axis study: a beating heart in a still chest, at any spacing."""

from dataclasses import dataclass

import numpy as np

SIDE_MM = 180.0
LEFT_MM = (90.0, 100.0)
"""Centre of the left ventricle: row, column."""
RV, MYO, LV = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Scene:
    """Grey levels in [0, 1] and codes of one phase."""

    image: np.ndarray
    codes: np.ndarray


def beating_heart(phase: str, *, spacing_mm: float = 1.5, slices: int = 4, apex: float = 1.0, seed: int = 0) -> Scene:
    """Cavity of 24 mm and wall of 9 mm at ED, of 16 mm and equal muscle at ES; the RV is a crescent at smaller columns.

    A bright still disc far away, like an aorta, and fat outside the body invite mistakes. The last slice is ``apex``
    times as large as the first, around the same centre. Hearts of one noise ``seed`` are one patient's.
    """
    planes = [_plane(phase, spacing_mm, float(scale)) for scale in np.linspace(1.0, apex, slices)]
    image, codes = (np.stack(parts) for parts in zip(*planes, strict=True))
    noise = np.random.default_rng(seed).normal(0.0, 0.02, image.shape).astype(np.float32)
    return Scene(np.clip(image + noise, 0.0, 1.0), codes)


def _plane(phase: str, spacing_mm: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    count = round(SIDE_MM / spacing_mm)
    place = (np.arange(count) + 0.5) * spacing_mm
    rows, columns = np.meshgrid(place, place, indexing="ij")
    from_left = np.hypot(rows - LEFT_MM[0], columns - LEFT_MM[1])
    cavity_mm = scale * {"ED": 24.0, "ES": 16.0}[phase]
    outer_mm = float(np.sqrt(cavity_mm**2 + scale**2 * (33.0**2 - 24.0**2)))
    right_mm = scale * {"ED": 26.0, "ES": 18.0}[phase]
    crescent = np.hypot((rows - LEFT_MM[0]) / 1.2, columns - (LEFT_MM[1] - outer_mm - 4.0)) < right_mm
    codes = np.zeros((count, count), np.uint8)
    codes[crescent] = RV
    codes[from_left < outer_mm] = MYO
    codes[from_left < cavity_mm] = LV
    image = np.full(codes.shape, 0.15, np.float32)
    image[np.hypot(rows - 150.0, columns - 60.0) < 12.0] = 0.95
    image[columns > 165.0] = 0.9
    for code, level in {RV: 0.75, MYO: 0.35, LV: 0.85}.items():
        image[codes == code] = level
    return image, codes


def dice(labels: np.ndarray, codes: np.ndarray, code: int) -> float:
    """Overlap of one class; both occur."""
    return (
        2.0 * float(((labels == code) & (codes == code)).sum()) / float((labels == code).sum() + (codes == code).sum())
    )
