"""What the slices of a volume may show, and what each of them shows, where tags describe more than one or none."""

import numpy as np
import torch
from jaxtyping import Float32

from medwsss.config.data import GridConfig
from medwsss.config.training import InferenceConfig
from medwsss.data.image_labels import ImageLabels
from medwsss.engine.infer import segment_volume
from medwsss.engine.predict import Item, slice_keys_of
from medwsss.losses.bag_tags import slice_tags
from medwsss.methods.method import Predictor
from medwsss.volumes.volume import Volume


def allowed_classes(item: Item, frame: Volume, image_labels: ImageLabels) -> Float32[np.ndarray, "n cls"]:
    """0 where the tags of a slice, or of its bag, rule a class out; all classes are allowed where there are no tags."""
    unknown = (1,) * len(image_labels.names)
    rows = [image_labels.tags.get(key, unknown) for key in slice_keys_of(item, frame)]
    return np.array(rows, dtype=np.float32)


def single_tags(
    method: Predictor,
    item: Item,
    frame: Volume,
    image_labels: ImageLabels,
    *,
    grid: GridConfig,
    inference: InferenceConfig,
    device: torch.device,
) -> Float32[np.ndarray, "n cls"]:
    """Tags of every slice of one frame of an item.

    Slices that were tagged one by one keep their tags. Of those that were tagged together, the classifier says which
    show what their bag does, as in training; of slices without tags, it says all.
    """
    keys, allowed = slice_keys_of(item, frame), allowed_classes(item, frame, image_labels)
    bag_of = {key: number for number, bag in enumerate(image_labels.bags) for key in bag}
    untagged = np.array([key not in image_labels.tags for key in keys])
    if not (untagged.any() or any(key in bag_of for key in keys)):
        return allowed
    found = segment_volume(method, frame, grid=grid, inference=inference, device=device, name=item.name)
    bags = torch.tensor([bag_of.get(key, len(image_labels.bags) + index) for index, key in enumerate(keys)])
    told = slice_tags(torch.from_numpy(found.tag_probs).logit(), torch.from_numpy(allowed), bags).numpy()
    told[untagged] = found.tag_probs[untagged] > 0.5
    return told
