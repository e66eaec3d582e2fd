"""From tokens to class scores of pixels: LargeFOV, the papers' decoder, or another by name."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medwsss.config.maps import DecoderConfig
from medwsss.models.skip_decoder import SkipDecoder


class LargeFov(nn.Sequential):
    """Two dilated 3×3 convolutions and a classifier over background and foreground classes (DeepLab v1)."""

    def __init__(self, dim: int, num_classes: int, *, channels: int, dilation: int) -> None:
        super().__init__(
            nn.Conv2d(dim, channels, kernel_size=3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            nn.Conv2d(channels, num_classes, kernel_size=1),
        )

    def forward(  # type: ignore[override]  # a sequence does not look at images
        self, tokens: Float[Tensor, "b dim h w"], images: Float[Tensor, "b 3 hi wi"]
    ) -> Float[Tensor, "b k hi wi"]:
        """Logits of the tokens, enlarged to the size of the images."""
        return F.interpolate(self.coarse(tokens), size=images.shape[-2:], mode="bilinear", align_corners=False)

    def coarse(self, tokens: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b k h w"]:
        """Logits at token resolution."""
        logits: Tensor = super().forward(tokens)  # type: ignore[no-untyped-call]
        return logits


Decoder = LargeFov | SkipDecoder
"""Called with tokens and their images; gives logits at image size, background first."""


def build_decoder(config: DecoderConfig, dim: int, num_classes: int) -> LargeFov | SkipDecoder:
    """The configured decoder of tokens with ``dim`` channels; ``num_classes`` counts the background."""
    match config.kind:
        case "large_fov":
            return LargeFov(dim, num_classes, channels=config.channels, dilation=config.dilation)
        case "skip":
            return SkipDecoder(dim, num_classes, stem_channels=config.stem_channels, stem_depth=config.stem_depth)
