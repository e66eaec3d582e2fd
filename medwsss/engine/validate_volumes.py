"""Scores on held-out patients: volume-level Dice where masks exist, else how well tags are told."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Shaped

from medwsss.config.training import InferenceConfig
from medwsss.data.loading import VolumeData
from medwsss.data.sample import SliceKey
from medwsss.data.study import Study, case_id, load_frame, load_reference
from medwsss.engine.infer import segment_volume
from medwsss.methods.method import Method
from medwsss.metrics.dice import dice
from medwsss.ranks import over_ranks


def volume_scores(
    method: Method, data: VolumeData, inference: InferenceConfig, device: torch.device
) -> dict[str, float]:
    """Mean over held-out volumes: ``dice_<class>`` (no tags used) and ``tag_log_likelihood``.

    ``score``, which picks the best checkpoint, is the mean Dice over classes; without references it is the tags' log
    likelihood per slice and class, so that training on data without any mask still has a best checkpoint.

    Cases without a mask are scored by their tags alone. Of several processes each scores its share of the volumes.
    """
    volumes = [(study, phase) for study in data.held_out for phase in study.frames]
    scored = over_ranks(partial(_volume_scores, method, data, inference, device), volumes)
    names = [*(f"dice_{name}" for name in data.labels.names), "tag_log_likelihood"]
    scores = {name: defined_mean([found[name] for found in scored if name in found]) for name in names}
    overall = defined_mean([scores[f"dice_{name}"] for name in data.labels.names])
    return scores | {"score": scores["tag_log_likelihood"] if math.isnan(overall) else overall}


def _volume_scores(
    method: Method,
    data: VolumeData,
    inference: InferenceConfig,
    device: torch.device,
    of: tuple[Study, str],
) -> dict[str, float]:
    """What can be told of one volume."""
    study, phase = of
    volume, name = load_frame(study.frames[phase]), str(study.frames[phase])
    result = segment_volume(method, volume, grid=data.config.grid, inference=inference, device=device, name=name)
    found: dict[str, float] = {}
    keys = [SliceKey(study.patient, phase, index) for index in range(len(result.tag_probs))]
    tagged = [index for index, key in enumerate(keys) if key in data.image_labels.tags]
    if tagged:
        told = data.image_labels.told([keys[index] for index in tagged], result.tag_probs[tagged])
        found["tag_log_likelihood"] = log_likelihood(*told)
    reference = data.references.get(case_id(study, phase))
    if reference is not None:
        truth = load_reference(reference, volume, data.task)
        for label, shown in enumerate(data.labels.names, start=1):
            found[f"dice_{shown}"] = dice(result.labels.array == label, truth == label)
    return found


def check_references(data: VolumeData) -> None:
    """Open every mask that validation will need, so that a bad one stops a run before it starts, not hours later.

    Raises:
        DatasetError: a mask of a held-out patient does not fit its frame or holds unknown codes.
        VolumeError: a file cannot be read.
    """
    for study in data.held_out:
        for phase in study.frames:
            path = data.references.get(case_id(study, phase))
            if path is not None:
                load_reference(path, load_frame(study.frames[phase]), data.task)


def log_likelihood(probs: Float[np.ndarray, "n cls"], tags: Shaped[np.ndarray, "n cls"]) -> float:
    """Mean log probability of tags of 0 and 1, each taken as at least one in a million."""
    told = np.where(tags == 1, probs, 1.0 - probs)
    return float(np.log(np.clip(told, 1e-6, 1.0)).mean())


def defined_mean(values: Sequence[float]) -> float:
    """Mean over defined values; NaN where there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
