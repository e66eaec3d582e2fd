"""Seed consistency: the student's spatial activation distribution follows the teacher's (USAGE, Eq. 9)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medwsss.losses.seed_generation import with_background


def seed_consistency_loss(
    student: Float[Tensor, "b cls h w"],
    teacher: Float[Tensor, "b cls h w"],
    *,
    temperature: float,
    background: float,
    inside: Bool[Tensor, "b h w"] | None = None,
) -> Float[Tensor, ""]:
    """L_REG of Eq. 9: −τ2² · mean over positions of Σ_c p̃_c · log p_c, averaged over the batch.

    p is the student's α^(1/τ2), renormalised over channels after the power, which is the softmax of the activations
    divided by τ2; p̃ is the same of the teacher. "log (α)^(1/τ2)" is read as log p, so that the sum is a cross-entropy.
    The teacher gets no gradient.

    Args:
        student: raw class scores of every position.
        teacher: raw class scores of the same positions in the other view.
        temperature: τ2 > 0; below 1 it makes the teacher's answers harder.
        background: constant activation of the background channel of both.
        inside: positions that count, all by default; at least one of each image must.

    Raises:
        ValueError: shapes do not fit, or ``temperature`` is not positive.
    """
    if teacher.shape != student.shape:
        raise ValueError(f"teacher must be {tuple(student.shape)} like student, got {tuple(teacher.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    target = (with_background(teacher.detach(), background) / temperature).softmax(dim=1)
    log_probs = (with_background(student, background) / temperature).log_softmax(dim=1)
    cross_entropy = -(target * log_probs).sum(dim=1)
    if inside is None:
        return temperature**2 * cross_entropy.mean()
    if inside.shape != cross_entropy.shape:
        raise ValueError(f"inside must be {tuple(cross_entropy.shape)}, got {tuple(inside.shape)}")
    return temperature**2 * (torch.where(inside, cross_entropy, 0.0).sum(dim=(1, 2)) / inside.sum(dim=(1, 2))).mean()
