"""Affinity and the losses of a training step, with their gradients, beside a pass of the encoder or the plain form."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.step import Case
from benchmarks.timing import Ratio, Run, compared
from medwsss.losses.contrastive_affinity import contrastive_affinity_loss
from medwsss.losses.dense_energy import dense_energy_loss
from medwsss.losses.token_contrast import token_contrast_loss
from medwsss.refinement.affinity import random_walk, symmetric_affinity


def bench_losses(device: torch.device, repeats: int) -> list[Ratio]:
    """On tokens and images of the size of a training step."""
    case = Case.on_voc(device)
    plain: tuple[str, Run] = ("one plain forward and backward of the encoder", case.plain)
    few = max(1, repeats // 2)
    attention, cams, token_labels, tokens = _random_tokens(case)
    logits, labels = _random_prediction(case)

    def affinity() -> None:
        leaf = attention.clone().requires_grad_()
        symmetric = symmetric_affinity(leaf)
        random_walk(cams, symmetric.detach())
        _backward(contrastive_affinity_loss(symmetric, token_labels))

    def token_contrast() -> None:
        _backward(token_contrast_loss(tokens.clone().requires_grad_(), token_labels))

    def energy(filtering: Literal["exact", "lattice"]) -> None:
        leaf = logits.clone().requires_grad_()
        _backward(dense_energy_loss(255 * case.batch.images[:1], leaf, labels, filtering=filtering))

    return [
        compared(
            "affinity_over_plain", f"Sinkhorn, random walk and contrastive affinity, {tuple(attention.shape)}",
            ours=affinity, yardstick=plain, repeats=few, device=device, memory=True,
        ),
        compared(
            "token_contrast_over_plain", "token contrast",
            ours=token_contrast, yardstick=plain, repeats=few, device=device,
        ),
        compared(
            "energy_speedup", f"dense energy of an image on a lattice, {tuple(logits.shape)}",
            ours=lambda: energy("lattice"), yardstick=("all pairs of pixels", lambda: energy("exact")),
            repeats=1, device=device, memory=True,
        ),
    ]  # fmt: skip


def _random_tokens(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Attention, maps, labels and features on the token grid of the batch."""
    images, generator = case.batch.images, torch.Generator().manual_seed(0)
    batch, (height, width) = len(images), case.method.encoder.grid(images)
    attention = torch.rand(batch, height * width, height * width, generator=generator)
    cams = torch.rand(batch, case.batch.image_labels.shape[1], height, width, generator=generator)
    labels = torch.randint(0, 3, (batch, height, width), generator=generator)
    tokens = torch.randn(batch, case.method.encoder.dim, height, width, generator=generator)
    attention /= attention.sum(dim=-1, keepdim=True)
    return attention.to(images.device), cams.to(images.device), labels.to(images.device), tokens.to(images.device)


def _random_prediction(case: Case) -> tuple[Tensor, Tensor]:
    """Smooth logits of the first image, and labels of which a part is undecided."""
    images, generator = case.batch.images, torch.Generator().manual_seed(0)
    coarse = torch.randn(1, case.batch.image_labels.shape[1] + 1, 28, 28, generator=generator)
    logits = F.interpolate(coarse, size=images.shape[-2:], mode="bilinear").to(images.device)
    labels = logits.argmax(dim=1)
    return logits, labels.masked_fill(logits.amax(dim=1) < 1.5, 255)


def _backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
