"""Settings of the encoder."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from medwsss.config.section import Place, Section

_OTHER_SOURCES = ("checkpoint_path", "cache_dir", "model_name")
"""Arguments of timm.create_model, beside pretrained…, by which files and weights would come in unseen."""


class EncoderConfig(Section):
    """The vision transformer and what is read from it."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "vit_base_patch16_224"
    """Any timm vision transformer, by its name alone: no address on the hub, no folder."""
    pretrained: bool = True
    """Fetch timm's weights from the hub by name."""
    weights: Place | None = None
    """A local .safetensors or .pth file to load instead of the hub's, such as one of ``medwsss pretrain``."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Checksum of the local file; another file is refused."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Further arguments of timm.create_model, such as patch_size, depth, embed_dim, num_heads, drop_path_rate."""
    stem: Literal["linear", "convolutional"] = "linear"
    """Patch embedding: one linear layer, or strided 3×3 convolutions, which learn faster without pretrained weights."""
    normalisation: Literal["weights", "imagenet"] = "weights"
    """Mean and standard deviation of the input channels: those the named weights were trained with, or ImageNet's,
    which the papers on VOC and COCO use with any weights."""
    auxiliary_block: int | Literal["stem"] = -3
    """Index of the block whose tokens feed the auxiliary classifier; ``stem`` takes the patch embeddings, which no
    attention has mixed: the choice for a convolutional stem trained from scratch."""
    affinity_blocks: Annotated[tuple[int, ...], Field(min_length=1)] = (-3, -2, -1)
    """Indices of the blocks whose attention is averaged to the affinity (UniA, Eq. 11)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 runs the encoder in autocast; its output, the heads and all losses stay in float32."""

    @model_validator(mode="after")
    def _check(self) -> "EncoderConfig":
        sources = sorted(name for name in self.arguments if name.startswith("pretrained") or name in _OTHER_SOURCES)
        if sources:
            raise ValueError(
                f"arguments may not name {', '.join(sources)}: weights come from encoder.weights or the hub"
            )
        if self.sha256 is not None and self.weights is None:
            raise ValueError("sha256 is the checksum of a local file: give weights as well")
        return self
