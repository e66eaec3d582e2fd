"""Class activation maps gathered over image scales and horizontal flips."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from medwsss.cam.maps import min_max_normalised

ScoreMaps = Callable[[Tensor], tuple[Tensor, ...]]


def multi_scale_cams(
    score_maps: ScoreMaps,
    images: Float[Tensor, "b c h w"],
    *,
    scales: Sequence[float],
    straight: tuple[Float[Tensor, "b _ hs ws"], ...] | None = None,
) -> tuple[Float[Tensor, "b _ h w"], ...]:
    """Normalised CAMs in [0, 1) at image size, one tensor a head (UniA, Sec. III-B). No gradient is kept.

    Per scale, the image and its mirror image run as one batch; the score maps of the two, upsampled to the image, are
    merged by their maximum and a ReLU. Scales are summed, then every map is min-max normalised.

    Args:
        score_maps: images (2B, C, h', w') -> raw class scores (2B, M, ., .) of each head, at any resolution.
        images: network input.
        scales: magnifications, > 0. Scale 1 always runs, first and once, whether it is listed or not.
        straight: what ``score_maps`` answers for ``images`` as they are, where that is known already, as in a training
            step; then at scale 1 the mirror images run alone.

    Raises:
        ValueError: ``images`` is not a float batch, a scale is not positive, or ``score_maps`` answers another number
            of heads or images than it should.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"images must be floats (B, C, h, w), not {images.dtype} of shape {tuple(images.shape)}")
    if any(not 0 < scale < math.inf for scale in scales):
        raise ValueError(f"scales must be positive, not {tuple(scales)}")
    with torch.no_grad():
        totals = _at_scale_1(score_maps, images, straight)
        for scale in (scale for scale in scales if scale != 1):
            maps = _both_flips(score_maps, magnified(images, float(scale)), size=images.shape[2:])
            totals = tuple(total + scaled for total, scaled in zip(totals, maps, strict=True))
        return tuple(min_max_normalised(total) for total in totals)


def magnified(images: Float[Tensor, "b c h w"], scale: float) -> Float[Tensor, "b c hs ws"]:
    """Images resized bilinearly by one factor; of a side that would have no pixel left, one remains."""
    if min(images.shape[2:]) * scale >= 1:
        return F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
    size = [max(1, math.floor(side * scale)) for side in images.shape[2:]]
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def _at_scale_1(
    score_maps: ScoreMaps, images: Float[Tensor, "b c h w"], straight: tuple[Tensor, ...] | None
) -> tuple[Tensor, ...]:
    if straight is None:
        return _both_flips(score_maps, images, size=images.shape[2:])
    heads = zip(straight, score_maps(images.flip(-1)), strict=True)
    return tuple(_merged_flips(torch.cat(both), images.shape[2:]) for both in heads)


def _both_flips(score_maps: ScoreMaps, images: Float[Tensor, "b c h w"], *, size: torch.Size) -> tuple[Tensor, ...]:
    """Score maps of images and mirror images in one batch, merged at ``size``, of each head."""
    heads = score_maps(torch.cat([images, images.flip(-1)]))
    if any(maps.ndim != 4 or len(maps) != 2 * len(images) for maps in heads):
        shapes = [tuple(maps.shape) for maps in heads]
        raise ValueError(f"score_maps must answer (2B, M, h', w') maps for {2 * len(images)} images, not {shapes}")
    return tuple(_merged_flips(maps, size) for maps in heads)


def _merged_flips(maps: Float[Tensor, "b2 cls hs ws"], size: torch.Size) -> Float[Tensor, "b cls h w"]:
    """ReLU of the maximum of an image's scores and the mirrored scores of its mirror image."""
    straight, mirrored = F.interpolate(maps, size=size, mode="bilinear", align_corners=False).chunk(2)
    return torch.maximum(straight, mirrored.flip(-1)).relu()
