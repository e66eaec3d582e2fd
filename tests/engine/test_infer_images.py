import numpy as np
import pytest
import torch
from fakes.networks import Threshold, tiny_run_config
from torch import Tensor

from medwsss.config.training import CrfConfig, InferenceConfig
from medwsss.engine.infer_images import cam_labels, image_cams, segment_image
from medwsss.labels import LabelSet
from medwsss.methods import build_method
from medwsss.methods.method import Prediction
from medwsss.refinement.crf import dense_crf

CPU = torch.device("cpu")
CRF = CrfConfig(enabled=True)


def photograph(height: int = 21, width: int = 34) -> np.ndarray:
    """A red patch, off the middle, on a dark ground."""
    image = np.full((height, width, 3), 20, dtype=np.uint8)
    image[5:15, 3:17, 0] = 230
    return image


def red(image: np.ndarray) -> np.ndarray:
    return image[..., 0] > 127


class Noisy(Threshold):
    """Sees the patch through noise that any refinement by colour removes."""

    def predict(self, images: Tensor, image_labels: Tensor | None = None) -> Prediction:
        noise = torch.rand(images[:, :1].shape, generator=torch.Generator().manual_seed(0))
        return super().predict((0.45 * images + 0.5 * noise).clamp(0, 1), image_labels)


def test_labels_lie_on_the_pixels_they_belong_to_at_the_original_size() -> None:
    image = photograph()
    for scales in ((1.0,), (0.5, 1.0, 1.5)):
        result = segment_image(Threshold(), image, inference=InferenceConfig(scales=scales), device=CPU)
        agreement = (result.labels == red(image)).mean()
        assert agreement == 1 if scales == (1.0,) else agreement > 0.95
        assert result.labels.dtype == np.uint8
        assert result.probs.shape == (2, 21, 34)
        np.testing.assert_allclose(result.probs.sum(axis=0), 1, atol=1e-6)


def test_probabilities_of_a_method_that_reads_single_pixels_are_its_input() -> None:
    image = photograph()
    result = segment_image(Threshold(), image, inference=InferenceConfig(flip=True), device=CPU)
    np.testing.assert_allclose(result.probs[1], image[..., 0] / 255, atol=1e-6)
    np.testing.assert_allclose(result.uncertainty, image[..., 0] / 255, atol=1e-6)
    np.testing.assert_allclose(result.tag_probs, [230 / 255], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2)])
def test_a_scale_that_would_leave_no_pixel_of_a_thin_photograph_does_not_stop_it(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 230, dtype=np.uint8)
    result = segment_image(Threshold(), image, inference=InferenceConfig(scales=(1.0, 0.25)), device=CPU)
    np.testing.assert_array_equal(result.labels, np.ones(shape))
    np.testing.assert_allclose(result.uncertainty, np.full(shape, 230 / 255), atol=1e-6)
    cams = image_cams(build_method(tiny_run_config(), LabelSet("one", ("a",))).eval(), image, device=CPU)
    assert cams.shape == (1, *shape)


def test_tags_clear_what_they_rule_out() -> None:
    absent = np.zeros(1, dtype=np.float32)
    result = segment_image(Threshold(), photograph(), inference=InferenceConfig(), device=CPU, image_labels=absent)
    assert not result.labels.any()
    assert not image_cams(Threshold(), photograph(), device=CPU, image_labels=absent).any()


def test_the_crf_refines_probabilities_with_the_settings_of_the_configuration() -> None:
    image = photograph()
    plain = segment_image(Noisy(), image, inference=InferenceConfig(flip=False), device=CPU)
    crf = CRF.model_copy(update={"iterations": 3, "bilateral_xy": 30.0})
    refined = segment_image(Noisy(), image, inference=InferenceConfig(flip=False, crf=crf), device=CPU)
    expected = dense_crf(image, plain.probs, iterations=3, bilateral_xy=30)
    np.testing.assert_allclose(refined.probs, expected.numpy(), atol=1e-6)
    assert (plain.labels == red(image)).mean() < 0.95
    assert (refined.labels == red(image)).mean() > 0.98
    np.testing.assert_array_equal(refined.uncertainty, plain.uncertainty)


def test_read_only_images_that_run_backwards_are_taken() -> None:
    image = photograph()[:, ::-1]
    image.flags.writeable = False
    result = segment_image(Threshold(), image, inference=InferenceConfig(), device=CPU)
    np.testing.assert_array_equal(result.labels, red(image))


def test_labels_of_cams_are_the_strongest_class_above_the_background_score() -> None:
    cams = np.array([[[0.0, 0.3, 0.5, 0.8]], [[0.0, 0.4, 0.5, 0.9]]], dtype=np.float32)
    image = np.zeros((1, 4, 3), dtype=np.uint8)
    labels = cam_labels(image, cams, background=0.4, crf=CrfConfig(), device=CPU)
    np.testing.assert_array_equal(labels, [[0, 0, 1, 2]])  # 0.4 does not exceed 0.4; the lower class wins a tie
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("background", [0.0, 0.3, 0.45, 0.5, 0.8, 1.0])
def test_a_crf_without_pairs_labels_cams_as_no_crf_does(background: float) -> None:
    cams = np.random.default_rng(0).random((3, 40, 40), dtype=np.float32)
    image = np.zeros((40, 40, 3), dtype=np.uint8)
    bare = CRF.model_copy(update={"gaussian_weight": 0.0, "bilateral_weight": 0.0})
    expected = cam_labels(image, cams, background=background, crf=CrfConfig(), device=CPU)
    labels = cam_labels(image, cams, background=background, crf=bare, device=CPU)
    assert (labels == expected).mean() > 0.999


def test_a_crf_moves_the_borders_of_cams_to_those_of_the_image() -> None:
    image = photograph()
    cams = image_cams(Noisy(), image, device=CPU)
    plain = cam_labels(image, cams, background=0.5, crf=CrfConfig(), device=CPU)
    refined = cam_labels(image, cams, background=0.5, crf=CRF, device=CPU)
    assert (plain == red(image)).mean() < 0.95
    assert (refined == red(image)).mean() > 0.98


@pytest.mark.parametrize("crf", [CrfConfig(), CRF])
def test_a_background_score_outside_its_range_is_refused(crf: CrfConfig) -> None:
    with pytest.raises(ValueError, match="background"):
        cam_labels(photograph(), np.zeros((1, 21, 34), np.float32), background=1.5, crf=crf, device=CPU)


@pytest.mark.parametrize("name", ["unia", "cam"])
def test_every_real_method_segments_a_photograph_of_odd_size(name: str) -> None:
    torch.manual_seed(0)
    method = build_method(
        tiny_run_config(method={"name": name, "cam": {"scales": [1.0, 0.5]}}), LabelSet("two", ("a", "b"))
    )
    image = np.random.default_rng(0).integers(0, 256, (33, 29, 3), dtype=np.uint8)
    inference = InferenceConfig(scales=(1.0, 0.75), crf=CRF)
    result = segment_image(method.eval(), image, inference=inference, device=CPU)
    assert result.labels.shape == result.uncertainty.shape == (33, 29)
    assert result.tag_probs.shape == (2,)
    np.testing.assert_allclose(result.probs.sum(axis=0), 1.0, atol=1e-5)
    tags = np.array([0, 1], dtype=np.float32)
    cams = image_cams(method, image, device=CPU, image_labels=tags)
    assert cams.shape == (2, 33, 29)
    assert not cams[0].any()
    assert set(np.unique(cam_labels(image, cams, background=0.5, crf=CrfConfig(), device=CPU))) <= {0, 2}
