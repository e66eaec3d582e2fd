"""The cavity of the left ventricle in one slice."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from skimage.filters import threshold_otsu

from medwsss.config.cine import CavityConfig
from medwsss.priors.cardiac.shapes import component, distance_to, hull


@dataclass(frozen=True, eq=False)
class Cavity:
    """Blood of the left ventricle, and what tells it from the wall."""

    mask: Bool[np.ndarray, "h w"]
    threshold: float
    """Grey level between wall and blood (Otsu)."""


def left_cavity(
    plane: Float32[np.ndarray, "h w"],
    centre: Float[np.ndarray, "2"],
    *,
    radius_mm: float,
    spacing_mm: float,
    config: CavityConfig,
) -> Cavity:
    """The bright component around the centre, as its convex hull; empty where the centre is dark.

    Prior knowledge: blood is brighter than the wall in balanced steady-state cine; papillary muscles and trabeculae
    count as cavity, hence the hull.

    Args:
        plane: grey levels in [0, 1].
        centre: row and column.
        radius_mm: expected radius of the cavity.
        spacing_mm: of square pixels.
        config: reach and threshold.
    """
    distance = distance_to(centre, plane.shape)
    zone = distance <= (radius_mm + config.reach_mm) / spacing_mm
    levels = plane[zone]
    threshold = float(threshold_otsu(levels)) if levels.max() > levels.min() else float(levels.max())
    blood = zone & (plane > threshold - config.lower_by)
    core = distance <= max(2.0, radius_mm / 2 / spacing_mm)
    return Cavity(hull(component(blood, core.astype(float))), threshold)
