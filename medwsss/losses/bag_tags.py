"""Image-level labels that describe several slices at once: multiple-instance pooling of their logits."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def pooled_logits(logits: Float[Tensor, "b cls"], bags: Int[Tensor, " b"]) -> Float[Tensor, "bag cls"]:
    """Log-mean-exp of the logits of each bag: between their mean and their maximum.

    The smooth maximum of Pinheiro and Collobert (CVPR 2015, r = 1), over slices instead of pixels: every slice of a bag
    is pushed, the likeliest most.

    Args:
        logits: of slices, before the sigmoid.
        bags: slices with the same number are one bag; bags come out in the order of their numbers.
    """
    inside = _members(bags)
    counts = inside.sum(dim=1).to(logits)
    return logits[None].masked_fill(~inside, -torch.inf).logsumexp(dim=1) - counts.log()


def bag_label_loss(
    logits: Float[Tensor, "b cls"], image_labels: Float[Tensor, "b cls"], bags: Int[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy where 0 holds for every slice of a bag, and 1 for at least one.

    Absent classes are counted slice by slice. Of classes that are there, the pooled logit of the bag is, as often as
    the bag has slices. With bags of one slice each it is ``multi_label_loss``.

    Args:
        logits: pooled class scores of each slice, before the sigmoid.
        image_labels: multi-hot, the same for all slices of a bag.
        bags: slices with the same number were tagged together.

    Raises:
        ValueError: slices of a bag have different labels, or labels are not 0 or 1.
    """
    if ((image_labels != 0) & (image_labels != 1)).any():
        raise ValueError("image_labels must hold only 0 and 1")
    inside = _members(bags)
    own_bag = inside[:, :, 0].int().argmax(dim=0)
    shown = (inside & (image_labels > 0)).any(dim=1)
    if not torch.equal(shown[own_bag], image_labels > 0):
        raise ValueError("the slices of a bag must have the same image_labels")
    told = torch.where(image_labels > 0, pooled_logits(logits, bags)[own_bag], logits)
    return F.binary_cross_entropy_with_logits(told, image_labels.to(logits.dtype))


def slice_tags(
    logits: Float[Tensor, "b cls"], image_labels: Float[Tensor, "b cls"], bags: Int[Tensor, " b"]
) -> Float[Tensor, "b cls"]:
    """Tags of single slices: of what a bag shows, the slices where it is more likely than not, and the likeliest one.

    A bag of one slice keeps its tags. (The rule of mi-SVM, Andrews et al., NIPS 2002, for a classifier of slices.)
    """
    inside = _members(bags)
    best = logits[None].masked_fill(~inside, -torch.inf).amax(dim=1)[inside[:, :, 0].int().argmax(dim=0)]
    return image_labels * ((logits > 0) | (logits == best)).to(image_labels)


def _members(bags: Int[Tensor, " b"]) -> Bool[Tensor, "bag b 1"]:
    """Which slices are in which bag."""
    numbers: Tensor = torch.unique(bags)
    return (numbers[:, None] == bags)[:, :, None]
