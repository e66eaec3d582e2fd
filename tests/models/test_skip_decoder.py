import pytest
import torch

from medwsss.config.maps import DecoderConfig
from medwsss.models.decoder import LargeFov, build_decoder
from medwsss.models.skip_decoder import SkipDecoder


def skip(stem_channels: tuple[int, ...] = (8, 16, 24)) -> SkipDecoder:
    torch.manual_seed(0)
    return SkipDecoder(5, 3, stem_channels=stem_channels)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (17, 61), (3, 5), (1, 1)])
@pytest.mark.parametrize("stem_channels", [(8, 16, 24), (4,), (3, 5)])
def test_logits_have_the_size_of_the_image(stem_channels: tuple[int, ...], size: tuple[int, int]) -> None:
    tokens = torch.rand(2, 5, max(1, round(size[0] / 8)), max(1, round(size[1] / 8)))
    assert skip(stem_channels)(tokens, torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_gradients_reach_every_parameter_and_the_tokens() -> None:
    decoder, tokens = skip(), torch.rand(1, 5, 4, 4, requires_grad=True)
    decoder(tokens, torch.rand(1, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in decoder.parameters())
    assert tokens.grad is not None
    assert tokens.grad.any()


def test_it_sees_a_line_thinner_than_a_token_and_large_fov_does_not() -> None:
    tokens, blank = torch.ones(1, 5, 4, 4), torch.zeros(1, 3, 32, 32)
    line = blank.clone()
    line[..., 16:18] = 1.0
    sees, blind = skip(), LargeFov(5, 3, channels=4, dilation=1)
    change = (sees(tokens, line) - sees(tokens, blank)).abs().amax(dim=(0, 1, 2))
    assert change[16:18].min() > change[:8].max()  # most where the line is; normalisation reaches everywhere
    assert torch.equal(blind(tokens, line), blind(tokens, blank))


def test_images_of_a_batch_do_not_touch_each_other() -> None:
    decoder, tokens, images = skip(), torch.rand(2, 5, 4, 4), torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(decoder(tokens, images)[:1], decoder(tokens[:1], images[:1]))


def test_the_configuration_chooses_the_decoder() -> None:
    assert isinstance(build_decoder(DecoderConfig(channels=4), 5, 3), LargeFov)
    assert isinstance(build_decoder(DecoderConfig(kind="skip"), 5, 3), SkipDecoder)


def test_depth_adds_convolutions_on_every_level_down_and_up() -> None:
    def convolutions(depth: int) -> int:
        decoder = build_decoder(DecoderConfig(kind="skip", stem_channels=(4, 6), stem_depth=depth), 5, 3)
        return sum(isinstance(module, torch.nn.Conv2d) for module in decoder.modules())

    assert convolutions(1) == 2 * 2 + 2  # stem and joins, beside the two 1×1 ones
    assert convolutions(3) == 3 * 2 * 2 + 2
