"""A network's probabilities and the labels it learned from, as one vote: a round of self-training."""

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.ndimage import gaussian_filter

from medwsss.labels import IGNORE


def mixed_probs(
    probs: Float32[np.ndarray, "n k h w"],
    labels: UInt8[np.ndarray, "n h w"],
    *,
    share: float,
    blur: tuple[float, float],
) -> Float32[np.ndarray, "n k h w"]:
    """``share`` · p + (1 − ``share``) · G(y): what both say of each class, in [0, 1] and summing to 1.

    y is one-hot and G a Gaussian within the slice, because a contour is never exact. Where y is 255 nothing is known
    of the labels, and p stands alone; next to it, y is what the known pixels around say.

    Args:
        probs: of the network, background first.
        labels: what it, or another network, has learned from; 255 where there is none.
        share: of the network, in [0, 1].
        blur: standard deviation along rows and columns, in pixels.
    """
    classes = probs.shape[1]
    known = (labels != IGNORE).astype(np.float32)
    sigma = (0.0, *blur)
    around = np.maximum(gaussian_filter(known, sigma, mode="nearest"), 1e-6)
    blurred = np.stack(
        [
            gaussian_filter((labels == label).astype(np.float32), sigma, mode="nearest") / around
            for label in range(classes)
        ],
        axis=1,
    )
    trust = ((1.0 - share) * known)[:, None]
    mixed: Float32[np.ndarray, "n k h w"] = ((1.0 - trust) * probs + trust * blurred).astype(np.float32)
    return mixed
