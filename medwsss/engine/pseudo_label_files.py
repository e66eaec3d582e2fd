"""From files to files: pseudo-labels and weights of photographs and frames, written into their folder."""

import numpy as np
import torch

from medwsss.config.data import GridConfig
from medwsss.data.image_files import read_photograph, write_grey_image, write_label_image
from medwsss.data.image_labels import ImageLabels
from medwsss.data.pseudo_folder import PseudoFolder
from medwsss.engine.infer import volume_cams
from medwsss.engine.infer_images import image_cams
from medwsss.engine.predict import Item, map_file
from medwsss.engine.predict_images import ImageItem, write_cams
from medwsss.engine.pseudo_labels import Recipe, image_pseudo_labels, volume_pseudo_labels
from medwsss.engine.slice_tags import single_tags
from medwsss.labels import LabelSet
from medwsss.methods.method import Method
from medwsss.volumes.io import save_volume

CAMS = "cams"
"""Folder of the optional activation maps, beside labels and weights."""


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
        write_cams(maps, labels, folder.root / CAMS / f"{item.name}.npz")
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

    Where slices were tagged together, or not at all, the classifier says which of them show a class.

    Raises:
        VolumeError, DatasetError: the frame cannot be read.
        OutputError: a file cannot be written.
    """
    volume = item.load()
    tags = single_tags(method, item, volume, image_labels, grid=grid, inference=recipe.inference, device=device)
    made = volume_pseudo_labels(method, volume, tags, recipe, grid=grid, device=device, name=item.name)
    save_volume(made.weights, folder.weights_file(item.name))
    if cams:
        maps = volume_cams(
            method, volume, grid=grid, inference=recipe.inference, device=device, image_labels=tags, name=item.name
        )
        for channel, shown in enumerate(labels.names):
            save_volume(maps.frame(channel), folder.root / map_file(CAMS, item.name, shown))
    save_volume(made.labels, folder.labels_file(item.name), description=f"medwsss pseudo-labels: {recipe.source}")
