"""Number formats: label maps of any integer dtype, and sums that 16 bits cannot hold."""

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor


def as_label_map(name: str, labels: Shaped[Tensor, "*grid"]) -> Int64[Tensor, "*grid"]:
    """Labels of any integer dtype as int64, in which uint8 maps read from files can be compared and counted.

    Args:
        name: of the argument, for the message.
        labels: label map.

    Raises:
        ValueError: ``labels`` holds floats, complex numbers or truth values.
    """
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"{name} must hold integers, not {labels.dtype}")
    return labels.long()


def at_least_float32(name: str, values: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Floats of 16 bits as float32, wider ones as they are.

    Sums over all pixels overflow in 16 bits, and the small constants of the papers' formulas vanish.

    Args:
        name: of the argument, for the message.
        values: any float dtype.

    Raises:
        ValueError: ``values`` does not hold floats.
    """
    if not values.is_floating_point():
        raise ValueError(f"{name} must hold floats, not {values.dtype}")
    return values.to(torch.promote_types(values.dtype, torch.float32))
