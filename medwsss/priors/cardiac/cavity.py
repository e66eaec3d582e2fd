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
    threshold = split_level(plane[zone])
    blood = zone & (plane > max(threshold - config.lower_by, float(plane[zone].min())))
    core = distance <= max(2.0, radius_mm / 2 / spacing_mm)
    return Cavity(hull(component(blood, core.astype(float))), threshold)


def split_level(levels: Float32[np.ndarray, " n"]) -> float:
    """The mean of the two class means that Otsu's threshold separates; the level itself if all agree.

    At a well-defined optimum both are the same; between two classes with a gap every threshold is as good for Otsu.
    """
    if levels.max() <= levels.min():
        return float(levels.max())
    dark = levels <= threshold_otsu(levels)
    return float(levels[dark].mean() + levels[~dark].mean()) / 2 if not dark.all() else float(levels.max())
