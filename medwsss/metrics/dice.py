"""Overlap of two masks, and what to say when there is nothing to overlap."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Shaped

from medwsss.types import Mask3D
from medwsss.volumes.volume import Volume


def dice(prediction: Bool[np.ndarray, "*grid"], reference: Bool[np.ndarray, "*grid"]) -> float:
    """Dice overlap 2 |P ∩ R| / (|P| + |R|) in [0, 1]; 0 when one mask is empty, NaN when both are.

    Raises:
        ValueError: the masks are not boolean or differ in shape.
    """
    return dice_with_policy(prediction, reference, policy="undefined")


def dice_with_policy(
    prediction: Bool[np.ndarray, "*grid"], reference: Bool[np.ndarray, "*grid"], *, policy: str
) -> float:
    """Dice overlap with another value for empty masks, by a name in ``EMPTY_POLICIES``.

    Raises:
        ValueError: the policy is unknown, or the masks are not boolean or differ in shape.
    """
    if policy not in EMPTY_POLICIES:
        raise ValueError(f"policy must be one of {sorted(EMPTY_POLICIES)}, not {policy!r}")
    check_masks(prediction, reference)
    predicted, true = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    if predicted == 0 or true == 0:
        return EMPTY_POLICIES[policy](predicted, true)
    return 2.0 * int(np.count_nonzero(prediction & reference)) / (predicted + true)


def _undefined(predicted: int, true: int) -> float:
    return math.nan if predicted == true == 0 else 0.0


def _perfect(predicted: int, true: int) -> float:
    return 1.0 if predicted == true == 0 else 0.0


def _zero(predicted: int, true: int) -> float:
    return 0.0


def _reference_only(predicted: int, true: int) -> float:
    return math.nan if true == 0 else 0.0


EMPTY_POLICIES: Mapping[str, Callable[[int, int], float]] = {
    "undefined": _undefined,
    "perfect": _perfect,
    "zero": _zero,
    "reference_only": _reference_only,
}
"""Value from the two voxel counts when at least one is 0. Both empty: NaN, 1, 0, NaN. Only the prediction empty: 0.

Only the reference empty: 0, except for ``reference_only``, which leaves such cases out as NaN.
"""


def volume_ml(mask: Mask3D, like: Volume) -> float:
    """Volume in mL of a mask on the grid of ``like``."""
    return int(np.count_nonzero(mask)) * like.voxel_ml


def check_masks(prediction: Shaped[np.ndarray, "..."], reference: Shaped[np.ndarray, "..."]) -> None:
    """Raise ValueError unless both are boolean and of one shape."""
    for name, mask in (("prediction", prediction), ("reference", reference)):
        if mask.dtype != np.bool_:
            raise ValueError(f"{name} must be boolean, not {mask.dtype}")
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction has shape {prediction.shape}, reference {reference.shape}")
