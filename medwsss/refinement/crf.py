"""Fully connected conditional random field: labels that agree with the colours and borders of the image."""

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from medwsss.permutohedral import permutohedral_lattice

_SMALLEST_PROB = 1e-5


@torch.no_grad()
def dense_crf(
    image: UInt8[Tensor, "h w 3"] | UInt8[np.ndarray, "h w 3"],
    probs: Float[Tensor, "k h w"] | Float[np.ndarray, "k h w"],
    *,
    iterations: int = 10,
    gaussian_xy: float = 1,
    gaussian_weight: float = 1,
    bilateral_xy: float = 121,
    bilateral_rgb: float = 5,
    bilateral_weight: float = 4,
) -> Float[Tensor, "k h w"]:
    """Mean field of a dense CRF with Potts compatibility (Krähenbühl and Koltun 2011); probabilities that sum to 1.

    Q ← softmax(log p + w_g G Q + w_b B Q), ``iterations`` times from Q = p. G and B are Gaussian kernels over position
    and over position and colour, each normalised symmetrically, D^(−½) K D^(−½) with D the row sums of K. Both act
    through a lattice that approximates the sums over all pairs in time and memory linear in the pixels.

    Args:
        image: intensities 0..255; an array as image readers give it will do, and the answer is a tensor all the same.
        probs: class probabilities, tensor or array; values below 1e-5 count as 1e-5.
        iterations: mean field updates; 0 returns the normalised probabilities.
        gaussian_xy: width of the position kernel, in pixels.
        gaussian_weight: its weight w_g.
        bilateral_xy: width in position of the bilateral kernel, in pixels.
        bilateral_rgb: its width in colour, on 0..255.
        bilateral_weight: its weight w_b.

    Raises:
        ValueError: ``image`` is not uint8 (h, w, 3), ``probs`` is not float (K, h, w) in [0, 1], a width is not
            positive, or a weight or ``iterations`` is negative.
    """
    image, probs = _as_tensor(image), _as_tensor(probs)
    _check_inputs(image, probs)
    _check_settings(
        positive={"gaussian_xy": gaussian_xy, "bilateral_xy": bilateral_xy, "bilateral_rgb": bilateral_rgb},
        not_negative={
            "gaussian_weight": gaussian_weight,
            "bilateral_weight": bilateral_weight,
            "iterations": iterations,
        },
    )
    position, colour = _features(image.to(probs.device))
    gaussian = permutohedral_lattice(position / gaussian_xy).normalised()
    bilateral = permutohedral_lattice(torch.cat([position / bilateral_xy, colour / bilateral_rgb], dim=1)).normalised()
    log_probs, counts, group = _grouped(probs.flatten(1).to(position.dtype))
    share = counts.log()
    current = (log_probs + share).softmax(dim=1)  # of each group; its channels share it equally
    for _ in range(iterations):
        messages = gaussian.filter(current).mul_(gaussian_weight)
        messages.add_(bilateral.filter(current), alpha=bilateral_weight)
        current = messages.div_(counts).add_(log_probs).add_(share).softmax(dim=1)
    return (current / counts)[:, group].T.reshape(probs.shape).to(probs.dtype)


def _grouped(
    probs: Float[Tensor, "k n"],
) -> tuple[Float[Tensor, "n g"], Float[Tensor, " g"], Int[Tensor, " k"]]:
    """log p of groups of channels that stay equal, the number of channels in each, and the group of each channel.

    Channels that nowhere exceed the smallest probability, such as those of classes without a tag, form one group: their
    marginals are equal at first and, because Potts compatibility treats all labels alike, after every update. Every
    other channel stands alone.
    """
    seen = (probs > _SMALLEST_PROB).any(dim=1)
    alone, together = int(seen.sum()), int((~seen).sum())
    log_probs = probs[seen].T.contiguous().clamp_(min=_SMALLEST_PROB).log_()
    last = (0, min(together, 1))
    return (
        F.pad(log_probs, last, value=math.log(_SMALLEST_PROB)),
        F.pad(torch.ones_like(log_probs[0]), last, value=together),
        torch.where(seen, seen.cumsum(0) - 1, alone),
    )


def _as_tensor(values: Tensor | Shaped[np.ndarray, "..."]) -> Tensor:
    """Arrays are copied: those of image readers may be read-only or run backwards, which torch does not take."""
    return torch.from_numpy(values.copy()) if isinstance(values, np.ndarray) else values


def _features(image: UInt8[Tensor, "h w 3"]) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 3"]]:
    """Position (x, y) in pixels and colour of every pixel, row by row."""
    height, width, _ = image.shape
    rows = torch.arange(height, device=image.device, dtype=torch.float32)
    columns = torch.arange(width, device=image.device, dtype=torch.float32)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1), image.reshape(-1, 3).float()


def _check_inputs(image: Tensor, probs: Tensor) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != torch.uint8:
        raise ValueError(f"image must be uint8 (h, w, 3), not {image.dtype} of shape {tuple(image.shape)}")
    if probs.ndim != 3 or probs.shape[1:] != image.shape[:2] or not probs.is_floating_point():
        expected = f"(K, {image.shape[0]}, {image.shape[1]})"
        raise ValueError(f"probs must be floats {expected}, not {probs.dtype} of shape {tuple(probs.shape)}")
    if not ((probs >= 0) & (probs <= 1 + 1e-4)).all():
        raise ValueError("probs must lie in [0, 1]")


def _check_settings(*, positive: Mapping[str, float], not_negative: Mapping[str, float]) -> None:
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
    for name, value in not_negative.items():
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, not {value}")
