"""Optimiser and learning-rate schedule of the papers."""

import math
from typing import Any

import torch

from medwsss.config.section import iteration_of
from medwsss.config.training import TrainingConfig
from medwsss.methods.method import Learner


def poly_warmup(
    step: int,
    *,
    base_lr: float,
    warmup_steps: int,
    total_steps: int,
    warmup_ratio: float = 1e-6,
    power: float = 0.9,
) -> float:
    """Learning rate of a step counted from 0: linear warm-up from ``warmup_ratio * base_lr``, then polynomial decay.

    The decay counts from step 0, so that the rate right after the warm-up is already below ``base_lr``.

    Raises:
        ValueError: a step, length or rate out of range.
    """
    if step < 0 or total_steps < 1 or warmup_steps < 0:
        raise ValueError(f"step ({step}), warmup_steps ({warmup_steps}) and total_steps ({total_steps}) must fit")
    if not base_lr >= 0:
        raise ValueError(f"base_lr must not be negative, not {base_lr}")
    if step < warmup_steps:
        return base_lr * (1.0 - (1.0 - step / warmup_steps) * (1.0 - warmup_ratio))
    remaining = max(0.0, 1.0 - step / total_steps)
    return base_lr * math.pow(remaining, power)


def build_optimiser(learner: Learner[Any], config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW, fused, with two groups; each group keeps its own base rate under ``base_lr``."""
    groups = [
        {"params": list(learner.encoder.parameters()), "base_lr": config.learning_rate},
        {"params": list(learner.head_parameters()), "base_lr": config.learning_rate * config.head_factor},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def set_learning_rate(optimiser: torch.optim.AdamW, config: TrainingConfig, step: int) -> float:
    """Apply the schedule to every group; returns the encoder's rate."""
    warmup = iteration_of(config.warmup_steps, config.iterations)
    for group in optimiser.param_groups:
        group["lr"] = poly_warmup(
            step,
            base_lr=group["base_lr"],
            warmup_steps=warmup,
            total_steps=config.iterations,
            warmup_ratio=config.warmup_ratio,
            power=config.poly_power,
        )
    rate: float = optimiser.param_groups[0]["lr"]
    return rate
