"""The smallest encoder that is still the real one, and batches to feed it."""

from typing import Any

import torch
from torch import Tensor

from medwsss.config.encoder import EncoderConfig
from medwsss.config.loading import load_config
from medwsss.config.schema import RunConfig
from medwsss.data.sample import Batch, SliceKey
from medwsss.methods.method import Method, Prediction

TINY_ENCODER: dict[str, Any] = {
    "name": "vit_tiny_patch16_224",
    "pretrained": False,
    "arguments": {"patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2},
    "auxiliary_block": -2,
    "affinity_blocks": [-2, -1],
}
TINY_ENCODER_CONFIG = EncoderConfig.model_validate(TINY_ENCODER)


def tiny_run_config(**sections: Any) -> RunConfig:
    """A run that takes seconds: 32-pixel crops of 8-pixel tokens, a few iterations."""
    tree: dict[str, Any] = {
        "encoder": TINY_ENCODER,
        "data": {"grid": {"crop": 32}},
        "method": {"name": "unia", "cam": {"scales": [1.0, 0.5]}, "decoder": {"channels": 8, "dilation": 1}},
        "training": {"iterations": 4, "batch_size": 2, "warmup_steps": 0, "learning_rate": 1e-3},
    }
    return load_config([tree, sections])


def random_batch(*, size: int = 2, classes: int = 2, side: int = 32, seed: int = 0) -> Batch:
    """Random images; the first class is tagged on all of them, the second on none but the first image."""
    generator = torch.Generator().manual_seed(seed)
    tags = torch.zeros(size, classes)
    tags[:, 0] = 1
    tags[0, 1:] = 1
    return Batch(
        torch.rand(size, 3, side, side, generator=generator),
        tags,
        torch.tensor([[0, side, 0, side]] * size),
        tuple(SliceKey(f"patient{index:03d}", "ED", index) for index in range(size)),
    )


class Threshold(Method):
    """Bright pixels are class 1; it has nothing to train or explain."""

    training_step = explain = None  # type: ignore[assignment]

    def predict(self, images: Tensor, image_labels: Tensor | None = None) -> Prediction:
        bright = images[:, :1]
        present = 1.0 if image_labels is None else image_labels[:, :, None, None]
        foreground = bright * present
        return Prediction(torch.cat([1 - foreground, foreground], dim=1), bright[:, 0], bright.amax(dim=(2, 3)))

    def cams(self, images: Tensor, image_labels: Tensor | None = None) -> Tensor:
        return self.predict(images, image_labels).probs[:, 1:]
