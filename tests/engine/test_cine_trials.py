import numpy as np
import pytest
from fakes.beating_heart import LV, MYO, RV, beating_heart

from medwsss.config.cine import CineConfig, RightVentricleConfig, WallConfig
from medwsss.engine.cine_trials import Reference, StudyTrials, dice_of_seeds
from medwsss.priors.cardiac.axis import VentricleAxis
from medwsss.priors.cardiac.criteria import CRITERIA
from medwsss.priors.cardiac.labels import HeartSeeds, heart_seeds

ED, ES = (beating_heart(phase, slices=2) for phase in ("ED", "ES"))
RIGHT = (0.0, -1.0)


@pytest.fixture(scope="module")
def trials() -> StudyTrials:
    return StudyTrials((ED.image, ES.image), spacing_mm=1.5, right=RIGHT)


def test_stages_computed_once_for_several_settings_give_what_each_gives_alone(trials: StudyTrials) -> None:
    configs = [
        CineConfig(),
        CineConfig(wall=WallConfig(shrink_mm=0.0)),
        CineConfig(right_ventricle=RightVentricleConfig(reach_mm=20.0)),
    ]
    for config, found in zip(configs, trials.seeds(configs), strict=True):
        alone = heart_seeds(ED.image, ES.image, spacing_mm=1.5, right=RIGHT, config=config)
        np.testing.assert_array_equal(found.diastole, alone.diastole)
        np.testing.assert_array_equal(found.systole, alone.systole)
        np.testing.assert_array_equal(found.axis.centres, alone.axis.centres)


def test_a_drawn_heart_meets_every_criterion(trials: StudyTrials) -> None:
    seeds = trials.seeds([CineConfig()])[0]
    found = trials.criteria((seeds.diastole, seeds.systole))
    assert set(found) == set(CRITERIA)
    assert found["implausible_ejection"] == 0
    assert found["muscle_disagreement"] < 0.2
    assert found["slice_continuity"] > 0.9


def test_dice_of_seeds_is_told_with_and_without_tags_and_by_phase() -> None:
    seeds, masks = np.array([[[RV, MYO, LV, LV]]], np.uint8), np.array([[[0, MYO, MYO, LV]]], np.uint8)
    axis = VentricleAxis(np.zeros((1, 2), int), np.ones((2, 1)), np.ones(1))
    present = np.array([[False, True, True]])
    found = dice_of_seeds(HeartSeeds(seeds, masks, axis, 0.1), Reference((masks, masks), (present, present)))
    assert found["no_tags_dice_RV_ED"] == 0
    assert np.isnan(found["dice_RV_ED"])  # the tag clears it, and there is none
    assert found["dice_MYO_ED"] == found["no_tags_dice_MYO_ED"] == pytest.approx(2 * 1 / (1 + 2))
    assert found["dice_LV_ED"] == pytest.approx(2 * 1 / (2 + 1))
    assert found["dice_heart_ED"] == 1
    assert found["no_tags_dice_heart_ED"] == pytest.approx(2 * 3 / (4 + 3))
    assert found["dice_heart_ES"] == 1
