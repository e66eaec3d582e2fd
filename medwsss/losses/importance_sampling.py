"""Classification at positions drawn in proportion to the class probability, instead of pooling (HFPL, Eq. 14-18)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from medwsss.dtypes import as_label_map, at_least_float32
from medwsss.ranks import own_rows


def importance_sampling_loss(
    logits: Float[Tensor, "b cls h w"],
    image_labels: Float[Tensor, "b cls"] | Int[Tensor, "b cls"] | Bool[Tensor, "b cls"],
    *,
    samples: int = 10,
    generator: torch.Generator | None = None,
    indices: Integer[Tensor, "b cls s"] | None = None,
    inside: Bool[Tensor, "b h w"] | None = None,
) -> Float[Tensor, ""]:
    """Binary cross-entropy of the scores at sampled positions against the image's labels (HFPL, Eq. 8, 15 and 18).

    Args:
        logits: class scores before the sigmoid, without background.
        image_labels: multi-hot, 1 where the image shows the class.
        samples: positions drawn per image and class; unused where ``indices`` is given.
        generator: source of the draw.
        indices: row-major positions to use instead of a draw, in [0, h·w).
        inside: positions that can be drawn, at least one an image; None means all. ``indices`` does not ask it.

    Raises:
        ValueError: shapes do not fit, image_labels is not binary, samples is below 1, or an index is out of range.
    """
    if logits.ndim != 4:
        raise ValueError(f"logits must be (B,M,h,w), got shape {tuple(logits.shape)}")
    if image_labels.shape != logits.shape[:2]:
        raise ValueError(f"image_labels must be {tuple(logits.shape[:2])}, got {tuple(image_labels.shape)}")
    if ((image_labels != 0) & (image_labels != 1)).any():
        raise ValueError("image_labels must hold only 0 and 1")
    logits = at_least_float32("logits", logits)
    if indices is None:
        indices = sample_positions(logits, samples=samples, generator=generator, inside=inside)
    indices = as_label_map("indices", indices)
    _check_indices(indices, logits)
    sampled = logits.flatten(2).gather(2, indices)
    return F.binary_cross_entropy_with_logits(sampled, image_labels.to(logits.dtype)[:, :, None].expand_as(sampled))


def sample_positions(
    logits: Float[Tensor, "b cls h w"],
    *,
    samples: int,
    generator: torch.Generator | None = None,
    inside: Bool[Tensor, "b h w"] | None = None,
) -> Int[Tensor, "b cls s"]:
    """Row-major positions drawn with replacement, with probability ∝ sigmoid(logits) + 1e-5 (HFPL, Eq. 15).

    Positions that are not ``inside`` have probability 0.

    Raises:
        ValueError: samples is below 1, or inside does not fit or leaves an image without positions.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    weights = logits.detach().sigmoid() + 1e-5
    if inside is not None:
        if inside.shape != (logits.shape[0], *logits.shape[2:]) or not inside.flatten(1).any(dim=1).all():
            raise ValueError(f"inside must be (B,h,w) like logits {tuple(logits.shape)}, a position or more an image")
        weights = weights.masked_fill(~inside[:, None], 0.0)
    chances = weights.flatten(2).double().cumsum(dim=2)
    device = logits.device if generator is None else generator.device
    uniform = own_rows(
        lambda count: torch.rand((count, logits.shape[1], samples), generator=generator, device=device),
        len(logits),
    )
    # The first position whose cumulative weight exceeds the draw; one of weight 0 never is.
    return torch.searchsorted(chances, uniform.to(chances) * chances[:, :, -1:], right=True)


def _check_indices(indices: Tensor, logits: Tensor) -> None:
    if indices.ndim != 3 or indices.shape[:2] != logits.shape[:2] or indices.shape[2] == 0:
        raise ValueError(f"indices must be {(*logits.shape[:2], 'S')} with S > 0, got {tuple(indices.shape)}")
    positions = logits.shape[2] * logits.shape[3]
    if not ((indices >= 0) & (indices < positions)).all():
        raise ValueError(f"indices must be in 0..{positions - 1}")
