from pathlib import Path

import pytest
import torch
from fakes.voc import write_voc
from torch import Tensor

from medwsss.config.data import PhotographDataConfig
from medwsss.config.training import InferenceConfig
from medwsss.data.photographs import PhotographData, load_photographs
from medwsss.data.sample import SliceKey
from medwsss.data.voc import Voc
from medwsss.engine.validate_images import check_images, image_scores, validation_names
from medwsss.errors import DatasetError, MedwsssWarning
from medwsss.methods.method import Method, Prediction

CPU = torch.device("cpu")


class Constant(Method):
    """The same label everywhere, and the same probability for every tag."""

    training_step = explain = None  # type: ignore[assignment]

    def __init__(self, label: int) -> None:
        super().__init__()
        self.label, self.sizes = label, []  # type: ignore[var-annotated]

    def cams(self, images: Tensor, image_labels: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def predict(self, images: Tensor, image_labels: Tensor | None = None) -> Prediction:
        self.sizes.append(tuple(images.shape))
        probs = torch.zeros(len(images), 21, *images.shape[-2:])
        probs[:, self.label] = 1
        return Prediction(probs, probs[:, 0], torch.full((len(images), 20), 0.25))


def loaded(tmp_path: Path, **settings: object) -> PhotographData:
    config = PhotographDataConfig.model_validate({"name": "voc", **settings})
    return load_photographs(config, Voc(write_voc(tmp_path)), tmp_path / "tags.csv")


def test_miou_is_pooled_over_images_and_counts_classes_that_occur(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    names = validation_names(data)
    assert names == data.split.held_out
    pixels = torch.cat([torch.from_numpy(data.image_set.mask(name)).flatten() for name in names])
    known = pixels[pixels != 255]
    occurring = len(known.unique())
    expected = float((known == 0).sum() / len(known)) / occurring  # background is found with every other pixel
    scores = image_scores(Constant(0), data, names, InferenceConfig(flip=False), CPU)
    assert scores["miou"] == scores["score"] == pytest.approx(expected)


def test_without_masks_the_tags_decide(tmp_path: Path) -> None:
    with pytest.warns(MedwsssWarning, match="2 of 2 images of list test have no annotation"):
        data = loaded(tmp_path, held_out="test")
    tagged = dict(data.image_labels.tags)
    tagged[SliceKey(data.split.held_out[0], "", 0)] = (1, *[0] * 19)
    data = PhotographData(**{**vars(data), "image_labels": type(data.image_labels)(data.labels.names, tagged)})
    scores = image_scores(Constant(0), data, data.split.held_out, InferenceConfig(), CPU)
    expected = (torch.tensor(0.25).log() + 19 * torch.tensor(0.75).log()) / 20  # one tag is 1, nineteen are 0
    assert scores["score"] == pytest.approx(float(expected))


def test_validation_runs_at_one_scale_whatever_prediction_does(tmp_path: Path) -> None:
    data, method = loaded(tmp_path), Constant(0)
    image_scores(method, data, data.split.held_out[:1], InferenceConfig(scales=(1.0, 0.5), flip=True), CPU)
    assert len(method.sizes) == 1  # neither another scale nor a flip


def test_a_limit_spreads_over_the_list(tmp_path: Path) -> None:
    data = loaded(tmp_path, train="val", held_out="train", validation_images=2)
    assert validation_names(data) == (data.split.held_out[0], data.split.held_out[-1])


def test_a_mask_that_does_not_fit_stops_before_training(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    first, *_ = data.split.held_out
    (data.image_set.root / "SegmentationClass" / f"{first}.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=f"{first}.png is empty"):
        check_images(data, data.split.held_out)
