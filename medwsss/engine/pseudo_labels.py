"""Pseudo-labels and how far to trust each of their pixels, made by a trained method: what a second stage learns from.

Labels are those that a training step would learn from, or the method's own prediction ("cyclic pseudo-mask", URN,
Fig. 3); weights come from response scaling of that prediction (URN, Eq. 6-10).
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
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
from medwsss.data.image_files import read_photograph, write_grey_image, write_label_image
from medwsss.data.image_labels import ImageLabels
from medwsss.data.photograph_transforms import as_network_input
from medwsss.data.pseudo_folder import PseudoFolder
from medwsss.data.sample import Batch, SliceKey, photograph_key
from medwsss.data.transforms import channels_of, working_slices
from medwsss.data.writing import written_whole
from medwsss.engine.infer import segment_volume, volume_cams
from medwsss.engine.infer_images import image_cams, segment_image
from medwsss.engine.predict import Item
from medwsss.engine.predict_images import ImageItem
from medwsss.errors import OutputError
from medwsss.labels import LabelSet
from medwsss.methods.method import Method
from medwsss.refinement.crf import dense_crf
from medwsss.refinement.pixel_adaptive import pixel_adaptive_refinement
from medwsss.refinement.response_scaling import Refine, response_scaling_weights
from medwsss.volumes.io import save_volume
from medwsss.volumes.reassembly import reassemble
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

Source = Literal["pseudo", "decoder"]
CAMS = "cams"
"""Folder of the optional activation maps, beside labels and weights."""
_LEAST_SIDE = 16
"""Pixels of a side that the network sees at least, as in prediction; what is added to a thin photograph is no image."""


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
        labels = _as_bytes(_crf(image, recipe)(probs).argmax(dim=0))
    else:
        labels = found.labels
    match recipe.scaling.refine:
        case "none":
            refine: Refine | None = None
        case "par":
            refine = _par(as_network_input(image).to(device), recipe)
        case "crf":
            refine = _crf(image, recipe)
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
    grey_levels = torch.from_numpy(_grey_slices(volume, grid)).to(device)
    refine_with = partial(_par, recipe=recipe) if recipe.scaling.refine == "par" else lambda image: None
    weights = [
        response_scaling_weights(shown, scales=recipe.scaling.scales, refine=refine_with(grey[None])).cpu().numpy()
        for shown, grey in zip(probs, grey_levels, strict=True)
    ]
    return VolumePseudoLabels(labels, reassemble(np.stack(weights), like=volume))


def write_image(
    method: Method,
    item: ImageItem,
    folder: PseudoFolder,
    recipe: Recipe,
    *,
    labels: LabelSet,
    device: torch.device,
    cams: bool,
) -> None:
    """Write weights, with ``cams`` the activation maps as ``medwsss predict --save cams`` does, and labels.

    The label image is the last file to appear: where it is, the image is done.

    Raises:
        ValueError: ``item`` has no tags.
        DatasetError: the photograph cannot be read.
        OutputError: a file cannot be written.
    """
    if item.image_labels is None:
        raise ValueError(f"item.image_labels of {item.name} must be known")
    image, tags = read_photograph(item.path), np.array(item.image_labels, dtype=np.float32)
    made = image_pseudo_labels(method, image, tags, recipe, device=device, name=item.name)
    write_grey_image(np.floor(255 * made.weights).astype(np.uint8), folder.weights_file(item.name))
    if cams:
        maps = image_cams(method, image, device=device, image_labels=tags)
        _write_image_cams(maps, labels, folder.root / CAMS / f"{item.name}.npz")
    write_label_image(made.labels, folder.labels_file(item.name))


def write_volume(
    method: Method,
    item: Item,
    folder: PseudoFolder,
    recipe: Recipe,
    *,
    image_labels: ImageLabels,
    grid: GridConfig,
    labels: LabelSet,
    device: torch.device,
    cams: bool,
) -> None:
    """The same for one frame of a study, as NIfTI on its own grid; the folders must be there.

    Raises:
        VolumeError, DatasetError: the frame cannot be read.
        OutputError: a file cannot be written.
    """
    volume = item.load()
    keys = [SliceKey(item.patient, item.phase, index) for index in range(len(slices_of(volume)))]
    tags = image_labels.array(keys).astype(np.float32)
    made = volume_pseudo_labels(method, volume, tags, recipe, grid=grid, device=device, name=item.name)
    save_volume(made.weights, folder.weights_file(item.name))
    if cams:
        maps = volume_cams(
            method, volume, grid=grid, inference=recipe.inference, device=device, image_labels=tags, name=item.name
        )
        for channel, shown in enumerate(labels.names):
            save_volume(maps.frame(channel), folder.root / CAMS / f"{item.name}_{shown}.nii.gz")
    save_volume(made.labels, folder.labels_file(item.name))


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
    missing = [(0, max(0, _LEAST_SIDE - side)) for side in (height, width)]
    pixels = as_network_input(np.pad(image, [*missing, (0, 0)], mode="edge"))
    tags, box = torch.from_numpy(image_labels.copy()), torch.tensor([[0, height, 0, width]])
    batch = Batch(pixels[None], tags[None], box, (photograph_key(name),)).to(device)
    return _as_bytes(method.explain(batch, step=step).pseudo_labels[0, :height, :width])


def _explained_volume(
    method: Method,
    volume: Volume,
    image_labels: Float32[np.ndarray, "n cls"],
    recipe: Recipe,
    grid: GridConfig,
    device: torch.device,
    name: str,
) -> Volume:
    stack = working_slices(volume, grid, name=name)
    count, height, width = stack.shape
    _, rows, columns = slices_of(volume).array.shape
    parts = []
    for start in range(0, count, recipe.inference.batch_size):
        indices = range(start, min(start + recipe.inference.batch_size, count))
        batch = Batch(
            torch.from_numpy(np.stack([channels_of(stack, index, grid) for index in indices])),
            torch.from_numpy(image_labels[indices.start : indices.stop].copy()),
            torch.tensor([[0, height, 0, width]] * len(indices)),
            tuple(SliceKey(name, "", index) for index in indices),
        )
        labels = method.explain(batch.to(device), step=recipe.step).pseudo_labels
        parts.append(_as_bytes(_nearest(labels, (rows, columns))))
    return reassemble(np.concatenate(parts), like=volume)


def _nearest(labels: Int[Tensor, "b h w"], size: tuple[int, int]) -> Int[Tensor, "b rows columns"]:
    """The label at the centre of every native pixel."""
    return F.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")[:, 0].long()


def _channel_slices(maps: Volume) -> Float32[np.ndarray, "n k h w"]:
    """The slices of a 4D volume whose last axis is that of the classes."""
    return np.stack([slices_of(maps.frame(channel)).array for channel in range(maps.frames)], axis=1)


def _grey_slices(volume: Volume, grid: GridConfig) -> Float32[np.ndarray, "n h w"]:
    """Native slices in [0, 1], clipped at the percentiles of the working grid; a constant volume becomes zeros."""
    stack = slices_of(volume).array.astype(np.float32)
    low, high = (float(level) for level in np.percentile(stack, grid.percentiles))
    if high <= low:  # nearly all voxels are equal
        low, high = float(stack.min()), float(stack.max())
    scaled = (stack - low) / (high - low) if high > low else np.zeros_like(stack)
    return scaled.clip(0, 1).astype(np.float32)


def _par(image: Float[Tensor, "c h w"], recipe: Recipe) -> Refine:
    settings = recipe.pixel_adaptive

    def refine(probs: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
        return pixel_adaptive_refinement(
            image[None], probs[None], dilations=settings.dilations, iterations=settings.iterations
        )[0]

    return refine


def _crf(image: UInt8[np.ndarray, "h w 3"], recipe: Recipe) -> Refine:
    return partial(dense_crf, image, **recipe.inference.crf.model_dump(exclude={"enabled"}))


def _as_bytes(labels: Int[Tensor, "..."]) -> UInt8[np.ndarray, "..."]:
    return labels.byte().cpu().numpy()


def _write_image_cams(cams: Float32[np.ndarray, "cls h w"], labels: LabelSet, path: Path) -> None:
    """Only the maps of classes that are shown, with their labels and names."""
    shown = np.flatnonzero(cams.any(axis=(1, 2)))
    numbers, names = (shown + 1).astype(np.uint8), np.array(labels.names)[shown]
    try:
        with written_whole(path) as partial_path, partial_path.open("wb") as file:  # numpy would add an ending
            np.savez_compressed(
                file, allow_pickle=False, cams=cams[shown].astype(np.float16), labels=numbers, names=names
            )
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another --out") from None
