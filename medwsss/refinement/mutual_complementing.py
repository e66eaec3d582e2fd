"""Mutual complementing refinement: three label maps of one image repair each other, and a prior speaks up."""

import torch
from jaxtyping import Float, Int64, Integer
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


def complement_with_prior(
    labels: Integer[Tensor, "*grid"],
    prior_labels: Integer[Tensor, "*grid"],
    confidence: Float[Tensor, "*grid"],
    *,
    threshold: float,
    ignore_index: int = IGNORE,
) -> Int64[Tensor, "*grid"]:
    """P' : an extension of UniA, Eq. 12-15, by a fourth map P4 that comes from a prior, with a confidence c.

    S_4 is where P4 says something and c ≥ τ or P4 = P. P' = P4 in S_4; ``ignore_index`` where P4 says something
    outside S_4; P where P4 says nothing. So a confident prior overrules, an unsure one needs a second witness, and
    without a prior P stays. Unlike in Eq. 12-15, background counts as any class does: the prior knows it too.

    Args:
        labels: P, from ``complement`` or any other source.
        prior_labels: P4; ``ignore_index`` where the prior says nothing.
        confidence: c, in [0, 1].
        threshold: τ, in [0, 1]; 0 lets the prior overrule wherever it speaks.
        ignore_index: label of ignored pixels.

    Raises:
        ValueError: the maps are not of one shape, or labels are no integers, or threshold leaves [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1], got {threshold}")
    labels, prior_labels = as_label_map("labels", labels), as_label_map("prior_labels", prior_labels)
    for name, other in {"prior_labels": prior_labels, "confidence": confidence}.items():
        if other.shape != labels.shape:
            raise ValueError(f"{name} has shape {tuple(other.shape)}, labels has {tuple(labels.shape)}")
    speaks = prior_labels != ignore_index
    believed = speaks & ((confidence >= threshold) | (prior_labels == labels))
    return torch.where(believed, prior_labels, torch.where(speaks, ignore_index, labels))


def _is_class(labels: Integer[Tensor, "*grid"], ignore_index: int) -> Tensor:
    return (labels != BACKGROUND) & (labels != ignore_index)
