"""LargeFOV: the segmentation decoder."""

from jaxtyping import Float
from torch import Tensor, nn


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

    def forward(self, tokens: Float[Tensor, "b dim h w"]) -> Float[Tensor, "b k h w"]:
        """Logits at token resolution."""
        logits: Tensor = super().forward(tokens)  # type: ignore[no-untyped-call]
        return logits
