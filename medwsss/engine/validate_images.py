"""Scores on held-out photographs: mean IoU where masks exist, else how well tags are told."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from medwsss.config.training import CrfConfig, InferenceConfig
from medwsss.data.image_files import read_photograph
from medwsss.data.photographs import PhotographData
from medwsss.data.sample import photograph_key
from medwsss.engine.infer_images import segment_image
from medwsss.engine.validate_volumes import defined_mean, log_likelihood
from medwsss.methods.method import Method
from medwsss.metrics.confusion import class_scores, confusion_matrix
from medwsss.ranks import over_ranks


def image_scores(
    method: Method, data: PhotographData, names: Sequence[str], inference: InferenceConfig, device: torch.device
) -> dict[str, float]:
    """``miou`` over the classes that occur, background included, and ``tag_log_likelihood``; no tags are used.

    ``score``, which picks the best checkpoint, is ``miou``, or the tags' log likelihood where no image has a mask.
    Images without mask are scored by their tags alone. Pixels are counted over all images, then scored. A single scale,
    no flip and no CRF, as the authors' logs have it. Of several processes each scores its share of the images.
    """
    one_view = {"scales": (1.0,), "flip": False, "rotations": (0.0,), "crf": CrfConfig(enabled=False)}
    plain = inference.model_copy(update=one_view)
    classes = data.labels.num_classes
    scored = over_ranks(partial(_told_and_counted, method, data, plain, device), names)
    counts = sum((counts for _, counts in scored), torch.zeros(classes, classes, dtype=torch.int64))
    told = defined_mean([told for told, _ in scored])
    scores = {"miou": class_scores(counts).mean_iou, "tag_log_likelihood": told}
    return scores | {"score": scores["tag_log_likelihood"] if math.isnan(scores["miou"]) else scores["miou"]}


def _told_and_counted(
    method: Method, data: PhotographData, inference: InferenceConfig, device: torch.device, name: str
) -> tuple[float, Int64[Tensor, "k k"]]:
    """Of one image, how well its tags are told, NaN without any, and the pixels of its mask, none without one."""
    image = read_photograph(data.image_set.image_path(name))
    result = segment_image(method, image, inference=inference, device=device)
    key, told, classes = photograph_key(name), math.nan, data.labels.num_classes
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    if key in data.image_labels.tags:
        told = log_likelihood(result.tag_probs[None], data.image_labels.array([key]))
    if data.image_set.has_mask(name):
        truth = torch.from_numpy(data.image_set.mask(name))
        counts = confusion_matrix(torch.from_numpy(result.labels), truth, classes=classes)
    return told, counts


def validation_names(data: PhotographData) -> tuple[str, ...]:
    """The images that validation looks at: all that are held out, or as many as configured, spread over the list."""
    names, wanted = data.split.held_out, data.config.validation_images
    if wanted is None or wanted >= len(names):
        return names
    return tuple(names[place] for place in np.linspace(0, len(names) - 1, wanted).round().astype(int))


def check_images(data: PhotographData, names: Sequence[str]) -> None:
    """Open every image and mask that validation will need, so that a bad one stops a run before it starts.

    Raises:
        DatasetError: an image is missing or damaged, or its mask is damaged or does not fit it.
    """
    for name in names:
        read_photograph(data.image_set.image_path(name))
        if data.image_set.has_mask(name):
            data.image_set.mask(name)
