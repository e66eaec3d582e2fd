"""What channels-last images give CNN encoders, and what ``torch.compile`` would give: ratios, as in bench.py.

python scripts/bench_layouts.py [--repeats 5]      # torch.compile needs a C++ compiler
"""

import argparse
import copy
from functools import partial

import timm
import torch
from bench import HEADER, line, machine
from benchmarks.step import Case
from benchmarks.timing import Ratio, compared
from monai.networks.nets import UNet
from torch import Tensor, nn

from medwsss.config.segmenters import UNetConfig
from medwsss.memory import keep_freed_memory

CPU = torch.device("cpu")


def both_ways(network: nn.Module, images: Tensor) -> None:
    network.zero_grad(set_to_none=True)
    network(images).sum().backward()


@torch.no_grad()
def forward(network: nn.Module, images: Tensor) -> None:
    network(images)


def of_layout(name: str, network: nn.Module, images: Tensor, repeats: int) -> list[Ratio]:
    """Images channels-last beside channels-first, in training and without gradient."""
    last = images.contiguous(memory_format=torch.channels_last)
    return [
        compared(
            f"{name}_channels_last_{run.__name__}", f"{name}, images channels-last, {words}",
            ours=partial(run, network, last), yardstick=("channels-first", partial(run, network, images)),
            repeats=repeats, device=CPU,
        )
        for run, words in ((both_ways, "forward and backward"), (forward, "forward"))
    ]  # fmt: skip


def compiled(name: str, network: nn.Module, images: Tensor, repeats: int) -> Ratio:
    """Forward and backward of the compiled network beside itself; compiling is the warm-up."""
    fast = copy.deepcopy(network)
    fast.compile()
    return compared(
        f"{name}_compiled", f"{name} compiled, forward and backward",
        ours=partial(both_ways, fast, images), yardstick=("as it is", partial(both_ways, network, images)),
        repeats=repeats, device=CPU,
    )  # fmt: skip


def compiled_step(repeats: int) -> list[Ratio]:
    """The encoder's pass and UniA's step with the blocks of ViT-B/16 compiled."""
    plain, fast = Case.on_voc(CPU), Case.on_voc(CPU)
    for block in fast.method.encoder.vit.blocks:
        block.compile()
    runs = {"encoder": (fast.plain, plain.plain), "step": (fast.step, plain.step)}
    return [
        compared(
            f"{what}_compiled", f"{what} of UniA, blocks compiled, {plain.title}",
            ours=ours, yardstick=("as it is", theirs), repeats=repeats, device=CPU,
        )
        for what, (ours, theirs) in runs.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    keep_freed_memory()
    torch.manual_seed(0)
    config = UNetConfig()
    strides = (2,) * (len(config.channels) - 1)
    unet = UNet(2, 3, 4, config.channels, strides, num_res_units=config.residual_units)
    resnet = timm.create_model("resnet50", num_classes=0, global_pool="")
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="")
    few, many = torch.rand(4, 3, 224, 224), torch.rand(8, 3, 224, 224)
    print(f"{machine(CPU)}; medians of {repeats} paired runs\n\n{HEADER}")
    for name, network, images in (("ResNet-50", resnet, few), ("UNet", unet, many)):
        for ratio in of_layout(name, network, images, repeats):
            print(line(ratio), flush=True)
    for name, network, images in (("ResNet-50", resnet, few), ("UNet", unet, many), ("ViT-tiny", vit, many)):
        print(line(compiled(name, network, images, repeats)), flush=True)
    for ratio in compiled_step(max(1, repeats // 2)):
        print(line(ratio), flush=True)


if __name__ == "__main__":
    main()
