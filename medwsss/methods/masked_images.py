"""Masked image modelling: an encoder learns from images alone by filling in what is hidden (SimMIM, Xie et al. 2022).

Not a method that segments: its result is the encoder, with which such a method starts.
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medwsss.config.pretraining import PretrainingConfig
from medwsss.data.sample import Batch
from medwsss.losses.reconstruction import PatchStatistics, patch_statistics, reconstruction_loss
from medwsss.methods.method import Learner, LossTerms, inside_image
from medwsss.models.encoder import VitEncoder, resized
from medwsss.models.token_mask import random_token_mask
from medwsss.ranks import own_rows


@dataclass(frozen=True)
class Reconstruction:
    """What is seen of images and what is made of the rest, in [0, 1]; sides are multiples of the patch."""

    masked: Float[Tensor, "b 3 h w"]
    """Hidden patches in grey."""
    filled: Float[Tensor, "b 3 h w"]
    """Hidden patches as predicted; with normalised targets, given the mean and deviation they really have."""


class MaskedImages(Learner[Reconstruction]):
    """Hidden patches become a learned mask token, a linear head reconstructs their pixels, L1 compares.

    Targets are normalised by patch (He et al. 2022, Sec. 3). Only hidden pixels that are image and not padding count.
    """

    encoder: VitEncoder

    def __init__(self, config: PretrainingConfig, *, encoder: VitEncoder) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.mask_token = nn.Parameter(torch.empty(encoder.dim))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.head = nn.Conv2d(encoder.dim, 3 * encoder.patch_size**2, kernel_size=1)

    def training_step(self, batch: Batch, *, step: int, generator: torch.Generator) -> LossTerms:
        """The reconstruction loss (SimMIM, Eq. 1) with masks drawn from ``generator``."""
        hidden = self._hidden(batch.images, generator)
        grid, patch_size = self.encoder.grid(batch.images), self.encoder.patch_size
        target = self._target(resized(batch.images, grid, patch_size))
        inside = resized(inside_image(batch)[:, None].float(), grid, patch_size)[:, 0] > 0.5
        loss = reconstruction_loss(self._predicted(batch.images, hidden), target, self._pixels(hidden) & inside)
        return LossTerms({"reconstruction": loss}, {"reconstruction": 1.0})

    @torch.no_grad()
    def explain(self, batch: Batch, *, step: int) -> Reconstruction:
        """The reconstruction behind masks that are the same at every step."""
        hidden = self._hidden(batch.images, torch.Generator().manual_seed(0))
        images = resized(batch.images, self.encoder.grid(batch.images), self.encoder.patch_size)
        pixels = self._pixels(hidden)[:, None]
        predicted = self._predicted(batch.images, hidden)
        if self.config.target == "normalised":
            statistics = self._statistics(images)
            predicted = predicted * statistics.deviation + statistics.mean
        return Reconstruction(
            masked=torch.where(pixels, 0.5, images), filled=torch.where(pixels, predicted.clamp(0.0, 1.0), images)
        )

    def _predicted(self, images: Float[Tensor, "b 3 h w"], hidden: Bool[Tensor, "b ht wt"]) -> Float[Tensor, "b 3 p q"]:
        """Pixels of every patch from its token, in the units of the target."""
        tokens = self.encoder.masked_tokens(images, hidden, self.mask_token)
        return F.pixel_shuffle(self.head(tokens), self.encoder.patch_size)

    def _target(self, images: Float[Tensor, "b 3 p q"]) -> Float[Tensor, "b 3 p q"]:
        if self.config.target == "intensities":
            return images
        statistics = self._statistics(images)
        return (images - statistics.mean) / statistics.deviation

    def _statistics(self, images: Float[Tensor, "b 3 p q"]) -> PatchStatistics:
        return patch_statistics(images, self.encoder.patch_size, least_deviation=self.config.least_deviation)

    def _hidden(self, images: Float[Tensor, "b 3 h w"], generator: torch.Generator) -> Bool[Tensor, "b ht wt"]:
        draw = partial(
            random_token_mask,
            grid=self.encoder.grid(images),
            ratio=self.config.mask_ratio,
            block=self.config.mask_block,
            generator=generator,
        )
        mask = own_rows(draw, len(images))
        return mask.to(images.device)

    def _pixels(self, hidden: Bool[Tensor, "b ht wt"]) -> Bool[Tensor, "b p q"]:
        return hidden.repeat_interleave(self.encoder.patch_size, 1).repeat_interleave(self.encoder.patch_size, 2)
