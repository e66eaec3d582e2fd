"""What the add-ons cost: the feature similarity loss, response scaling, and training steps of UniA with and without.

python scripts/bench_addons.py [loss] [scaling] [step] [vit]
"""

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from medwsss.config.addons import AddOnsConfig, ResponseScalingConfig
from medwsss.config.loading import load_config, read_layer
from medwsss.config.schema import RunConfig
from medwsss.data.sample import Batch, photograph_key
from medwsss.labels import VOC_LABELS, LabelSet
from medwsss.losses.feature_similarity import feature_similarity_loss
from medwsss.methods import build_method
from medwsss.methods.addons import with_add_ons
from medwsss.methods.method import Method
from medwsss.refinement.response_scaling import response_scaling_weights

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[[], object]
Loss = Callable[[Tensor, Tensor], Tensor]


def pairwise_similarity(images: Tensor, maps: Tensor, *, mu: float = 2.5, sigma: float = 5.0) -> Tensor:
    """HFPL, Eq. 9-13, for all pairs of pixels of the batch at once, in tensors of B×N×N; autograd does the rest."""
    height, width = maps.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([rows.flatten(), columns.flatten()]).float()
    apart = (place[:, :, None] - place[:, None]).square().sum(dim=0)
    spatial = torch.exp(-apart / (2 * sigma**2)) / (2 * math.pi * sigma**2)
    colours, flat = images.flatten(2), maps.flatten(2)
    delta = sum((channel[:, :, None] - channel[:, None]).abs() for channel in colours.unbind(1)) / colours.shape[1]
    edge = torch.tanh(mu + torch.log((delta + 1e-5) / (1 - delta + 1e-5)))
    norms = 0.5 * flat.square().sum(dim=1)
    gate = norms[:, :, None] + norms[:, None] - flat.mT @ flat
    return -(spatial * gate * edge).sum() / (len(maps) * height * width)


LOSSES: Mapping[str, Loss] = {"pairwise form": pairwise_similarity, "ours": feature_similarity_loss}


def similarity_case(batch: int, classes: int, side: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, side, side, generator=generator)
    return images, torch.rand(batch, classes, side, side, generator=generator)


def forward_and_backward(loss: Loss, images: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    maps = maps.detach().requires_grad_()
    value = loss(images, maps)
    (gradient,) = torch.autograd.grad(value, maps)
    return value.detach(), gradient


def one_power_and_arg_max_per_map(probs: Tensor, scales: tuple[float, ...]) -> None:
    for channel in torch.unique(probs.max(dim=0).indices):
        for scale in scales:
            scaled = probs.clone()
            scaled[channel] **= scale
            scaled.max(dim=0)


def training_step(method: Method, batch: Batch, step: int) -> None:
    method.zero_grad()
    method.training_step(batch, step=step, generator=torch.Generator().manual_seed(step)).total.backward()


def paired_medians(runs: Mapping[str, Run], repeats: int) -> dict[str, float]:
    """Median seconds of each, run in turn after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_ratio(title: str, medians: Mapping[str, float]) -> None:
    (first, base), (second, other) = medians.items()
    print(f"{title}: {first} {base:.3f} s, {second} {other:.3f} s, ratio {other / base:.2f}")


def bench_loss() -> None:
    images, maps = similarity_case(8, 21, 56)
    runs = {name: partial(forward_and_backward, loss, images, maps) for name, loss in LOSSES.items()}
    (value, gradient), (our_value, our_gradient) = (run() for run in runs.values())
    print(
        f"similarity loss, 8×21×56×56: relative difference {float((our_value / value - 1).abs()):.1e},"
        f" of the gradient {float((our_gradient - gradient).norm() / gradient.norm()):.1e}"
    )
    print_ratio("similarity loss, forward and backward", paired_medians(runs, 3))
    peaks = ", ".join(f"{name} {peak_mib(name):.0f} MiB" for name in LOSSES)
    print(f"similarity loss, memory above the inputs: {peaks}")


def peak_mib(name: str) -> float:
    """What one forward and backward pass adds at most to the resident memory of a fresh process, in MiB (Linux)."""
    return float(subprocess.check_output([sys.executable, __file__, "--peak", name], text=True))


def print_peak(loss: Loss) -> None:
    forward_and_backward(loss, *similarity_case(1, 2, 8))  # libraries load, threads start
    case = similarity_case(8, 21, 56)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of loading is not that of the loss
    before = resident_kib("VmRSS")
    forward_and_backward(loss, *case)
    print((resident_kib("VmHWM") - before) / 1024)


def resident_kib(key: str) -> int:
    """VmRSS, now, or VmHWM, the largest of this process image; ru_maxrss would start at that of the parent."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def bench_scaling() -> None:
    scales = ResponseScalingConfig().scales
    probs = (3 * torch.randn(21, 375, 500, generator=torch.Generator().manual_seed(0))).softmax(dim=0)
    runs = {
        "power and arg-max of every map": lambda: one_power_and_arg_max_per_map(probs, scales),
        "ours": lambda: response_scaling_weights(probs, scales=scales),
    }
    print_ratio("response scaling, 21×375×500", paired_medians(runs, 3))


def bench_step(title: str, config: RunConfig, labels: LabelSet, *, step: int, repeats: int, grey: bool) -> None:
    torch.manual_seed(0)
    method = build_method(config, labels).train()
    batch = random_batch(config, labels, grey=grey)
    both = AddOnsConfig.model_validate(
        {"isl": {"enabled": True}, "fsl": {**config.addons.fsl.model_dump(), "enabled": True}}
    )
    extended = with_add_ons(method, both, name=config.method.name)
    runs = {
        "without": lambda: training_step(method, batch, step),
        "with isl and fsl": lambda: training_step(extended, batch, step),
    }
    print_ratio(f"{title}, step {step} of {config.training.iterations}", paired_medians(runs, repeats))


def random_batch(config: RunConfig, labels: LabelSet, *, grey: bool) -> Batch:
    """Random images, every one with one or two classes."""
    generator = torch.Generator().manual_seed(0)
    size, side = config.training.batch_size, config.data.crop
    images = torch.rand(size, 1 if grey else 3, side, side, generator=generator).expand(size, 3, side, side)
    drawn = torch.randint(0, labels.num_foreground, (size, 2), generator=generator)
    tags = torch.zeros(size, labels.num_foreground).scatter_(1, drawn, 1.0)
    boxes = torch.tensor([[0, side, 0, side]] * size)
    return Batch(images.contiguous(), tags, boxes, tuple(photograph_key(str(index)) for index in range(size)))


def bench_cpu_preset() -> None:
    config = load_config([read_layer(ROOT / "configs" / "acdc" / "unia-cpu.yaml")])
    iterations = config.training.iterations
    for step in (0, iterations - 1):
        bench_step("UniA on ACDC, CPU preset", config, LabelSet("heart", ("heart",)), step=step, repeats=9, grey=True)


def bench_vit() -> None:
    changed = {"encoder": {"pretrained": False}, "training": {"batch_size": 2}}
    config = load_config([read_layer(ROOT / "configs" / "voc" / "unia.yaml"), changed])
    for step in (0, config.training.iterations - 1):
        bench_step("UniA on VOC, ViT-B, batch 2", config, VOC_LABELS, step=step, repeats=2, grey=False)


PARTS: Mapping[str, Callable[[], None]] = {
    "loss": bench_loss,
    "scaling": bench_scaling,
    "step": bench_cpu_preset,
    "vit": bench_vit,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all by default")
    parser.add_argument("--peak", choices=LOSSES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print_peak(LOSSES[arguments.peak])
        return
    for part in arguments.parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
