"""A training step of UniA, and its views, beside passes of the bare encoder."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.timing import Ratio, Run, compared
from medwsss.config.loading import load_config, read_layer
from medwsss.config.schema import RunConfig
from medwsss.data.sample import Batch, photograph_key
from medwsss.labels import VOC_LABELS
from medwsss.methods import build_method
from medwsss.methods.unia import UniA

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """A method in training, with the batch it learns from."""

    method: UniA
    batch: Batch
    last_step: int
    """By then every loss has started."""
    title: str

    @classmethod
    def on_voc(cls, device: torch.device, **changes: object) -> "Case":
        """ViT-B/16 at a crop of 448 with random weights; four images on a GPU, two on a CPU."""
        size = 4 if device.type == "cuda" else 2
        layers = [{"encoder": {"pretrained": False}, "training": {"batch_size": size}}, changes]
        config = load_config([read_layer(ROOT / "configs" / "voc" / "unia.yaml"), *layers])
        torch.manual_seed(0)
        method = build_method(config, VOC_LABELS).to(device).train()
        assert isinstance(method, UniA)
        title = f"{config.encoder.name}, batch {size}, crop {config.data.crop}"
        return cls(method, random_batch(config).to(device), config.training.iterations - 1, title)

    def plain(self) -> None:
        """One forward and backward pass of the encoder."""
        self.method.zero_grad(set_to_none=True)
        self.method.encoder(self.batch.images).tokens.sum().backward()

    def step(self) -> None:
        """All losses and their gradients."""
        self.method.zero_grad(set_to_none=True)
        generator = torch.Generator().manual_seed(0)
        self.method.training_step(self.batch, step=self.last_step, generator=generator).total.backward()

    def labels(self) -> Tensor:
        """The pseudo-labels of the step."""
        with torch.no_grad():
            terms = self.method.training_step(
                self.batch, step=self.last_step, generator=torch.Generator().manual_seed(0)
            )
        assert terms.maps.pseudo_labels is not None
        return terms.maps.pseudo_labels

    @torch.no_grad()
    def forward(self) -> Tensor:
        """One forward pass of the encoder."""
        tokens: Tensor = self.method.encoder(self.batch.images).tokens
        return tokens

    def views(self) -> None:
        """The CAMs that a training step makes labels of."""
        self.method.cams(self.batch.images, self.batch.image_labels)


def bench_step(device: torch.device, repeats: int) -> list[Ratio]:
    """All losses on."""
    case = Case.on_voc(device)
    plain: tuple[str, Run] = ("one plain forward and backward of the encoder", case.plain)
    forward: tuple[str, Run] = ("one forward of the encoder without gradient", case.forward)
    rounded = Case.on_voc(device, method={"views": {"precision": "bfloat16"}})
    rounded.method.load_state_dict(case.method.state_dict())
    whole = Case.on_voc(device, encoder={"precision": "bfloat16"})
    whole.method.load_state_dict(case.method.state_dict())
    share = f"{100 * float((case.labels() == rounded.labels()).float().mean()):.2f} % of labels unchanged"
    few = max(1, repeats // 2)
    return [
        compared(
            "train_step_over_plain", f"UniA step, {case.title}",
            ours=case.step, yardstick=plain, repeats=few, device=device, memory=True,
        ),
        compared(
            "train_step_bfloat16_views_over_plain", f"the same, views in bfloat16, {share}",
            ours=rounded.step, yardstick=plain, repeats=few, device=device,
        ),
        compared(
            "train_step_bfloat16_over_plain", "the same, the whole encoder in bfloat16",
            ours=whole.step, yardstick=plain, repeats=few, device=device, memory=True,
        ),
        compared(
            "cams_over_forward", "CAMs of scales 1, 0.5, 0.75, 1.5 with flips",
            ours=case.views, yardstick=forward, repeats=few, device=device, memory=True,
        ),
    ]  # fmt: skip


def random_batch(config: RunConfig) -> Batch:
    """Smooth random images, every one with one or two classes."""
    generator = torch.Generator().manual_seed(0)
    size, side = config.training.batch_size, config.data.crop
    coarse = torch.rand(size, 3, side // 16, side // 16, generator=generator)
    images = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    drawn = torch.randint(0, VOC_LABELS.num_foreground, (size, 2), generator=generator)
    tags = torch.zeros(size, VOC_LABELS.num_foreground).scatter_(1, drawn, 1.0)
    boxes = torch.tensor([[0, side, 0, side]] * size)
    return Batch(images, tags, boxes, tuple(photograph_key(str(index)) for index in range(size)))
