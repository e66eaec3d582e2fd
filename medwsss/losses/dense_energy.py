"""Dense energy: similar colours close together want the same class, where the prediction is unsure.

After the regularised losses of Tang et al. (ECCV 2018), as the single-stage code bases around UniA use them. Those
approximate the pairwise sum on a permutohedral lattice in compiled code. Here, in plain torch, are the exact sum, which
costs more than the network on a CPU, and the lattice, at a scale that is fitted to the exact sum.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from medwsss.boxes import inside_boxes
from medwsss.dtypes import at_least_float32
from medwsss.losses.segmentation import checked_labels
from medwsss.permutohedral import permutohedral_lattice

KERNEL_ENTRIES = 2**22
"""Kernel entries held at a time, 16 MiB in float32."""
LOWEST_EXPONENT = -60.0
"""e^-60 is nothing beside a pixel's own 1; far below it, denormal numbers make exp fifty times slower on CPUs."""
FITTED_ROWS = 256
"""Pixels, evenly spread, whose exact sums scale the lattice."""


def dense_energy_loss(
    images: Float[Tensor, "b 3 h w"] | UInt8[Tensor, "b 3 h w"],
    logits: Float[Tensor, "b k h w"],
    labels: Integer[Tensor, "b h w"],
    *,
    boxes: Integer[Tensor, "b 4"] | None = None,
    weight: float = 1e-7,
    sigma_rgb: float = 15.0,
    sigma_xy: float = 100.0,
    scale: float = 0.5,
    filtering: Literal["exact", "lattice"] = "exact",
    ignore_index: int = 255,
) -> Float[Tensor, ""]:
    """−weight/B · Σ_images Σ_classes Σ_ij s_i γ_i W_ij s_j, at most 0, with the published gradient −2 weight/B · γ W s.

    s is the softmax of the logits inside the box, W_ij = exp(−|c_i − c_j|²/2σ_rgb² − |p_i − p_j|²/2(scale·σ_xy)²) over
    all pairs of the reduced grid, i = j included, and the gate γ = max(0, ROI − largest probability), or 1 where
    unlabelled. As in the published code the gate is a constant, and the gradient lets it stand at one end of each
    pair only; where it is 1 everywhere that is the exact derivative. Probabilities shrink bilinearly; images, box and
    labels by the nearest pixel. Time is O(B·n²) for n reduced pixels, or O(B·n) on the lattice; memory is O(n), and the
    backward pass costs nothing.

    Args:
        images: intensities in 0..255.
        logits: class scores of the decoder, background first, at image size.
        labels: pseudo-labels; 0 background, 1.. classes, ``ignore_index`` unlabelled.
        boxes: [top, bottom, left, right) of the valid area of each image; None is everything.
        weight: published scale of the energy.
        sigma_rgb: intensity bandwidth.
        sigma_xy: spatial bandwidth, in pixels of the full image.
        scale: size of the reduced grid, in (0, 1].
        filtering: how W s is found: "exact", or on a "lattice" as in the published code, which on smooth images
            with noise is within 4 % of the energy, and its gradient within a cosine of 0.985 (a test holds it to that).
        ignore_index: label of unlabelled pixels.

    Raises:
        ValueError: shapes or dtypes do not fit, images leave 0..255, or a box or parameter is out of range.
    """
    logits = at_least_float32("logits", logits)
    images = images.to(logits.dtype)
    _check(images, logits, sigma_rgb, sigma_xy, scale)
    if filtering not in ("exact", "lattice"):
        raise ValueError(f'filtering must be "exact" or "lattice", got {filtering!r}')
    labels = checked_labels(labels, logits, ignore_index=ignore_index)
    batch, _, height, width = images.shape
    size = (max(1, int(height * scale)), max(1, int(width * scale)))
    roi = _nearest(inside_boxes(boxes, labels).to(logits.dtype)[:, None], size)
    unlabelled = _nearest((labels == ignore_index).to(logits.dtype)[:, None], size) > 0
    probs = F.interpolate(logits.softmax(dim=1), size=size, mode="bilinear", align_corners=False)
    soft = probs * roi
    with torch.no_grad():
        gate = (roi - probs.amax(dim=1, keepdim=True)).clamp(min=0).masked_fill(unlabelled, 1.0)
        features = bilateral_features(_nearest(images, size), sigma_rgb, scale * sigma_xy)
        filter_one = gaussian_filter if filtering == "exact" else lattice_filter
        filtered = torch.stack([filter_one(f, s) for f, s in zip(features, soft.flatten(2).mT, strict=True)])
        filtered = filtered.mT.reshape(soft.shape) * gate
    energy: Tensor = (soft * filtered).sum()
    # Value −energy, but gradient −2 · filtered: W is symmetric and s stands at both ends of each pair.
    return (weight / batch) * (energy.detach() - 2 * energy)


def bilateral_features(images: Float[Tensor, "b c h w"], sigma_rgb: float, sigma_xy: float) -> Float[Tensor, "b n d"]:
    """Intensity and position of every pixel, row-major, each in units of its bandwidth and centred per image."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device, dtype=images.dtype)
    columns = torch.arange(width, device=images.device, dtype=images.dtype)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(images.shape[0], -1, -1, -1)
    features = torch.cat([images / sigma_rgb, grid / sigma_xy], dim=1).flatten(2).mT
    return features - features.mean(dim=1, keepdim=True)


def gaussian_filter(features: Float[Tensor, "n d"], values: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Σ_j exp(−|f_i − f_j|²/2) v_j for every i, j = i included, in row chunks."""
    return _gaussian_sums(features, features, values)


def lattice_filter(features: Float[Tensor, "n d"], values: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """The same on a permutohedral lattice, in O(n); its constant makes the sums of a few pixels exact on average."""
    approximate = permutohedral_lattice(features).filter(values)
    some = torch.linspace(0, len(features) - 1, min(FITTED_ROWS, len(features)), device=features.device).long()
    exact = _gaussian_sums(features[some], features, values)
    return approximate * (exact.sum() / approximate[some].sum().clamp_min(torch.finfo(values.dtype).tiny))


def _gaussian_sums(
    places: Float[Tensor, "m d"], features: Float[Tensor, "n d"], values: Float[Tensor, "n k"]
) -> Float[Tensor, "m k"]:
    """At each place, the sum of the values of all points, weighted by their distances."""

    # −|f_i − f_j|²/2 = f_i·f_j − |f_i|²/2 − |f_j|²/2 is one matrix product of two extended feature lists.
    def extended(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        norm = -0.5 * points.square().sum(dim=1, keepdim=True)
        return points, norm, torch.ones_like(norm)

    point, norm, one = extended(features)
    left, right = torch.cat(extended(places), dim=1), torch.cat([point, one, norm], dim=1).T.contiguous()
    filtered = values.new_empty(len(places), values.shape[1])
    size = max(1, KERNEL_ENTRIES // len(features))
    kernel = features.new_empty(min(size, len(places)), len(features))  # one buffer: new memory costs more than exp
    for rows, out in zip(torch.split(left, size), torch.split(filtered, size), strict=True):
        exponent = torch.mm(rows, right, out=kernel[: len(rows)])
        torch.mm(exponent.clamp_(LOWEST_EXPONENT, 0).exp_(), values, out=out)
    return filtered


def _nearest(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size=size, mode="nearest")


def _check(images: Tensor, logits: Tensor, sigma_rgb: float, sigma_xy: float, scale: float) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be (B,3,h,w), got shape {tuple(images.shape)}")
    if logits.ndim != 4 or logits.shape[0] != images.shape[0] or logits.shape[2:] != images.shape[2:]:
        raise ValueError(f"logits must be (B,K,h,w) like images {tuple(images.shape)}, got {tuple(logits.shape)}")
    if not ((images >= -1) & (images <= 256)).all():  # a rounding error beyond 0..255 does no harm
        raise ValueError("images must hold intensities in 0..255")
    if not (sigma_rgb > 0 and sigma_xy > 0):
        raise ValueError(f"sigma_rgb and sigma_xy must be positive, got {sigma_rgb} and {sigma_xy}")
    if not 0 < scale <= 1:
        raise ValueError(f"scale must be in (0, 1], got {scale}")
