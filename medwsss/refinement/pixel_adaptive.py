"""Pixel-adaptive refinement (PAR): maps follow the colours of the image over neighbours near and far.

An iteration is a product with a sparse matrix of one row a pixel: no neighbour is ever copied.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Integer, Shaped
from torch import Tensor

from medwsss.boxes import inside_boxes
from medwsss.dtypes import at_least_float32
from medwsss.labels import BACKGROUND, IGNORE
from medwsss.sparse_rows import regular_rows

DILATIONS = (1, 2, 4, 8, 12, 24)
KERNEL_WIDTH = 0.3
"""Width of the colour and position kernels, in standard deviations over the neighbours."""
POSITION_WEIGHT = 0.01
"""Share of the position weights, added to the colour weights: the sum is 1.01, as in the published code."""
_DIRECTIONS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


@torch.no_grad()
def pixel_adaptive_refinement(
    images: Float[Tensor, "b c h w"],
    masks: Float[Tensor, "b k hm wm"],
    *,
    dilations: Sequence[int] = DILATIONS,
    iterations: int = 10,
) -> Float[Tensor, "b k h w"]:
    """Replace masks, ``iterations`` times, by the weighted sum of their eight neighbours at every dilation.

    Weights (methods §1): softmax over neighbours n of −mean over channels of (|I_n − I_0| / std / 0.3)², std unbiased
    over the neighbours, plus 0.01 times the softmax of the same in distance. They sum to 1.01 and do not depend on the
    scale of the intensities. The centre is no neighbour; borders are replicated. No gradient is kept.

    Args:
        images: intensities, any number of channels.
        masks: maps to refine; another size is upsampled to the image, bilinear with aligned corners.
        dilations: distances of the neighbours in pixels, >= 1.
        iterations: repetitions; 0 returns the (upsampled) masks.

    Raises:
        ValueError: ``images`` or ``masks`` are not float batches of one length, or a dilation or count is out of range.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"images must be floats (B, C, h, w), not {images.dtype} of shape {tuple(images.shape)}")
    if masks.ndim != 4 or not masks.is_floating_point() or len(masks) != len(images):
        raise ValueError(f"masks must be floats ({len(images)}, K, h, w), not {masks.dtype} of {tuple(masks.shape)}")
    dilations = [int(dilation) for dilation in dilations]  # an array will do as well
    _check_neighbourhood(dilations, iterations)
    refined = at_least_float32("masks", masks)
    if masks.shape[2:] != images.shape[2:]:
        refined = F.interpolate(refined, size=images.shape[2:], mode="bilinear", align_corners=True)
    neighbours = _neighbour_places(refined, dilations)
    walked = [
        _refined(image, mask, neighbours, dilations, iterations)
        for image, mask in zip(images.to(refined.dtype)[:, None], refined, strict=True)
    ]
    return torch.stack(walked).to(masks.dtype)


def _refined(
    image: Float[Tensor, "1 c h w"],
    mask: Float[Tensor, "k h w"],
    neighbours: Int[Tensor, "hw n"],
    dilations: Sequence[int],
    iterations: int,
) -> Float[Tensor, "k h w"]:
    """One image at a time: all share the list of neighbours, and the weights of one fit the memory."""
    step = regular_rows(neighbours, _weights(image, dilations)[0].flatten(1).T)
    values = mask.flatten(1).T.contiguous()
    for _ in range(iterations):
        values = step @ values
    return values.T.reshape(mask.shape)


@torch.no_grad()
def refined_pseudo_labels(
    images: Float[Tensor, "b c h w"],
    cams: Float[Tensor, "b cls hm wm"],
    image_labels: Shaped[Tensor, "b cls"],
    *,
    high: float,
    low: float,
    boxes: Integer[Tensor, "b 4"] | None = None,
    downscale: int = 2,
    dilations: Sequence[int] = DILATIONS,
    iterations: int = 10,
    ignore_index: int = IGNORE,
) -> Int[Tensor, "b h w"]:
    """Label maps from CAMs refined by colour and position (PAR), once against each of two background scores.

    Image and maps are reduced (bilinear); softmax over {background constant, tagged classes}; PAR; upsampled; arg-max.
    Label: the class where the run with ``high`` says class, 0 where both runs say background, else ``ignore_index``.

    Args:
        images: intensities in [0, 1].
        cams: normalised maps in [0, 1] of the M foreground classes.
        image_labels: multi-hot tags; an image without a tag is background inside its box.
        high: background score that a class must beat to be labelled.
        low: background score below which all classes must stay for the pixel to be background.
        boxes: valid area [top, bottom, left, right) of each image, ignored outside; None means everywhere.
        downscale: reduction of each side, rounded down.
        dilations: see ``pixel_adaptive_refinement``.
        iterations: see ``pixel_adaptive_refinement``.
        ignore_index: label of ignored pixels.

    Raises:
        ValueError: shapes do not fit, thresholds are not 0 <= low <= high <= 1, or a box leaves the image.
    """
    _check_cams(images, cams, image_labels)
    if not 0 <= low <= high <= 1:
        raise ValueError(f"low and high must satisfy 0 <= low <= high <= 1, not low={low}, high={high}")
    if downscale < 1 or min(images.shape[2:]) < downscale:
        raise ValueError(f"downscale must be at least 1 and at most the image's shorter side, not {downscale}")
    height, width = images.shape[2:]
    size = (height // downscale, width // downscale)
    scores, classes = _tagged_scores(_resized(at_least_float32("cams", cams), size), image_labels.to(cams.device))
    probs = torch.cat([_with_background(scores, high), _with_background(scores, low)], dim=1)
    refined = pixel_adaptive_refinement(_resized(images, size), probs, dilations=dilations, iterations=iterations)
    in_high, in_low = (half.max(dim=1).indices for half in _resized(refined, (height, width)).chunk(2, dim=1))
    labels = classes.gather(1, in_high.flatten(1)).view_as(in_high)
    labels = labels.masked_fill(in_high == 0, ignore_index).masked_fill((in_high == 0) & (in_low == 0), BACKGROUND)
    return labels.masked_fill(~inside_boxes(boxes, labels), ignore_index)


def _tagged_scores(
    cams: Float[Tensor, "b cls h w"], image_labels: Shaped[Tensor, "b cls"]
) -> tuple[Float[Tensor, "b t h w"], Int[Tensor, "b t1"]]:
    """Maps of the tagged classes of each image, −inf where it has fewer than the batch's most, and channel → label.

    Only these go through PAR, so its cost follows the number of tags an image has, not the number of classes.
    """
    most = int(image_labels.count_nonzero(dim=1).max())
    tagged, order = image_labels.long().sort(dim=1, descending=True, stable=True)
    tagged, order = tagged[:, :most].bool(), order[:, :most]
    scores = cams.gather(1, order[:, :, None, None].expand(-1, -1, *cams.shape[2:]))
    labels = F.pad(order + 1, (1, 0), value=BACKGROUND)
    return scores.masked_fill(~tagged[:, :, None, None], -torch.inf), labels


def _with_background(scores: Float[Tensor, "b t h w"], background: float) -> Float[Tensor, "b t1 h w"]:
    return F.pad(scores, (0, 0, 0, 0, 1, 0), value=background).softmax(dim=1)


def _resized(maps: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Float[Tensor, "b k h2 w2"]:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _neighbour_places(like: Float[Tensor, "b k h w"], dilations: Sequence[int]) -> Int[Tensor, "hw n"]:
    """Row-major places of the neighbours of every pixel, replicated at the border, in the order of ``_neighbours``."""
    height, width = like.shape[2:]
    rows = torch.arange(height, device=like.device)[:, None]
    columns = torch.arange(width, device=like.device)[None]
    places = [
        ((rows + dy * dilation).clamp(0, height - 1) * width + (columns + dx * dilation).clamp(0, width - 1)).int()
        for dilation in dilations
        for dy, dx in _DIRECTIONS
    ]
    return torch.stack(places, dim=-1).flatten(0, 1)


def _neighbours(maps: Float[Tensor, "b k h w"], dilations: Sequence[int]) -> Iterator[Tensor]:
    """The neighbours of every pixel, one displacement at a time, as views of a single replicate-padded copy."""
    height, width = maps.shape[2:]
    margin = max(dilations)
    padded = F.pad(maps, (margin, margin, margin, margin), mode="replicate")
    for dilation in dilations:
        for dy, dx in _DIRECTIONS:
            top, left = margin + dy * dilation, margin + dx * dilation
            yield padded[:, :, top : top + height, left : left + width]


def _weights(images: Float[Tensor, "b c h w"], dilations: Sequence[int]) -> Float[Tensor, "b n h w"]:
    """Weights of the neighbours; built in place, since they are the largest tensor of the refinement."""
    scale = (_neighbour_std(images, dilations) + 1e-8) * KERNEL_WIDTH
    batch, _, height, width = images.shape
    weights = images.new_empty(batch, len(dilations) * len(_DIRECTIONS), height, width)
    for index, neighbour in enumerate(_neighbours(images, dilations)):
        weights[:, index] = (neighbour - images).div_(scale).square_().mean(dim=1)
    weights.neg_()
    weights.sub_(weights.amax(dim=1, keepdim=True)).exp_()
    weights.div_(weights.sum(dim=1, keepdim=True))
    return weights.add_(POSITION_WEIGHT * _position_weights(dilations).to(weights)[:, None, None])


def _neighbour_std(images: Float[Tensor, "b c h w"], dilations: Sequence[int]) -> Float[Tensor, "b c h w"]:
    """Unbiased standard deviation over the neighbours, by the corrected two-pass formula.

    The correction by the mean residual keeps it exact on almost flat areas, where rounding would else be amplified.
    """
    count = len(dilations) * len(_DIRECTIONS)
    mean, residual, squares = (torch.zeros_like(images) for _ in range(3))
    for neighbour in _neighbours(images, dilations):
        mean.add_(neighbour, alpha=1 / count)
    for neighbour in _neighbours(images, dilations):
        difference = neighbour - mean
        residual.add_(difference)
        squares.addcmul_(difference, difference)
    return squares.sub_(residual.square_().div_(count)).clamp_(min=0).div_(count - 1).sqrt_()


def _position_weights(dilations: Sequence[int]) -> Float[Tensor, " n"]:
    """Softmax over neighbours of −(d / (std d + 1e-8) / 0.3)², d the Euclidean distance."""
    steps = torch.tensor([dilation * (dy * dy + dx * dx) ** 0.5 for dilation in dilations for dy, dx in _DIRECTIONS])
    return (steps / (steps.std() + 1e-8) / KERNEL_WIDTH).square().neg().softmax(dim=0)


def _check_neighbourhood(dilations: Sequence[int], iterations: int) -> None:
    if not dilations or any(dilation < 1 for dilation in dilations):
        raise ValueError(f"dilations must be one or more distances of at least 1 pixel, not {tuple(dilations)}")
    if iterations < 0:
        raise ValueError(f"iterations must be at least 0, not {iterations}")


def _check_cams(images: Tensor, cams: Tensor, image_labels: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"images must be floats (B, C, h, w), not {images.dtype} of shape {tuple(images.shape)}")
    if cams.ndim != 4 or not cams.is_floating_point() or len(cams) != len(images):
        raise ValueError(f"cams must be floats ({len(images)}, M, h, w), not {cams.dtype} of {tuple(cams.shape)}")
    if image_labels.shape != cams.shape[:2]:
        raise ValueError(f"image_labels must be {tuple(cams.shape[:2])} like cams, not {tuple(image_labels.shape)}")
    if not ((image_labels == 0) | (image_labels == 1)).all():
        raise ValueError("image_labels must be 0 or 1")
