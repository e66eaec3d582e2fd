"""Small pieces of plane geometry that the labels of the heart share."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, label
from skimage.morphology import convex_hull_image

Mask = Bool[np.ndarray, "h w"]


def grown(mask: Mask, pixels: float) -> Mask:
    """The mask and everything within ``pixels`` of it; an empty mask stays empty."""
    near: Mask = distance_from(mask) <= pixels
    return near


def opened(mask: Mask, pixels: float) -> Mask:
    """The mask without what is narrower than twice ``pixels``; the border of the image counts as outside."""
    padded = np.pad(mask, 1)
    core = distance_transform_edt(padded)[1:-1, 1:-1] > pixels
    kept: Mask = mask & grown(core, pixels)
    return kept


def distance_from(mask: Mask) -> Float[np.ndarray, "h w"]:
    """Distance of every pixel from the mask, in pixels; infinite where there is none."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    distance: Float[np.ndarray, "h w"] = distance_transform_edt(~mask)
    return distance


def component(mask: Mask, weights: Float[np.ndarray, "h w"]) -> Mask:
    """The connected component with the highest sum of ``weights``, which are 0 or more; empty where all are 0."""
    components, count = label(mask)
    sums = np.bincount(components.ravel(), weights=weights.ravel(), minlength=count + 1)
    sums[0] = 0.0
    found: Mask = components == sums.argmax() if sums.max() > 0 else np.zeros_like(mask)
    return found


def hull(mask: Mask) -> Mask:
    """The convex hull; an empty mask stays empty."""
    found: Mask = convex_hull_image(mask) if mask.any() else mask
    return found


def distance_to(place: Float[np.ndarray, "2"], shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Distance of every pixel of an image from a row and column, in pixels."""
    rows, columns = np.arange(shape[0]) - place[0], np.arange(shape[1]) - place[1]
    distance: Float[np.ndarray, "h w"] = np.hypot(rows[:, None], columns[None])
    return distance


def centroid(mask: Mask) -> Float[np.ndarray, "2"]:
    """Mean row and column of a mask that is not empty."""
    middle: Float[np.ndarray, 2] = np.argwhere(mask).mean(axis=0)
    return middle
