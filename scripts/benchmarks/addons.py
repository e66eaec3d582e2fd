"""What the add-ons cost: response scaling, and training steps of UniA with HFPL's two losses."""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.step import Case
from benchmarks.timing import Ratio, compared
from medwsss.config.addons import AddOnsConfig, ResponseScalingConfig
from medwsss.methods.addons import with_add_ons
from medwsss.refinement.response_scaling import response_scaling_weights


def bench_addons(device: torch.device, repeats: int) -> list[Ratio]:
    """At the end of a run, when every loss has started."""
    return [_scaling(device, repeats), _with_hfpl(device, repeats)]


def _scaling(device: torch.device, repeats: int) -> Ratio:
    scales = ResponseScalingConfig().scales
    probs = (3 * torch.randn(21, 375, 500, generator=torch.Generator().manual_seed(0))).softmax(dim=0).to(device)
    return compared(
        "scaling_speedup",
        f"response scaling of a photograph, 21×375×500, {len(scales)} scales",
        ours=lambda: response_scaling_weights(probs, scales=scales),
        yardstick=("a power and an arg-max for every map and scale", lambda: _one_by_one(probs, scales)),
        repeats=repeats,
        device=device,
    )


def _one_by_one(probs: Tensor, scales: Sequence[float]) -> None:
    for channel in torch.unique(probs.max(dim=0).indices):
        for scale in scales:
            scaled = probs.clone()
            scaled[channel] **= scale
            scaled.max(dim=0)


def _with_hfpl(device: torch.device, repeats: int) -> Ratio:
    case = Case.on_voc(device)
    both = AddOnsConfig.model_validate({"isl": {"enabled": True}, "fsl": {"enabled": True}})
    extended = with_add_ons(case.method, both, name="unia")

    def step() -> None:
        extended.zero_grad(set_to_none=True)
        terms = extended.training_step(case.batch, step=case.last_step, generator=torch.Generator().manual_seed(0))
        terms.total.backward()  # type: ignore[no-untyped-call]

    return compared(
        "hfpl_over_step",
        f"UniA step with ISL and FSL, {case.title}",
        ours=step,
        yardstick=("the step without", case.step),
        repeats=max(1, repeats // 3),
        device=device,
    )
