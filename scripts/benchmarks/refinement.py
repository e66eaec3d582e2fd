"""PAR, the similarity loss and the CRF beside their plain forms."""

from functools import partial

import torch
from torch import Tensor

from benchmarks.plain import pairwise_similarity, plain_refinement
from benchmarks.timing import Ratio, compared
from medwsss.losses.dense_energy import bilateral_features, gaussian_filter
from medwsss.losses.feature_similarity import feature_similarity_loss
from medwsss.refinement.crf import dense_crf
from medwsss.refinement.pixel_adaptive import pixel_adaptive_refinement

PAR_SHAPES = ((4, 4, 224, 224), (2, 21, 448, 448))


def bench_par(device: torch.device, repeats: int) -> list[Ratio]:
    """Ten iterations, six dilations."""
    return [_par(shape, device, repeats) for shape in PAR_SHAPES]


def _par(shape: tuple[int, int, int, int], device: torch.device, repeats: int) -> Ratio:
    batch, classes, height, width = shape
    images, masks = _random(device, batch, 3, height, width), _random(device, batch, classes, height, width)
    return compared(
        f"par_speedup_{height}",
        f"PAR, {'×'.join(map(str, shape))}",
        ours=lambda: pixel_adaptive_refinement(images, masks),
        yardstick=("48 neighbours gathered by dilated convolutions", lambda: plain_refinement(images, masks)),
        repeats=max(1, repeats // 2),
        device=device,
        memory=True,
    )


def bench_fsl(device: torch.device, repeats: int) -> list[Ratio]:
    """Forward and backward of the feature similarity loss."""
    images, maps = _random(device, 8, 3, 56, 56), _random(device, 8, 21, 56, 56)
    run = partial(_forward_and_backward, images=images, maps=maps)
    return [
        compared(
            "fsl_speedup",
            "feature similarity loss with gradient, 8×21×56×56",
            ours=lambda: run(feature_similarity_loss),
            yardstick=("all pairs of pixels at once", lambda: run(pairwise_similarity)),
            repeats=repeats,
            device=device,
            memory=True,
        )
    ]


def _forward_and_backward(loss, images: Tensor, maps: Tensor) -> None:  # type: ignore[no-untyped-def]
    maps = maps.detach().requires_grad_()
    torch.autograd.grad(loss(images, maps), maps)


def bench_crf(device: torch.device, repeats: int) -> list[Ratio]:
    """Ten updates on a quarter of a VOC photograph."""
    image = (255 * _random(device, 94, 125, 3)).byte()
    probs = _random(device, 21, 94, 125).softmax(dim=0)
    return [
        compared(
            "crf_speedup",
            "dense CRF, 21×94×125, 10 updates",
            ours=lambda: dense_crf(image, probs),
            yardstick=("the sum over all pairs of pixels, 10 times", lambda: _all_pairs(image, probs)),
            repeats=repeats,
            device=device,
            memory=True,
        )
    ]


def _all_pairs(image: Tensor, probs: Tensor) -> None:
    """The bilateral part of the mean field alone, which is the costly one."""
    (features,) = bilateral_features(image.permute(2, 0, 1)[None].float(), 5.0, 121.0)
    values = probs.flatten(1).T.contiguous()
    for _ in range(10):
        values = gaussian_filter(features, values).softmax(dim=1)


def _random(device: torch.device, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))).to(device)
