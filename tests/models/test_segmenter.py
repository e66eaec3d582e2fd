import pytest
import torch
from fakes.networks import TINY_ENCODER_CONFIG

from medwsss.config.encoder import EncoderConfig
from medwsss.config.maps import DecoderConfig
from medwsss.config.segmenters import RetrainConfig, UNetConfig
from medwsss.errors import ConfigError
from medwsss.models.segmenter import EncoderDecoder, UNetSegmenter, build_segmenter

SMALL = UNetConfig(channels=(4, 6, 8), residual_units=1)


def unet(config: UNetConfig = SMALL) -> UNetSegmenter:
    torch.manual_seed(0)
    return UNetSegmenter(config, num_classes=3)


def built(
    network: str, encoder: EncoderConfig = TINY_ENCODER_CONFIG, *, kind: str = "large_fov"
) -> UNetSegmenter | EncoderDecoder:
    decoder = DecoderConfig.model_validate({"kind": kind, "channels": 8, "dilation": 1})
    config = RetrainConfig(network=network, unet=SMALL, decoder=decoder)
    return build_segmenter(config, encoder, image_size=32, num_classes=3)


@pytest.mark.parametrize(("network", "kind"), [("unet", "large_fov"), ("vit", "large_fov"), ("vit", "skip")])
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (17, 64), (3, 5), (1, 1)])
def test_logits_have_the_size_of_the_image(network: str, kind: str, size: tuple[int, int]) -> None:
    assert built(network, kind=kind).eval()(torch.rand(2, 3, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("residual_units", [0, 1, 2])
def test_an_image_that_halves_evenly_goes_through_monais_unet_as_it_is(residual_units: int) -> None:
    network, images = unet(UNetConfig(channels=(4, 6, 8), residual_units=residual_units)), torch.rand(2, 3, 16, 24)
    assert torch.equal(network(images), network.unet(images))


def test_padding_repeats_the_border_and_is_cut_off_again() -> None:
    network, images = unet(), torch.rand(1, 3, 16, 24)
    images[:, :, 14:] = images[:, :, 13:14]
    images[:, :, :, 21:] = images[:, :, :, 20:21]
    assert torch.equal(network(images[:, :, :14, :21]), network(images)[:, :, :14, :21])


def test_a_crop_that_would_leave_one_pixel_at_the_coarsest_level_still_trains() -> None:
    network = unet().train()
    network(torch.rand(1, 3, 4, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_vit_is_the_encoder_with_the_decoder_upsampled() -> None:
    network, images = built("vit").eval(), torch.rand(1, 3, 32, 32)
    assert isinstance(network, EncoderDecoder)
    coarse = network.decoder.coarse(network.encoder(images).tokens)
    assert coarse.shape == (1, 3, 4, 4)
    logits = network(images)
    torch.testing.assert_close(logits.mean(dim=(2, 3)), coarse.mean(dim=(2, 3)), rtol=0.0, atol=1e-5)
    # four pixels from each border the eight-fold upsampling reaches the centre of the corner token
    torch.testing.assert_close(logits[:, :, :4, :4].amax(dim=(2, 3)), coarse[:, :, 0, 0])


def test_a_unet_fetches_no_encoder() -> None:
    network = built("unet", EncoderConfig(name="vit_base_patch16_224", pretrained=True))
    assert isinstance(network, UNetSegmenter)
    assert sum(parameter.numel() for parameter in network.parameters()) < 10_000


def test_weights_for_a_unet_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"UNet has no encoder .* method\.network=vit"):
        built("unet", TINY_ENCODER_CONFIG.model_copy(update={"weights": "some.pth"}))


def test_both_say_where_their_weights_come_from() -> None:
    assert unet().weights_note == "weights: random initialisation of a UNet"
    assert built("vit").encoder.weights_note == "weights: random initialisation"
