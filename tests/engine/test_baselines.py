from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.acdc import fake_patients, write_acdc

from medwsss.engine.baselines import Target, _leave_one_out
from medwsss.engine.cases import Case, pair_cases
from medwsss.engine.evaluate import evaluate_cases
from medwsss.metrics.results import BaselineResult, Evaluation
from medwsss.priors.training_free import mean_shape
from medwsss.volumes.volume import Volume

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, ...]:
    """References as their own predictions."""
    root = write_acdc(tmp_path_factory.mktemp("acdc"), fake_patients(3))
    return pair_cases(root, root, task="multi").cases


@pytest.fixture(scope="module")
def perfect(cases: tuple[Case, ...]) -> Evaluation:
    return evaluated(cases)


def evaluated(cases: tuple[Case, ...]) -> Evaluation:
    return evaluate_cases(cases, "multi", device=CPU, resamples=50)


def found(evaluation: Evaluation, name: str, target: str, *, tags: bool) -> BaselineResult:
    return next(b for b in evaluation.baselines if (b.name, b.target, b.tags) == (name, target, tags))


def test_every_mask_stands_beside_every_structure_with_and_without_tags(perfect: Evaluation) -> None:
    names = {"disc 30 mm", "disc 38 mm", "motion", "mean shape"}
    assert {(b.name, b.target, b.tags) for b in perfect.baselines} == {
        (name, target, tags) for name in names for target in ("heart", "RV", "MYO", "LV") for tags in (True, False)
    }
    assert {b.name for b in perfect.baselines if b.uses_masks} == {"mean shape"}
    assert perfect.remarks == ()


def test_the_heart_is_the_union_of_the_classes(perfect: Evaluation) -> None:
    assert perfect.targets["heart"]["dice"].estimate == 1.0


def test_tags_clear_slices_without_the_structure_and_so_raise_dice(perfect: Evaluation) -> None:
    """Slices 0 and 1 of 4 show no LV."""
    with_tags, without = (found(perfect, "disc 30 mm", "LV", tags=tags) for tags in (True, False))
    # the disc covers the LV: with d voxels of disc and 16 of LV a slice, Dice is 2*32 / (2d + 32) or 2*32 / (4d + 32)
    d = 2 * 32 / with_tags.dice.estimate / 2 - 16
    assert without.dice.estimate == pytest.approx(2 * 32 / (4 * d + 32))


def test_perfect_predictions_beat_every_mask_by_what_it_lacks(perfect: Evaluation) -> None:
    for baseline in perfect.baselines:
        assert baseline.beaten == (baseline.dice.estimate < 1.0)  # a tie beats nothing
        assert baseline.difference.estimate == pytest.approx(1.0 - baseline.dice.estimate)


def test_without_images_motion_is_missing_and_a_remark_says_so(cases: tuple[Case, ...]) -> None:
    evaluation = evaluated(tuple(replace(case, image=None, study=None) for case in cases))
    assert "motion" not in {baseline.name for baseline in evaluation.baselines}
    assert any("motion" in remark and "0 of 6" in remark for remark in evaluation.remarks)


def test_one_patient_alone_has_no_mean_shape_of_others(cases: tuple[Case, ...]) -> None:
    evaluation = evaluated(cases[:2])
    assert "mean shape" not in {baseline.name for baseline in evaluation.baselines}
    assert any("other patients" in remark for remark in evaluation.remarks)


def test_the_prior_of_a_patient_is_the_mean_shape_of_all_others() -> None:
    rng = np.random.default_rng(0)
    like = Volume(np.zeros((20, 20, 3), np.uint8), (8.0, 8.0, 10.0), np.diag([8.0, 8.0, 10.0, 1.0]))
    by_patient = {}
    for patient in "abc":
        mask = rng.random((20, 20, 3)) > 0.8
        mask[..., rng.integers(3)] = False
        by_patient[patient] = [Target(patient, patient, mask, mask, like, None)]
    left_out = _leave_one_out(by_patient)
    direct = mean_shape([(by_patient[patient][0].reference, like) for patient in "bc"])
    np.testing.assert_allclose(left_out["a"].probability, direct.probability, atol=1e-6)
