"""Pseudo-labels and how far to trust each of their pixels, made by a trained method: what a second stage learns from.

Labels are those that a training step would learn from, or the method's own prediction ("cyclic pseudo-mask", URN,
Fig. 3); weights come from response scaling of that prediction (URN, Eq. 6-10).
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from medwsss.config.addons import ResponseScalingConfig
from medwsss.config.data import GridConfig
from medwsss.config.maps import PixelAdaptiveConfig
from medwsss.config.training import InferenceConfig
from medwsss.data.photograph_transforms import as_network_input
from medwsss.data.sample import Batch, SliceKey, photograph_key
from medwsss.data.transforms import grey_levels
from medwsss.engine.infer import segment_volume, slice_batches
from medwsss.engine.infer_images import crf_refinement, label_array, padded_input, segment_image
from medwsss.methods.method import Method
from medwsss.refinement.pixel_adaptive import pixel_adaptive_refinement
from medwsss.refinement.response_scaling import Refine, response_scaling_weights
from medwsss.volumes.reassembly import reassemble
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

Source = Literal["pseudo", "decoder"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How labels and weights are made."""

    source: Source
    """``pseudo``: what a training step would learn from, 255 where it is undecided; ``decoder``: the prediction."""
    step: int
    """Iteration of that training step, counted from 0; schedules depend on it."""
    inference: InferenceConfig
    """Of the prediction. Its CRF, where it is on, refines labels, not the responses that are scaled for weights."""
    scaling: ResponseScalingConfig
    """Exponents, and the refinement of every scaled response; weights are response scaling whatever it weighs by."""
    pixel_adaptive: PixelAdaptiveConfig = field(default_factory=PixelAdaptiveConfig)
    """Settings of the refinement ``par``."""


@dataclass(frozen=True)
class ImagePseudoLabels:
    """Of a photograph, at its own size."""

    labels: UInt8[np.ndarray, "h w"]
    """0 background, i for the i-th class, 255 undecided."""
    weights: Float32[np.ndarray, "h w"]
    """In [0, 1]; 1 where no scaling changes the predicted label."""


@dataclass(frozen=True)
class VolumePseudoLabels:
    """Of a 3D volume, on its own grid."""

    labels: Volume
    """uint8: 0 background, i for the i-th class, 255 undecided."""
    weights: Volume
    """float32 in [0, 1], normalised slice by slice."""


@torch.no_grad()
def image_pseudo_labels(
    method: Method,
    image: UInt8[np.ndarray, "h w 3"],
    image_labels: Float32[np.ndarray, " cls"],
    recipe: Recipe,
    *,
    device: torch.device,
    name: str = "image",
) -> ImagePseudoLabels:
    """Labels and weights of one photograph with known tags; only tagged classes occur."""
    crf = recipe.inference.crf
    bare = recipe.inference.model_copy(update={"crf": crf.model_copy(update={"enabled": False})})
    found = segment_image(method, image, inference=bare, device=device, image_labels=image_labels)
    probs = torch.from_numpy(found.probs).to(device)
    if recipe.source == "pseudo":
        labels = _explained_image(method, image, image_labels, recipe.step, device, name)
    elif crf.enabled:
        labels = label_array(crf_refinement(image, crf)(probs).argmax(dim=0))
    else:
        labels = found.labels
    match recipe.scaling.refine:
        case "none":
            refine: Refine | None = None
        case "par":
            refine = _par(as_network_input(image).to(device), recipe)
        case "crf":
            refine = crf_refinement(image, crf)
    weights = response_scaling_weights(probs, scales=recipe.scaling.scales, refine=refine)
    return ImagePseudoLabels(labels, weights.cpu().numpy())


@torch.no_grad()
def volume_pseudo_labels(
    method: Method,
    volume: Volume,
    image_labels: Float32[np.ndarray, "n cls"],
    recipe: Recipe,
    *,
    grid: GridConfig,
    device: torch.device,
    name: str = "volume",
) -> VolumePseudoLabels:
    """Labels and weights of a 3D volume whose slices, in the order of ``slices_of``, have known tags.

    Labels are made on the working grid and taken to the native one by nearest neighbour; predictions are resized
    before their arg-max, and weights are computed at native size.

    Raises:
        ValueError: ``recipe`` asks for a CRF.
    """
    if recipe.scaling.refine == "crf":
        raise ValueError("recipe.scaling.refine must be none or par for volumes: a CRF needs colours")
    found = segment_volume(
        method,
        volume,
        grid=grid,
        inference=recipe.inference,
        device=device,
        image_labels=image_labels,
        name=name,
    )
    labels = found.labels
    if recipe.source == "pseudo":
        labels = _explained_volume(method, volume, image_labels, recipe, grid, device, name)
    probs = torch.from_numpy(_channel_slices(found.probs)).to(device)
    native = slices_of(volume).array.astype(np.float32)
    greys = torch.from_numpy(grey_levels(native, grid.percentiles)).to(device)
    refine_with = partial(_par, recipe=recipe) if recipe.scaling.refine == "par" else lambda image: None
    weights = [
        response_scaling_weights(shown, scales=recipe.scaling.scales, refine=refine_with(grey[None])).cpu().numpy()
        for shown, grey in zip(probs, greys, strict=True)
    ]
    return VolumePseudoLabels(labels, reassemble(np.stack(weights), like=volume))


def _explained_image(
    method: Method,
    image: UInt8[np.ndarray, "h w 3"],
    image_labels: Float32[np.ndarray, " cls"],
    step: int,
    device: torch.device,
    name: str,
) -> UInt8[np.ndarray, "h w"]:
    """What a training step would learn from if its crop were the whole photograph."""
    height, width, _ = image.shape
    tags, box = torch.from_numpy(image_labels.copy()), torch.tensor([[0, height, 0, width]])
    batch = Batch(padded_input(image)[None], tags[None], box, (photograph_key(name),)).to(device)
    return label_array(method.explain(batch, step=step).pseudo_labels[0, :height, :width])


def _explained_volume(
    method: Method,
    volume: Volume,
    image_labels: Float32[np.ndarray, "n cls"],
    recipe: Recipe,
    grid: GridConfig,
    device: torch.device,
    name: str,
) -> Volume:
    """The same for slices, each as a whole."""
    size, (_, rows, columns) = recipe.inference.batch_size, slices_of(volume).array.shape
    keys = tuple(SliceKey(name, "", index) for index in range(len(image_labels)))
    parts = []
    for number, images in enumerate(slice_batches(volume, grid, size, name=name)):
        part = slice(number * size, (number + 1) * size)
        tags, (height, width) = torch.from_numpy(image_labels[part].copy()), images.shape[-2:]
        batch = Batch(images, tags, torch.tensor([[0, height, 0, width]] * len(images)), keys[part])
        labels = method.explain(batch.to(device), step=recipe.step).pseudo_labels
        parts.append(label_array(_nearest(labels, (rows, columns))))
    return reassemble(np.concatenate(parts), like=volume)


def _nearest(labels: Int[Tensor, "b h w"], size: tuple[int, int]) -> Int[Tensor, "b rows columns"]:
    """The label at the centre of every native pixel."""
    return F.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")[:, 0].long()


def _channel_slices(maps: Volume) -> Float32[np.ndarray, "n k h w"]:
    """The slices of a 4D volume whose last axis is that of the classes."""
    return np.stack([slices_of(maps.frame(channel)).array for channel in range(maps.frames)], axis=1)


def _par(image: Float[Tensor, "c h w"], recipe: Recipe) -> Refine:
    settings = recipe.pixel_adaptive

    def refine(probs: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
        return pixel_adaptive_refinement(
            image[None], probs[None], dilations=settings.dilations, iterations=settings.iterations
        )[0]

    return refine
