import numpy as np
import pytest
import torch
from fakes.acdc import FakePatient, image, volume
from fakes.networks import Threshold, tiny_run_config
from torch import Tensor

from medwsss.config.addons import ResponseScalingConfig
from medwsss.config.data import GridConfig
from medwsss.config.maps import PixelAdaptiveConfig
from medwsss.config.training import CrfConfig, InferenceConfig
from medwsss.data.photograph_transforms import as_network_input
from medwsss.data.sample import Batch
from medwsss.data.transforms import working_slices
from medwsss.engine.infer import segment_volume
from medwsss.engine.infer_images import segment_image
from medwsss.engine.pseudo_labels import Recipe, image_pseudo_labels, volume_pseudo_labels
from medwsss.labels import IGNORE, LabelSet
from medwsss.methods import build_method
from medwsss.methods.method import Explanation
from medwsss.refinement.crf import dense_crf
from medwsss.refinement.pixel_adaptive import pixel_adaptive_refinement
from medwsss.refinement.response_scaling import response_scaling_weights
from medwsss.volumes.slicing import slices_of

CPU = torch.device("cpu")
SHOWN, ABSENT = np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.float32)
SCALES = (0.25, 0.5, 2.0, 4.0)


class Explaining(Threshold):
    """Learns from bright pixels as class 1 and from dark ones as background; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Batch, int]] = []

    def explain(self, batch: Batch, *, step: int) -> Explanation:
        self.asked.append((batch, step))
        bright, tagged = batch.images[:, 0], batch.image_labels[:, 0, None, None]
        labels = torch.where(bright > 0.7, 1.0, torch.where(bright < 0.3, 0.0, IGNORE)).where(tagged > 0, 0.0).long()
        return Explanation(batch.images[:, :1], bright, labels, labels)


def recipe(source: str = "pseudo", **changed: object) -> Recipe:
    scaling = ResponseScalingConfig(scales=SCALES, refine=changed.pop("refine", "none"))
    settings = {"step": 7, "inference": InferenceConfig(), "scaling": scaling, **changed}
    return Recipe(source=source, **settings)  # type: ignore[arg-type]


def photograph(height: int = 21, width: int = 34) -> np.ndarray:
    """A red patch, a dimmer one that nothing decides about, and noise on a dark ground."""
    pixels = np.random.default_rng(0).integers(10, 60, (height, width, 3))
    pixels[5:15, 3:17, 0] = 230
    pixels[5:15, 20:30, 0] = 120
    return pixels.astype(np.uint8)


def direct(shown: np.ndarray, **refine: object) -> np.ndarray:
    return response_scaling_weights(torch.from_numpy(shown), scales=SCALES, **refine).numpy()  # type: ignore[arg-type]


def test_labels_are_those_of_a_training_step_on_the_whole_photograph() -> None:
    method, pixels = Explaining(), photograph()
    made = image_pseudo_labels(method, pixels, SHOWN, recipe(), device=CPU)
    red = pixels[..., 0] / 255
    np.testing.assert_array_equal(made.labels, np.where(red > 0.7, 1, np.where(red < 0.3, 0, 255)))
    ((batch, step),) = method.asked
    assert step == 7
    np.testing.assert_array_equal(batch.images[0], as_network_input(pixels))
    assert (batch.boxes.tolist(), batch.image_labels.tolist()) == ([[0, 21, 0, 34]], [[1.0]])


def test_labels_may_be_the_prediction_for_the_known_tags_which_is_never_undecided() -> None:
    method, pixels = Explaining(), photograph()
    made = image_pseudo_labels(method, pixels, SHOWN, recipe("decoder"), device=CPU)
    np.testing.assert_array_equal(made.labels, pixels[..., 0] > 127)
    assert not method.asked
    assert not image_pseudo_labels(method, pixels, ABSENT, recipe("decoder"), device=CPU).labels.any()


@pytest.mark.parametrize("refine", ["none", "par", "crf"])
def test_weights_of_a_photograph_are_response_scaling_of_its_prediction(refine: str) -> None:
    pixels, crf = photograph(), CrfConfig(iterations=2, bilateral_xy=30.0)
    colour = PixelAdaptiveConfig(dilations=(1, 2), iterations=3)
    settings = recipe(refine=refine, inference=InferenceConfig(crf=crf), pixel_adaptive=colour)
    made = image_pseudo_labels(Explaining(), pixels, SHOWN, settings, device=CPU)

    def by_colour(probs: Tensor) -> Tensor:
        network_input = as_network_input(pixels)[None]
        return pixel_adaptive_refinement(network_input, probs[None], dilations=(1, 2), iterations=3)[0]

    def by_crf(probs: Tensor) -> Tensor:
        return dense_crf(pixels, probs, iterations=2, bilateral_xy=30)

    probs = segment_image(Explaining(), pixels, inference=InferenceConfig(), device=CPU, image_labels=SHOWN).probs
    expected = direct(probs, refine={"none": None, "par": by_colour, "crf": by_crf}[refine])
    np.testing.assert_array_equal(made.weights, expected)
    assert 0 <= made.weights.min() < made.weights.max() <= 1


def test_what_scaling_changes_is_trusted_less() -> None:
    weights = image_pseudo_labels(Explaining(), photograph(), SHOWN, recipe(), device=CPU).weights
    # Scaled by 0.25 to 4, the responses of the red patch (0.90 against 0.10) and of the ground (at most 0.23 against
    # 0.77) keep their order; those of the dim patch (0.47 against 0.53) change it at two scales of four.
    expected = np.ones((21, 34))
    expected[5:15, 20:30] = 0
    np.testing.assert_allclose(weights, expected, atol=1e-4)


def test_a_crf_after_prediction_refines_labels_and_leaves_the_weights() -> None:
    crf = InferenceConfig(crf=CrfConfig(enabled=True))
    pixels = photograph()
    refined = image_pseudo_labels(Explaining(), pixels, SHOWN, recipe("decoder", inference=crf), device=CPU)
    plain = image_pseudo_labels(Explaining(), pixels, SHOWN, recipe("decoder"), device=CPU)
    expected = segment_image(Explaining(), pixels, inference=crf, device=CPU, image_labels=SHOWN).labels
    np.testing.assert_array_equal(refined.labels, expected)
    np.testing.assert_array_equal(refined.weights, plain.weights)


@pytest.mark.parametrize("source", ["pseudo", "decoder"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 3)])
def test_a_thin_photograph_has_labels_and_weights_of_its_size(source: str, shape: tuple[int, int]) -> None:
    method = build_method(tiny_run_config(), LabelSet("one", ("a",))).eval()
    pixels = np.full((*shape, 3), 130, dtype=np.uint8)
    made = image_pseudo_labels(method, pixels, SHOWN, recipe(source, step=3), device=CPU)
    assert made.labels.shape == made.weights.shape == shape
    assert set(np.unique(made.labels)) <= {0, 1, 255}


def tags(*rows: int) -> np.ndarray:
    return np.array(rows, dtype=np.float32)[:, None]


def test_labels_of_a_volume_lie_on_its_own_grid_whatever_its_axes() -> None:
    grid, method = GridConfig(spacing_mm=1.5), Explaining()
    patient = FakePatient(affine=((0, 1.5, 0, 0), (-1.5, 0, 0, 0), (0, 0, 10, 0), (0, 0, 0, 1)))
    case = volume(patient, image(patient, 1))
    settings = recipe(inference=InferenceConfig(batch_size=3))
    made = volume_pseudo_labels(method, case, tags(0, 1, 1, 1), settings, grid=grid, device=CPU)
    bright = working_slices(case, grid)  # at native spacing nothing is resampled
    expected = np.where(bright > 0.7, 1, np.where(bright < 0.3, 0, 255))
    expected[0] = 0
    np.testing.assert_array_equal(slices_of(made.labels).array, expected)
    np.testing.assert_array_equal(made.labels.affine, case.affine)
    assert (made.labels.array.dtype, made.weights.array.dtype) == (np.uint8, np.float32)
    assert made.labels.grid == made.weights.grid == case.grid
    assert [len(batch.images) for batch, _ in method.asked] == [3, 1]
    assert {step for _, step in method.asked} == {7}


def test_resampling_invents_no_label_between_two() -> None:
    patient = FakePatient(spacing_mm=(0.9, 1.1, 8.0))
    case = volume(patient, image(patient, 1))
    made = volume_pseudo_labels(Explaining(), case, tags(1, 1, 1, 1), recipe(), grid=GridConfig(), device=CPU)
    assert made.labels.grid == case.grid
    assert set(np.unique(made.labels.array)) == {0, 1, 255}


@pytest.mark.parametrize("refine", ["none", "par"])
def test_weights_of_a_volume_are_response_scaling_slice_by_slice(refine: str) -> None:
    patient, grid = FakePatient(spacing_mm=(1.2, 1.2, 8.0)), GridConfig()
    case = volume(patient, image(patient, 1))
    settings = recipe("decoder", refine=refine)
    rows = tags(0, 1, 1, 1)
    made = volume_pseudo_labels(Explaining(), case, rows, settings, grid=grid, device=CPU)
    found = segment_volume(Explaining(), case, grid=grid, inference=InferenceConfig(), device=CPU, image_labels=rows)
    np.testing.assert_array_equal(made.labels.array, found.labels.array)
    stack = slices_of(case).array
    low, high = np.percentile(stack, grid.percentiles)
    for index, weights in enumerate(slices_of(made.weights).array):
        probs = np.stack([slices_of(found.probs.frame(channel)).array[index] for channel in range(2)])
        grey = torch.from_numpy(((stack[index] - low) / (high - low)).clip(0, 1).astype(np.float32))[None, None]

        def by_grey_level(probs: Tensor, grey: Tensor = grey) -> Tensor:
            return pixel_adaptive_refinement(grey, probs[None])[0]

        np.testing.assert_allclose(weights, direct(probs, refine=by_grey_level if refine == "par" else None), atol=1e-6)
    np.testing.assert_array_equal(slices_of(made.weights).array[0], 1)  # nothing to doubt without a class


def test_a_constant_volume_has_labels_and_full_weights() -> None:
    case = volume(FakePatient(), np.full((12, 10, 3), 7, dtype=np.int16))
    settings = recipe(refine="par")
    with pytest.warns(match="constant"):
        made = volume_pseudo_labels(Explaining(), case, tags(1, 1, 1), settings, grid=GridConfig(), device=CPU)
    assert not made.labels.array.any()
    assert (made.weights.array == 1).all()


def test_a_crf_has_no_colours_to_work_with_in_a_volume() -> None:
    case = volume(FakePatient(), image(FakePatient(), 1))
    with pytest.raises(ValueError, match="colours"):
        volume_pseudo_labels(Explaining(), case, tags(1, 1, 1, 1), recipe(refine="crf"), grid=GridConfig(), device=CPU)
