"""Class activation maps as they are passed on: normalised, restricted to the tagged classes, or cut at a threshold."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


def min_max_normalised(
    maps: Float[Tensor, "b cls h w"], *, epsilon: float = 1e-5, inside: Bool[Tensor, "b h w"] | None = None
) -> Float[Tensor, "b cls h w"]:
    """Each map minus its minimum, then divided by its maximum + ``epsilon``: in [0, 1), 0 for a constant map.

    This is the last step of the multi-scale CAM of UniA (Sec. III-B) and of the code bases it builds on. Minimum and
    maximum are taken over the positions ``inside``, all of them by default; the others become 0.

    Raises:
        ValueError: ``maps`` is not a float tensor of four axes, or ``inside`` does not fit it.
    """
    _check_maps("maps", maps)
    if inside is None:
        above = maps - maps.amin(dim=(2, 3), keepdim=True)
        return above / (above.amax(dim=(2, 3), keepdim=True) + epsilon)
    if inside.shape != (maps.shape[0], *maps.shape[2:]):
        raise ValueError(f"inside must be (B, h, w) like maps {tuple(maps.shape)}, not {tuple(inside.shape)}")
    valid = inside[:, None]
    above = (maps - maps.masked_fill(~valid, torch.inf).amin(dim=(2, 3), keepdim=True)).masked_fill(~valid, 0.0)
    return above / (above.amax(dim=(2, 3), keepdim=True) + epsilon)


def max_normalised(maps: Float[Tensor, "b cls h w"], *, epsilon: float = 1e-5) -> Float[Tensor, "b cls h w"]:
    """relu(s⁺ − min s⁺ − ε) / (max s⁺ − min s⁺ + ε) of each map s with s⁺ = relu(s): in [0, 1) (HFPL, code of Eq. 4).

    Raises:
        ValueError: ``maps`` is not a float tensor of four axes.
    """
    _check_maps("maps", maps)
    positive = maps.relu()
    low, high = positive.amin(dim=(2, 3), keepdim=True), positive.amax(dim=(2, 3), keepdim=True)
    return (positive - low - epsilon).relu() / (high - low + epsilon)


def keep_tagged(cams: Float[Tensor, "b cls h w"], image_labels: Shaped[Tensor, "b cls"]) -> Float[Tensor, "b cls h w"]:
    """The maps of tagged classes as they are, those of all other classes 0.

    Args:
        cams: maps of the M foreground classes.
        image_labels: multi-hot tags, 1 where the image shows the class.

    Raises:
        ValueError: shapes do not fit, or ``image_labels`` holds anything but 0 and 1.
    """
    _check_maps("cams", cams)
    if image_labels.shape != cams.shape[:2]:
        raise ValueError(f"image_labels must be {tuple(cams.shape[:2])} like cams, not {tuple(image_labels.shape)}")
    if not ((image_labels == 0) | (image_labels == 1)).all():
        raise ValueError("image_labels must be 0 or 1")
    tagged = image_labels.to(device=cams.device, dtype=torch.bool)[:, :, None, None]
    return torch.where(tagged, cams, 0.0)


def reweighted_cams(cams: Float[Tensor, "b cls h w"], threshold: float) -> Float[Tensor, "b cls h w"]:
    """M_re: the scores above ``threshold``, 0 elsewhere (UniA, Eq. 8).

    Raises:
        ValueError: ``cams`` is not a float tensor of four axes.
    """
    _check_maps("cams", cams)
    return torch.where(cams > threshold, cams, 0.0)


def _check_maps(name: str, maps: Tensor) -> None:
    if maps.ndim != 4 or not maps.is_floating_point():
        raise ValueError(f"{name} must be floats of shape (B, M, h, w), not {maps.dtype} of shape {tuple(maps.shape)}")
