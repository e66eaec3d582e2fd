"""Validation while training runs, for every kind of data."""

from collections.abc import Callable, Mapping
from functools import partial

import torch

from medwsss.config.training import InferenceConfig
from medwsss.data.loading import VolumeData
from medwsss.data.photographs import PhotographData
from medwsss.data.prepared import PreparedData
from medwsss.engine.validate_images import check_images, image_scores, validation_names
from medwsss.engine.validate_volumes import check_references, volume_scores
from medwsss.methods.method import Method


def validation_of(
    data: PreparedData, inference: InferenceConfig, device: torch.device
) -> Callable[[Method], Mapping[str, float]]:
    """What scores a method on the held-out part; what it will need of masks and photographs is opened once, here.

    Raises:
        DatasetError, VolumeError: a mask or photograph cannot be read, or they do not fit.
    """
    match data:
        case VolumeData():
            check_references(data)
            return partial(volume_scores, data=data, inference=inference, device=device)
        case PhotographData():
            names = validation_names(data)
            check_images(data, names)
            return partial(image_scores, data=data, names=names, inference=inference, device=device)
        case _:
            raise TypeError(f"no validation for {type(data).__name__}")
