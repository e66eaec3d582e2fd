from collections.abc import Callable

import numpy as np
import pytest
import torch
from fakes.networks import tiny_run_config

from medwsss.engine.optim import build_optimiser, poly_warmup, set_learning_rate
from medwsss.labels import LabelSet
from medwsss.methods import build_method


def rate(step: int) -> float:
    return poly_warmup(step, base_lr=1.0, warmup_steps=10, total_steps=100, warmup_ratio=0.5, power=2.0)


def test_warm_up_is_linear_from_its_ratio() -> None:
    assert [rate(0), rate(5)] == [0.5, 0.75]


def test_decay_counts_from_step_0_and_ends_at_0() -> None:
    assert rate(10) == pytest.approx(0.9**2)
    assert rate(50) == pytest.approx(0.5**2)
    assert rate(100) == 0.0


def test_without_warm_up_the_first_rate_is_the_base_rate() -> None:
    assert poly_warmup(0, base_lr=0.1, warmup_steps=0, total_steps=5) == 0.1


def test_a_negative_step_is_refused() -> None:
    with pytest.raises(ValueError, match="step"):
        poly_warmup(-1, base_lr=1.0, warmup_steps=0, total_steps=10)


def test_a_negative_base_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="base_lr"):
        poly_warmup(1, base_lr=-1.0, warmup_steps=0, total_steps=10)


@pytest.mark.data
def test_recorded_rates_match(golden: Callable[[str], dict[str, np.ndarray]]) -> None:
    case = golden("toco_PolyWarmupAdamW_lr")
    rates = [
        poly_warmup(
            int(step),
            base_lr=float(case["c0_p_base_lr"]),
            warmup_steps=int(case["c0_p_warmup_iter"]),
            total_steps=int(case["c0_p_max_iter"]),
            warmup_ratio=float(case["c0_p_warmup_ratio"]),
            power=float(case["c0_p_power"]),
        )
        for step in case["c0_in_step"]
    ]
    np.testing.assert_allclose(rates, case["c0_out_lr"], rtol=1e-6)


def test_heads_learn_ten_times_as_fast_and_every_parameter_is_in_one_group() -> None:
    config = tiny_run_config(training={"iterations": 100, "warmup_steps": 0, "learning_rate": 1e-3})
    method = build_method(config, LabelSet("one", ("heart",)))
    optimiser = build_optimiser(method, config.training)
    assert set_learning_rate(optimiser, config.training, 0) == 1e-3
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([1e-3, 1e-2])
    grouped = [id(p) for group in optimiser.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters())
    assert isinstance(optimiser, torch.optim.AdamW)
