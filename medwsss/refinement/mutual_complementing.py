"""Mutual complementing refinement: three label maps of one image repair each other."""

import torch
from jaxtyping import Int64, Integer
from torch import Tensor

from medwsss.dtypes import as_label_map
from medwsss.labels import BACKGROUND, IGNORE


def complement(
    seed_labels: Integer[Tensor, "*grid"],
    colour_labels: Integer[Tensor, "*grid"],
    affinity_labels: Integer[Tensor, "*grid"],
    *,
    ignore_index: int = IGNORE,
) -> Int64[Tensor, "*grid"]:
    """P of UniA, Eq. 12-15: affinity labels, holes filled from colour labels, overruled where seed and colour agree.

    Only classes fill or overrule: agreement on background or on ``ignore_index`` changes nothing.

    Args:
        seed_labels: P1, from the reweighted CAM.
        colour_labels: P2, refined by colour and position.
        affinity_labels: P3, refined by the affinity.
        ignore_index: label of ignored pixels.

    Raises:
        ValueError: the three are not integer maps of one shape.
    """
    maps = {"seed_labels": seed_labels, "colour_labels": colour_labels, "affinity_labels": affinity_labels}
    seed_labels, colour_labels, affinity_labels = (as_label_map(name, labels) for name, labels in maps.items())
    for name, labels in maps.items():
        if labels.shape != seed_labels.shape:
            raise ValueError(f"{name} has shape {tuple(labels.shape)}, seed_labels has {tuple(seed_labels.shape)}")
    colour_is_class = _is_class(colour_labels, ignore_index)
    false_negative = colour_is_class & ~_is_class(affinity_labels, ignore_index)  # Eq. 12
    filled = torch.where(false_negative, colour_labels, affinity_labels)  # Eq. 13
    consistent = colour_is_class & (seed_labels == colour_labels)  # Eq. 14
    return torch.where(consistent, seed_labels, filled)  # Eq. 15


def _is_class(labels: Integer[Tensor, "*grid"], ignore_index: int) -> Tensor:
    return (labels != BACKGROUND) & (labels != ignore_index)
