import numpy as np
import pytest
from fakes.beating_heart import LV, MYO, RV, Scene, beating_heart, dice

from medwsss.config.cine import CineConfig
from medwsss.priors.cardiac.labels import HeartSeeds, edge_confidence, heart_seeds

ED, ES = beating_heart("ED"), beating_heart("ES")
RIGHT = (0.0, -1.0)


def seeds(ed: Scene = ED, es: Scene = ES, *, spacing_mm: float = 1.5, right: tuple[float, float] = RIGHT) -> HeartSeeds:
    return heart_seeds(ed.image, es.image, spacing_mm=spacing_mm, right=right, config=CineConfig())


@pytest.fixture(scope="module")
def found() -> HeartSeeds:
    return seeds()


def test_a_drawn_heart_is_found_in_both_phases_without_a_mask(found: HeartSeeds) -> None:
    for labels, scene in ((found.diastole, ED), (found.systole, ES)):
        scores = {code: dice(labels, scene.codes, code) for code in (RV, MYO, LV)}
        assert min(scores.values()) > 0.8, scores


def test_the_axis_is_the_centre_of_the_cavity_and_not_the_still_bright_disc(found: HeartSeeds) -> None:
    centre_px = np.array([90.0, 100.0]) / 1.5 - 0.5
    assert np.hypot(*(found.axis.centres - centre_px).T).max() < 2.0
    assert (np.abs(found.axis.radii_mm - np.array([[24.0], [16.0]])) <= 3.0).all()  # radii are tried every 3 mm


def test_a_mirrored_study_gives_mirrored_labels(found: HeartSeeds) -> None:
    mirrored = [Scene(scene.image[:, :, ::-1].copy(), scene.codes[:, :, ::-1]) for scene in (ED, ES)]
    again = seeds(*mirrored, right=(0.0, 1.0))
    for labels, others in ((found.diastole, again.diastole), (found.systole, again.systole)):
        assert (labels != others[:, :, ::-1]).mean() < 0.005  # rays and peaks do not lie quite symmetrically


def test_another_spacing_gives_the_same_heart() -> None:
    fine = [beating_heart(phase, spacing_mm=1.0, slices=2) for phase in ("ED", "ES")]
    labels = seeds(*fine, spacing_mm=1.0)
    assert min(dice(labels.diastole, fine[0].codes, code) for code in (RV, MYO, LV)) > 0.8


def test_blood_on_the_wrong_side_is_no_right_ventricle() -> None:
    labels = seeds(right=(0.0, 1.0)).diastole
    assert ((labels == RV) & (ED.codes == RV)).sum() < 0.1 * (ED.codes == RV).sum()


def test_the_change_between_the_phases_is_kept_and_0_for_one_frame_twice(found: HeartSeeds) -> None:
    assert 0.03 < found.largest_change <= 1.0
    assert seeds(ED, ED).largest_change == 0.0


def test_confidence_grows_with_the_distance_from_the_nearest_contour() -> None:
    labels = np.zeros((1, 1, 4), np.uint8)
    labels[0, 0, 0] = 1
    expected = 1 - np.exp(-np.array([1, 1, 2, 3]) * 1.5 / 3.0)
    np.testing.assert_allclose(edge_confidence(labels, spacing_mm=1.5, edge_mm=3.0)[0, 0], expected, rtol=1e-6)
    assert (edge_confidence(np.zeros((1, 2, 2), np.uint8), spacing_mm=1.5, edge_mm=3.0) == 1).all()
