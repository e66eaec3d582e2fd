"""From a photograph to its segmentation: averaged views at the original size, and a dense CRF where it is wanted."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from medwsss.cam.pseudo_labels import argmax_cams
from medwsss.config.training import CrfConfig, InferenceConfig
from medwsss.data.photograph_transforms import as_network_input
from medwsss.engine.views import predict_views
from medwsss.methods.method import Method
from medwsss.refinement.crf import dense_crf
from medwsss.refinement.response_scaling import Refine

_LEAST_SIDE = 16
"""Pixels of a side that the network sees at least; of a thinner photograph a small scale would leave nothing."""
_NEVER_QUITE = 1e-6
"""How far a background score keeps from 0 and 1, where the exponent of ``cam_labels`` has no value."""


@dataclass(frozen=True)
class ImageSegmentation:
    """Everything a method says about a photograph, at the photograph's own size."""

    labels: UInt8[np.ndarray, "h w"]
    """0 background, i for the i-th class."""
    probs: Float32[np.ndarray, "k h w"]
    """Background first; after the CRF where there is one."""
    uncertainty: Float32[np.ndarray, "h w"]
    """In [0, 1]; the method's own, which no CRF changes."""
    tag_probs: Float32[np.ndarray, " cls"]
    """Probability that the photograph shows each class."""


def segment_image(
    method: Method,
    image: UInt8[np.ndarray, "h w 3"],
    *,
    inference: InferenceConfig,
    device: torch.device,
    image_labels: Float32[np.ndarray, " cls"] | None = None,
) -> ImageSegmentation:
    """Segment one photograph; ``image_labels`` rule out absent classes where the tags are known.

    Probabilities are averaged over scales and flips, refined by the dense CRF where ``inference.crf`` is on, and then
    compared: the papers' protocol on VOC and COCO.
    """
    images, tags = _inputs(image, image_labels, device)
    found = predict_views(method, images, tags, inference=inference)
    height, width, _ = image.shape
    probs = _refined(image, found.probs[0, :, :height, :width].float(), inference.crf)
    return ImageSegmentation(
        labels=label_array(probs.argmax(dim=0)),
        probs=probs.cpu().numpy(),
        uncertainty=found.uncertainty[0, :height, :width].float().cpu().numpy(),
        tag_probs=found.tag_probs[0].float().cpu().numpy(),
    )


@torch.no_grad()
def image_cams(
    method: Method,
    image: UInt8[np.ndarray, "h w 3"],
    *,
    device: torch.device,
    image_labels: Float32[np.ndarray, " cls"] | None = None,
) -> Float32[np.ndarray, "cls h w"]:
    """Multi-scale class activation maps with flips, in [0, 1] at the photograph's size; 0 for absent classes.

    Without tags the classifier says which classes are absent. Scales are the method's own (``method.cam.scales``).
    """
    images, tags = _inputs(image, image_labels, device)
    height, width, _ = image.shape
    maps: Float32[np.ndarray, "cls h w"] = method.cams(images, tags)[0, :, :height, :width].float().cpu().numpy()
    return maps


def cam_labels(
    image: UInt8[np.ndarray, "h w 3"],
    cams: Float32[np.ndarray, "cls h w"],
    *,
    background: float,
    crf: CrfConfig,
    device: torch.device,
) -> UInt8[np.ndarray, "h w"]:
    """Labels from activation maps alone, as papers report the quality of seeds.

    The strongest class above the score ``background`` wins. With a CRF, the background's score is (1 − max cam)^α (Ahn
    and Kwak, Learning Pixel-level Semantic Affinity with Image-level Supervision, 2018), with the α at which classes
    win above ``background``, too; scores over their sum are the probabilities that the CRF refines.

    Args:
        image: the photograph.
        cams: its maps as ``image_cams`` gives them.
        background: score in [0, 1] that a class must exceed.
        crf: dense CRF; switched off, the maps are compared as they are.
        device: where the CRF runs.

    Raises:
        ValueError: ``background`` is outside [0, 1].
    """
    maps = torch.from_numpy(cams).to(device)
    if not crf.enabled:
        shown = torch.ones_like(maps[:, 0, 0])  # maps of absent classes are 0, and never exceed the background
        return label_array(argmax_cams(maps[None], shown[None], background=background)[0])
    if not 0 <= background <= 1:
        raise ValueError(f"background must lie in [0, 1], not {background}")
    return label_array(_refined(image, _cam_probs(maps, background), crf).argmax(dim=0))


def crf_refinement(image: UInt8[np.ndarray, "h w 3"], crf: CrfConfig) -> Refine:
    """The dense CRF on a photograph, as a function of probabilities (K, h, w); whether it is on does not matter."""
    return partial(dense_crf, image, **crf.model_dump(exclude={"enabled"}))


def padded_input(image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "3 _ _"]:
    """A photograph as networks see it, in [0, 1]; a thin one goes on below and to the right with its last pixels."""
    missing = [(0, max(0, _LEAST_SIDE - side)) for side in image.shape[:2]]
    return as_network_input(np.pad(image, [*missing, (0, 0)], mode="edge"))


def label_array(labels: Tensor) -> UInt8[np.ndarray, "*grid"]:
    """Label numbers, at most 254 of them and 255, in a byte."""
    return labels.byte().cpu().numpy()


def _cam_probs(cams: Float[Tensor, "cls h w"], background: float) -> Float[Tensor, "k h w"]:
    """Scores over their sum: (1 − m)^α = m where the strongest map m equals ``background``."""
    tie = min(max(background, _NEVER_QUITE), 1 - _NEVER_QUITE)
    exponent = math.log(tie) / math.log1p(-tie)
    scores = torch.cat([(1 - cams.amax(dim=0, keepdim=True)).clamp_min(0) ** exponent, cams])
    return scores / scores.sum(dim=0)


def _refined(
    image: UInt8[np.ndarray, "h w 3"], probs: Float[Tensor, "k h w"], crf: CrfConfig
) -> Float[Tensor, "k h w"]:
    return crf_refinement(image, crf)(probs) if crf.enabled else probs


def _inputs(
    image: UInt8[np.ndarray, "h w 3"], image_labels: Float32[np.ndarray, " cls"] | None, device: torch.device
) -> tuple[Float[Tensor, "1 3 _ _"], Float[Tensor, "1 cls"] | None]:
    """A batch of one; arrays are copied, because those of image readers may be read-only."""
    pixels = padded_input(image).to(device)[None]
    return pixels, None if image_labels is None else torch.from_numpy(image_labels.copy()).to(device)[None]
