"""The only door to timm: encoders that give tokens, auxiliary tokens and, if they have it, their attention."""

import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import JsonValue
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, HybridEmbed, PatchDropout
from timm.models import is_model_in_modules
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from timm.models.vision_transformer_hybrid import ConvStem
from torch import Tensor, nn

from medwsss.config.encoder import EncoderConfig
from medwsss.errors import ConfigError, WeightsError
from medwsss.models import hub
from medwsss.models.weights import State, load_weights

_PLAIN_TRANSFORMERS = ("vision_transformer", "vision_transformer_hybrid", "deit")
"""The modules of timm whose models are of the class ``VisionTransformer``."""


@dataclass(frozen=True)
class Features:
    """Tokens on their grid, class token removed."""

    tokens: Float[Tensor, "b dim h w"]
    """After the last block and the final norm: Z of the paper."""
    auxiliary: Float[Tensor, "b dim h w"]
    """After the auxiliary block, or before the first one; a CNN gives its tokens again."""


class Encoder(nn.Module, ABC):
    """A timm network on images in [0, 1] of any size.

    Images whose sides are not multiples of the patch are resized to the nearest multiple, so that the token grid
    always covers the image exactly.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: EncoderConfig, network: Any, *, dim: int, patch_size: int, image_size: int) -> None:
        """``network``, of timm, makes tokens of ``dim`` channels from ``patch_size`` pixels a side."""
        super().__init__()
        if image_size < patch_size:
            raise ConfigError(
                f"the crop of {image_size} pixels is less than one patch of {patch_size} pixels:"
                " raise data.grid.crop, or data.crop of photographs"
            )
        self.name = config.name
        self.dim = dim
        self.patch_size = patch_size
        self.precision = config.precision
        self.weights_note = _weights_note(config, network)
        self._drop_paths = _drop_paths(network)
        self.register_buffer("mean", _channel_statistic(network, config, "mean"), persistent=False)
        self.register_buffer("std", _channel_statistic(network, config, "std"), persistent=False)

    def grid(self, images: Float[Tensor, "b 3 h w"]) -> tuple[int, int]:
        """Rows and columns of the token grid: the nearest whole number of patches, at least one."""
        height, width = (max(1, round(side / self.patch_size)) for side in images.shape[-2:])
        return height, width

    @property
    def same_in_training(self) -> bool:
        """Whether an image gives the same tokens in training as otherwise: nothing drops, no statistics of batches."""
        return not any(
            isinstance(layer, nn.modules.batchnorm._BatchNorm)
            or (isinstance(layer, nn.Dropout) and layer.p > 0)
            or (isinstance(layer, DropPath) and layer.drop_prob > 0)
            or (isinstance(layer, PatchDropout) and layer.prob > 0)
            for layer in self.modules()
        )

    @abstractmethod
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        """Tokens and auxiliary tokens."""

    def set_adjustment(self, *, drop_path: float, dropout: float) -> None:
        """The rates of training from now on (USAGE, Fig. 4).

        Args:
            drop_path: rate of the last block; earlier blocks have less in proportion to their depth, as in timm.
                Layers for it exist where the encoder was built with a ``drop_path_rate`` above 0.
            dropout: rate of every dropout layer but those on attention weights, as DeiT's ``drop_rate``; a CNN drops
                entries of its final map.

        Raises:
            ConfigError: the encoder has no layers for drop-path.
        """
        if drop_path > 0 and not self._drop_paths:
            raise ConfigError(f"encoder {self.name} was built without drop-path layers: set its rates to 0")
        for layer, share in self._drop_paths:
            layer.drop_prob = share * drop_path
        for name, module in self.named_modules():
            if isinstance(module, nn.Dropout) and not name.endswith("attn_drop"):
                module.p = dropout

    @contextmanager
    def at_precision(self, precision: Literal["float32", "bfloat16"]) -> Iterator[None]:
        """Another precision for a while; bfloat16 stays where it is the encoder's own."""
        own = self.precision
        self.precision = "bfloat16" if own == "bfloat16" else precision
        try:
            yield
        finally:
            self.precision = own

    def _normalised(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 hp wp"]:
        return (resized(images, self.grid(images), self.patch_size) - self.mean) / self.std

    def _autocast(self, images: Tensor) -> torch.autocast:
        return torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


class VitEncoder(Encoder):
    """A vision transformer of timm's plain family, the one whose attention can be read."""

    def __init__(self, config: EncoderConfig, *, image_size: int) -> None:
        vit = _create_vit(config, image_size)
        patch_size = int(vit.feature_info[0]["reduction"])
        super().__init__(config, vit, dim=vit.embed_dim, patch_size=patch_size, image_size=image_size)
        self.vit = vit
        depth = len(vit.blocks)
        self.auxiliary_block = None if config.auxiliary_block == "stem" else _block_index(config.auxiliary_block, depth)
        self.affinity_blocks = tuple(_block_index(index, depth) for index in config.affinity_blocks)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        """Tokens and auxiliary tokens with fused attention throughout."""
        grid = self.grid(images)
        images = self._normalised(images)
        with self._autocast(images):
            tokens, auxiliary = self._through_blocks(self.vit.patch_embed(images))
        return Features(self._on_grid(tokens.float(), grid), self._on_grid(auxiliary.float(), grid))

    def masked_tokens(
        self, images: Float[Tensor, "b 3 h w"], hidden: Bool[Tensor, "b ht wt"], mask_token: Float[Tensor, " dim"]
    ) -> Float[Tensor, "b dim ht wt"]:
        """Tokens after the final norm when nothing is seen of hidden patches but where they are.

        Their pixels become the mean colour, and ``mask_token`` is added to their patch embeddings. Behind a linear
        patch embedding that is a learned token in place of the embedding (SimMIM, Sec. 3.2), because all embeddings of
        the mean colour are the same. A convolutional stem still tells hidden patches near to something seen from
        others, which it has to where there are no position embeddings, and still sees no hidden pixel.
        """
        grid = self.grid(images)
        covered = hidden.repeat_interleave(self.patch_size, 1).repeat_interleave(self.patch_size, 2)[:, None]
        images = self._normalised(images).masked_fill(covered, 0.0)
        with self._autocast(images):
            embeddings = self.vit.patch_embed(images)  # channels last, as for all images of any size
            tokens, _ = self._through_blocks(embeddings + hidden[..., None] * mask_token.to(embeddings.dtype))
        return self._on_grid(tokens.float(), grid)

    def _through_blocks(
        self, embeddings: Float[Tensor, "b h w dim"]
    ) -> tuple[Float[Tensor, "b n dim"], Float[Tensor, "b n dim"]]:
        """All tokens after the final norm, and those that feed the auxiliary classifier."""
        tokens = self.vit.norm_pre(self.vit._pos_embed(embeddings))
        auxiliary = tokens
        for index, block in enumerate(self.vit.blocks):
            tokens = block(tokens)
            if index == self.auxiliary_block:
                auxiliary = tokens
        return self.vit.norm(tokens), auxiliary

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


class CnnEncoder(Encoder):
    """A convolutional network of timm; tokens are the positions of its final feature map."""

    def __init__(self, config: EncoderConfig, *, image_size: int) -> None:
        cnn = _create_cnn(config)
        dim, stride = _map_size(cnn, config.name)
        super().__init__(config, cnn, dim=dim, patch_size=stride, image_size=image_size)
        self.cnn: Any = cnn
        self.final_drop = nn.Dropout(0.0)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        """The final map, as tokens and as auxiliary tokens: the map of the stage before has other channels."""
        images = self._normalised(images).contiguous(memory_format=torch.channels_last)  # the layers keep to it
        with self._autocast(images):
            tokens = self.final_drop(self.cnn.forward_features(images)).float()
        return Features(tokens, tokens)


def build_encoder(config: EncoderConfig, *, image_size: int) -> Encoder:
    """The named encoder for training crops of that size; other sizes are welcome afterwards.

    Raises:
        ConfigError: timm cannot build it, or it is neither a plain vision transformer nor a CNN.
        WeightsError: its weights cannot be had.
    """
    return (VitEncoder if has_attention(config) else CnnEncoder)(config, image_size=image_size)


def has_attention(config: EncoderConfig) -> bool:
    """Whether this is an encoder whose attention can be read; told from the name, before anything is built."""
    return not timm.is_model(config.name) or is_model_in_modules(config.name, _PLAIN_TRANSFORMERS)


def resized(images: Float[Tensor, "b c h w"], grid: tuple[int, int], patch_size: int) -> Float[Tensor, "b c hp wp"]:
    """Images resized so that the token grid covers them exactly; unchanged where it already does."""
    size = (grid[0] * patch_size, grid[1] * patch_size)
    if size == images.shape[-2:]:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def _create_vit(config: EncoderConfig, image_size: int) -> VisionTransformer:
    arguments: dict[str, Any] = {"num_classes": 0, "dynamic_img_size": True, "img_size": image_size}
    arguments |= config.arguments
    if config.stem == "convolutional":
        arguments |= _convolutional_stem(config)
    vit = _create(config, arguments)
    if not isinstance(vit, VisionTransformer):
        raise ConfigError(f"encoder '{config.name}' is not a vision transformer of timm's plain family (vit_*)")
    if not vit.blocks:
        raise ConfigError(f"encoder '{config.name}' has no block: set encoder.arguments.depth to 1 or more")
    return vit


def _create_cnn(config: EncoderConfig) -> Any:
    if config.stem == "convolutional":
        raise ConfigError(f"encoder.stem=convolutional is for vision transformers, encoder '{config.name}' is none")
    return _create(config, {"num_classes": 0} | config.arguments)


def _create(config: EncoderConfig, arguments: dict[str, Any]) -> Any:
    from_hub = config.pretrained and config.weights is None
    repository = _repository(config.name)
    if from_hub and not (hub.is_cached(repository) or hub.answers()):
        raise WeightsError(hub.advice(config.name, repository))
    try:
        network = timm.create_model(config.name, pretrained=from_hub, **arguments)
    except (TypeError, AssertionError, KeyError) as error:
        shown = reprlib.repr(arguments)
        raise ConfigError(f"encoder '{config.name}' cannot be built with {shown}: {error}") from None
    except Exception as error:  # the hub fails with the exceptions of its HTTP client
        if not from_hub:
            raise ConfigError(f"encoder '{config.name}' cannot be built: {error}") from None
        raise WeightsError(hub.advice(config.name, repository)) from None
    return network


def _repository(name: str) -> str:
    """Where the hub keeps the weights that timm would fetch."""
    known = timm.models.get_pretrained_cfg(name) if timm.is_model(name) else None
    return known.hf_hub_id if known and known.hf_hub_id else f"timm/{name}"


def _map_size(cnn: Any, name: str) -> tuple[int, int]:
    """Channels and stride of the final map, as a small image shows them."""
    image = torch.zeros(1, 3, 64, 96)
    training = cnn.training
    try:
        with torch.no_grad():
            final = cnn.eval().forward_features(image)
        dim, height, width = final.shape[1:]
        stride = 64 // height
    except (AttributeError, AssertionError, RuntimeError, ValueError, TypeError):
        stride = 0
    cnn.train(training)
    if stride == 0 or (height * stride, width * stride) != (64, 96):
        raise ConfigError(
            f"encoder '{name}' is neither a vision transformer of timm's plain family (vit_*, deit_*) nor a CNN"
            " for images of any size"
        )
    return int(dim), stride


def _weights_note(config: EncoderConfig, network: nn.Module) -> str:
    """Loads the weights file where there is one; says where the weights come from."""
    if config.weights is not None:
        return load_weights(network, config.weights, adapted=partial(_named_as_in, network), sha256=config.sha256)
    return f"weights: {config.name} from the timm hub" if config.pretrained else "weights: random initialisation"


def _named_as_in(network: nn.Module, state: State) -> State:
    """For a vision transformer, position and patch embeddings of another size are resampled on the way."""
    if not isinstance(network, VisionTransformer):
        return state
    adapted: State = checkpoint_filter_fn(state, network)
    return adapted


def _drop_paths(network: nn.Module) -> tuple[tuple[DropPath, float], ...]:
    """The drop-path layers and the rate of each, relative to the highest."""
    layers = [module for module in network.modules() if isinstance(module, DropPath)]
    highest = max((layer.drop_prob for layer in layers), default=0.0)
    return tuple((layer, layer.drop_prob / highest) for layer in layers if highest > 0)


def _convolutional_stem(config: EncoderConfig) -> dict[str, Any]:
    """Arguments that replace the linear patch embedding by two 3×3 convolutions per halving, the first one strided."""
    patch, dim = _count(config.arguments.get("patch_size", 16)), _count(config.arguments.get("embed_dim"))
    if config.pretrained or not dim or patch.bit_count() != 1:
        raise ConfigError(
            "encoder.stem=convolutional needs encoder.pretrained=false (the hub has no such weights; a file of"
            " medwsss pretrain may be given), a whole number as encoder.arguments.embed_dim"
            " and a power of two as encoder.arguments.patch_size"
        )
    halvings = int(math.log2(patch))
    channels = [dim // 2 ** (halvings - 1 - level) for level in range(halvings) for _ in range(2)]
    backbone = ConvStem(
        3, 2 * halvings, tuple(channels), stride=(2, 1) * halvings, norm_layer=nn.BatchNorm2d, act_layer=nn.GELU
    )
    return {"patch_size": 1, "embed_layer": partial(HybridEmbed, backbone=backbone, proj=False)}


def _count(value: JsonValue) -> int:
    """A whole number of pixels or channels that a network may have; 0 stands for anything else."""
    return value if isinstance(value, int) and 0 < value <= 1 << 16 else 0


def _block_index(index: int, depth: int) -> int:
    if not -depth <= index < depth:
        raise ConfigError(f"encoder block {index} does not exist: the encoder has {depth}")
    return index % depth


def _channel_statistic(network: Any, config: EncoderConfig, name: str) -> Float[Tensor, "1 3 1 1"]:
    imagenet = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
    values = imagenet[name] if config.normalisation == "imagenet" else network.pretrained_cfg[name]
    return torch.tensor(values, dtype=torch.float32).reshape(1, 3, 1, 1)
