"""Anatomy as a filter: a heart is one piece, and so is each of its parts."""

import numpy as np
from jaxtyping import Bool, UInt8
from scipy.ndimage import generate_binary_structure, label

Mask = Bool[np.ndarray, "*grid"]


def keep_largest_components(labels: UInt8[np.ndarray, "*grid"]) -> UInt8[np.ndarray, "*grid"]:
    """Labels without the pieces that hang together neither with the largest of all classes nor with that of their own.

    First everything outside the largest component of the foreground becomes background, then, class by class,
    everything outside the largest component of that class. Voxels that touch by a corner hang together. Of equally
    large ones the first stays.

    Args:
        labels: 0 background, 1.. classes, in 2D or 3D; it is left as it is.
    """
    kept: UInt8[np.ndarray, "*grid"] = labels * largest_component(labels > 0)
    for present in np.unique(kept[kept > 0]):
        own = kept == present
        kept[own & ~largest_component(own)] = 0
    return kept


def largest_component(mask: Mask) -> Mask:
    """The largest connected component; an empty mask stays empty."""
    components, count = label(mask, structure=generate_binary_structure(mask.ndim, mask.ndim))
    if count <= 1:
        return mask
    largest: Mask = components == np.bincount(components.ravel())[1:].argmax() + 1
    return largest
