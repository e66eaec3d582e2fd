"""The only door to timm: a vision transformer that gives tokens, auxiliary tokens and, on request, its attention."""

import hashlib
import math
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch
import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import HybridEmbed
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from timm.models.vision_transformer_hybrid import ConvStem
from torch import Tensor, nn

from medwsss.config.schema import EncoderConfig
from medwsss.errors import ConfigError, WeightsError


@dataclass(frozen=True)
class Features:
    """Tokens on their grid, class token removed."""

    tokens: Float[Tensor, "b dim h w"]
    """After the last block and the final norm: Z of the paper."""
    auxiliary: Float[Tensor, "b dim h w"]
    """After the auxiliary block, or before the first one."""


class Encoder(nn.Module):
    """A timm vision transformer on images in [0, 1] of any size.

    Images whose sides are not multiples of the patch are resized to the nearest multiple, so that the token grid
    always covers the image exactly.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: EncoderConfig, *, image_size: int) -> None:
        super().__init__()
        self.vit = _create(config, image_size)
        depth = len(self.vit.blocks)
        self.auxiliary_block = None if config.auxiliary_block == "stem" else _block_index(config.auxiliary_block, depth)
        self.affinity_blocks = tuple(_block_index(index, depth) for index in config.affinity_blocks)
        self.dim: int = self.vit.embed_dim
        self.patch_size = int(self.vit.feature_info[0]["reduction"])
        if image_size < self.patch_size:
            raise ConfigError(
                f"the crop of {image_size} pixels is less than one patch of {self.patch_size} pixels:"
                " raise data.grid.crop, or data.crop of photographs"
            )
        self.precision = config.precision
        self.weights_note = "weights: random initialisation"
        if config.weights is not None:
            self.weights_note = load_weights(self.vit, config.weights)
        elif config.pretrained:
            self.weights_note = f"weights: {config.name} from the timm hub"
        self.register_buffer("mean", _channel_statistic(self.vit, config, "mean"), persistent=False)
        self.register_buffer("std", _channel_statistic(self.vit, config, "std"), persistent=False)

    def grid(self, images: Float[Tensor, "b 3 h w"]) -> tuple[int, int]:
        """Rows and columns of the token grid: the nearest whole number of patches, at least one."""
        height, width = (max(1, round(side / self.patch_size)) for side in images.shape[-2:])
        return height, width

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        """Tokens and auxiliary tokens with fused attention throughout."""
        grid = self.grid(images)
        images = (resized(images, grid, self.patch_size) - self.mean) / self.std
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            tokens = self.vit.norm_pre(self.vit._pos_embed(self.vit.patch_embed(images)))
            auxiliary = tokens
            for index, block in enumerate(self.vit.blocks):
                tokens = block(tokens)
                if index == self.auxiliary_block:
                    auxiliary = tokens
            tokens = self.vit.norm(tokens)
        return Features(self._on_grid(tokens.float(), grid), self._on_grid(auxiliary.float(), grid))

    def with_attention(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Features, Float[Tensor, "b n n"]]:
        """The same, with the attention between positions: averaged over heads and affinity blocks, rows sum to 1."""
        with self._recorded_attention() as recorded:
            features = self(images)
        attention = torch.stack(recorded).float().mean(dim=0)
        prefix = self.vit.num_prefix_tokens
        attention = attention[:, prefix:, prefix:]
        return features, attention / attention.sum(dim=-1, keepdim=True)

    def _on_grid(self, tokens: Float[Tensor, "b n dim"], grid: tuple[int, int]) -> Float[Tensor, "b dim h w"]:
        positions = tokens[:, self.vit.num_prefix_tokens :]
        return positions.transpose(1, 2).reshape(len(tokens), self.dim, *grid)

    @contextmanager
    def _recorded_attention(self) -> Iterator[list[Tensor]]:
        """Lets the affinity blocks compute attention explicitly and collects its mean over heads."""
        recorded: list[Tensor] = []
        attentions = [self.vit.blocks[index].attn for index in self.affinity_blocks]
        hooks = [
            attention.attn_drop.register_forward_pre_hook(lambda _, inputs: recorded.append(inputs[0].mean(dim=1)))
            for attention in attentions
        ]
        fused = [attention.fused_attn for attention in attentions]
        for attention in attentions:
            attention.fused_attn = False
        try:
            yield recorded
        finally:
            for hook, attention, flag in zip(hooks, attentions, fused, strict=True):
                hook.remove()
                attention.fused_attn = flag


def resized(images: Float[Tensor, "b c h w"], grid: tuple[int, int], patch_size: int) -> Float[Tensor, "b c hp wp"]:
    """Images resized so that the token grid covers them exactly; unchanged where it already does."""
    size = (grid[0] * patch_size, grid[1] * patch_size)
    if size == images.shape[-2:]:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def load_weights(vit: VisionTransformer, path: Path) -> str:
    """Load encoder weights from a local file; returns one line with its SHA-256 for the log and the run folder.

    Position and patch embeddings of another size are resampled; classifier weights are left out.

    Raises:
        WeightsError: the file is missing, unreadable, holds code instead of tensors, or fits another encoder.
    """
    try:
        state = checkpoint_filter_fn(_read_state(path), vit)
    except (RuntimeError, ValueError, IndexError, KeyError):  # timm reshapes tensors by name before it compares them
        raise WeightsError(
            f"{path} does not fit this encoder: choose the encoder.name the file was made with"
        ) from None
    own = vit.state_dict()
    state = {name: tensor for name, tensor in state.items() if not name.startswith(("head.", "fc_norm."))}
    missing = sorted(set(own) - set(state))
    misfits = sorted(name for name in set(own) & set(state) if own[name].shape != state[name].shape)
    if missing or misfits:
        example = (missing or misfits)[0]
        raise WeightsError(
            f"{path} does not fit this encoder: {len(missing)} tensors missing, {len(misfits)} of another shape"
            f" (first: {example}); choose the encoder.name the file was made with"
        )
    vit.load_state_dict({name: tensor for name, tensor in state.items() if name in own})
    return f"weights: {path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())[:200] or "it ends too early"
        raise WeightsError(f"cannot read weights {path}: {reason}; fetch the file again") from None
    except Exception:  # unpickling refuses foreign code with several exception types, and advice that is not ours
        raise WeightsError(f"{path} is refused: it holds more than tensors, perhaps code; pass .safetensors") from None
    for key in ("state_dict", "model"):
        loaded = loaded.get(key, loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(n, str) and isinstance(t, Tensor) for n, t in loaded.items()):
        raise WeightsError(f"{path} holds no table of tensors by name: pass the state dict of an encoder")
    return loaded


def _create(config: EncoderConfig, image_size: int) -> VisionTransformer:
    arguments: dict[str, Any] = {"num_classes": 0, "dynamic_img_size": True, "img_size": image_size}
    arguments |= config.arguments
    from_hub = config.pretrained and config.weights is None
    if config.stem == "convolutional":
        arguments |= _convolutional_stem(config)
    offline_advice = (
        f"cannot fetch pretrained weights of '{config.name}' from the hub; where there is a network, download"
        f" model.safetensors of {_hub_id(config.name)} and pass it with --weights FILE, or train without:"
        " --set encoder.pretrained=false"
    )
    if from_hub and not (_is_cached(config.name) or _hub_answers()):
        raise WeightsError(offline_advice)
    try:
        vit = timm.create_model(config.name, pretrained=from_hub, **arguments)
    except (TypeError, AssertionError, KeyError) as error:
        raise ConfigError(f"encoder '{config.name}' cannot be built with {arguments}: {error}") from None
    except Exception as error:  # the hub fails with the exceptions of its HTTP client
        if not from_hub:
            raise ConfigError(f"encoder '{config.name}' cannot be built: {error}") from None
        raise WeightsError(offline_advice) from None
    if not isinstance(vit, VisionTransformer):
        raise ConfigError(f"encoder '{config.name}' is not a vision transformer of timm's plain family (vit_*)")
    return vit


def _hub_id(name: str) -> str:
    known = timm.models.get_pretrained_cfg(name) if timm.is_model(name) else None
    return known.hf_hub_id if known and known.hf_hub_id else f"timm/{name}"


def _is_cached(name: str) -> bool:
    return isinstance(huggingface_hub.try_to_load_from_cache(_hub_id(name), "model.safetensors"), str)


def _hub_answers() -> bool:
    """Whether asking the hub makes sense: without this, its client retries for most of a minute when offline."""
    if urllib.request.getproxies():
        return True
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(endpoint).hostname, 443)
    except OSError:
        return False
    return True


def _convolutional_stem(config: EncoderConfig) -> dict[str, Any]:
    """Arguments that replace the linear patch embedding by two 3×3 convolutions per halving, the first one strided."""
    patch = int(config.arguments.get("patch_size", 16))
    dim = config.arguments.get("embed_dim")
    if config.pretrained or config.weights is not None or dim is None or not math.log2(patch).is_integer():
        raise ConfigError(
            "encoder.stem=convolutional needs encoder.pretrained=false, no weights, encoder.arguments.embed_dim and a"
            " power of two as encoder.arguments.patch_size"
        )
    halvings = int(math.log2(patch))
    channels = [int(dim) // 2 ** (halvings - 1 - level) for level in range(halvings) for _ in range(2)]
    backbone = ConvStem(
        3, 2 * halvings, tuple(channels), stride=(2, 1) * halvings, norm_layer=nn.BatchNorm2d, act_layer=nn.GELU
    )
    return {"patch_size": 1, "embed_layer": partial(HybridEmbed, backbone=backbone, proj=False)}


def _block_index(index: int, depth: int) -> int:
    if not -depth <= index < depth:
        raise ConfigError(f"encoder block {index} does not exist: the encoder has {depth}")
    return index % depth


def _channel_statistic(vit: VisionTransformer, config: EncoderConfig, name: str) -> Float[Tensor, "1 3 1 1"]:
    imagenet = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
    values = imagenet[name] if config.normalisation == "imagenet" else vit.pretrained_cfg[name]
    return torch.tensor(values, dtype=torch.float32).reshape(1, 3, 1, 1)
