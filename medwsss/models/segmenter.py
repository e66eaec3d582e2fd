"""Segmentation networks that learn from labels of pixels: images in [0, 1] to class scores at image size."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medwsss.config.encoder import EncoderConfig
from medwsss.config.segmenters import SegmenterConfig, UNetConfig
from medwsss.errors import ConfigError
from medwsss.models.decoder import Decoder, build_decoder
from medwsss.models.encoder import Encoder, build_encoder


class UNetSegmenter(nn.Module):
    """MONAI's UNet on three channels, for images of any size.

    Images are padded on the right and at the bottom, by repeating their border, to what the network can halve at every
    level; at least two pixels a side are left at the coarsest, where its normalisation needs more than one.
    """

    def __init__(self, config: UNetConfig, num_classes: int) -> None:
        """``num_classes`` counts the background."""
        from monai.networks.nets import UNet  # noqa: PLC0415  # loading MONAI takes seconds

        super().__init__()
        halvings = len(config.channels) - 1
        self.unet = UNet(
            spatial_dims=2,
            in_channels=3,
            out_channels=num_classes,
            channels=config.channels,
            strides=(2,) * halvings,
            num_res_units=config.residual_units,
        )
        self._multiple = 1 << halvings
        self.weights_note = "weights: random initialisation of a UNet"

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Logits, background first."""
        height, width = images.shape[-2:]
        below, right = (self._padded(side) - side for side in (height, width))
        logits: Tensor = self.unet(F.pad(images, (0, right, 0, below), mode="replicate"))
        return logits[..., :height, :width]

    def _padded(self, side: int) -> int:
        return self._multiple * max(2, math.ceil(side / self._multiple))


class EncoderDecoder(nn.Module):
    """An encoder, such as a ViT, and a decoder of its tokens."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Logits, background first."""
        logits: Tensor = self.decoder(self.encoder(images).tokens, images)
        return logits


Segmenter = UNetSegmenter | EncoderDecoder


def build_segmenter(
    config: SegmenterConfig, encoder: EncoderConfig, *, image_size: int, num_classes: int
) -> UNetSegmenter | EncoderDecoder:
    """The configured network; a UNet needs nothing of ``encoder``.

    Args:
        config: which network, and its widths.
        encoder: of the ViT.
        image_size: side of the training crop in pixels.
        num_classes: with background.

    Raises:
        ConfigError: the encoder cannot be built, or weights are given to a UNet.
        WeightsError: the encoder's weights cannot be had.
    """
    if config.network == "unet":
        if encoder.weights is not None:
            raise ConfigError("a UNet has no encoder to load weights into: leave --weights out, or method.network=vit")
        return UNetSegmenter(config.unet, num_classes)
    built = build_encoder(encoder, image_size=image_size)
    return EncoderDecoder(built, build_decoder(config.decoder, built.dim, num_classes))
