"""Formulas written down plainly: the yardsticks of the benchmarks, and the references of the tests."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from medwsss.refinement.pixel_adaptive import DILATIONS


def gathered(maps: Tensor, dilations: Sequence[int]) -> Tensor:
    """All neighbours at once, (B, C, 8·dilations, h, w), by dilated convolution with one-hot kernels."""
    batch, channels, height, width = maps.shape
    kernels = torch.eye(9, dtype=maps.dtype, device=maps.device).view(9, 1, 3, 3)[[0, 1, 2, 3, 5, 6, 7, 8]]
    planes = maps.reshape(batch * channels, 1, height, width)
    near_and_far = [F.conv2d(F.pad(planes, (d, d, d, d), mode="replicate"), kernels, dilation=d) for d in dilations]
    return torch.cat(near_and_far, dim=1).view(batch, channels, -1, height, width)


def plain_refinement(
    images: Tensor, masks: Tensor, *, dilations: Sequence[int] = DILATIONS, iterations: int = 10
) -> Tensor:
    """Pixel-adaptive refinement (methods §1), every neighbour of every mask in memory."""
    neighbours = gathered(images, dilations)
    std = neighbours.std(dim=2, keepdim=True)
    colour = -(((neighbours - images[:, :, None]).abs() / (std + 1e-8) / 0.3) ** 2).mean(dim=1, keepdim=True)
    distances = torch.tensor([d * step for d in dilations for step in [2**0.5, 1, 2**0.5, 1, 1, 2**0.5, 1, 2**0.5]])
    position = -((distances / (distances.std() + 1e-8) / 0.3) ** 2).view(1, 1, -1, 1, 1)
    weights = colour.softmax(dim=2) + 0.01 * position.softmax(dim=2).to(colour)
    for _ in range(iterations):
        masks = (gathered(masks, dilations) * weights).sum(dim=2)
    return masks


def pairwise_similarity(images: Tensor, maps: Tensor, *, mu: float = 2.5, sigma: float = 5.0) -> Tensor:
    """HFPL, Eq. 9-13, for all pairs of pixels of the batch at once, in tensors of B×N×N; autograd does the rest."""
    height, width = maps.shape[2:]
    axes = (torch.arange(height, device=maps.device), torch.arange(width, device=maps.device))
    place = torch.stack([axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")]).float()
    apart = (place[:, :, None] - place[:, None]).square().sum(dim=0)
    spatial = torch.exp(-apart / (2 * sigma**2)) / (2 * math.pi * sigma**2)
    colours, flat = images.flatten(2), maps.flatten(2)
    delta = sum((channel[:, :, None] - channel[:, None]).abs() for channel in colours.unbind(1)) / colours.shape[1]
    edge = torch.tanh(mu + torch.log((delta + 1e-5) / (1 - delta + 1e-5)))
    norms = 0.5 * flat.square().sum(dim=1)
    gate = norms[:, :, None] + norms[:, None] - flat.mT @ flat
    return -(spatial * gate * edge).sum() / (len(maps) * height * width)
