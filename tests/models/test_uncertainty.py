import pytest
import torch

from medwsss.config.unia import UncertaintyConfig
from medwsss.models.uncertainty import CrossAttention, Gaussian, UncertaintyNetwork, window_prototypes


def test_prototypes_are_window_maxima_and_border_windows_are_smaller() -> None:
    tokens = -torch.arange(1.0, 16.0).reshape(1, 1, 3, 5)  # rows -1..-5, -6..-10, -11..-15
    prototypes = window_prototypes(tokens, window=2)
    torch.testing.assert_close(prototypes[0, 0], torch.tensor([[-1.0, -3.0, -5.0], [-11.0, -13.0, -15.0]]))


def test_uncertainty_is_the_deviation_scaled_to_0_and_1_per_image() -> None:
    std = (
        torch.tensor([1.0, 2.0, 3.0, 5.0]).reshape(1, 1, 2, 2).repeat(2, 1, 1, 1)
        * torch.tensor([1.0, 10.0])[:, None, None, None]
    )
    expected = torch.tensor([0.0, 0.25, 0.5, 1.0]).reshape(1, 1, 2, 2).repeat(2, 1, 1, 1)
    torch.testing.assert_close(Gaussian(torch.zeros_like(std), std).uncertainty, expected)


def test_cross_attention_is_softmax_of_scaled_products_times_values() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(4)
    queries, sources = torch.rand(1, 4, 2, 3), torch.rand(1, 4, 1, 2)
    q = attention.query(queries.flatten(2).mT)
    k, v = attention.key(sources.flatten(2).mT), attention.value(sources.flatten(2).mT)
    expected = ((q @ k.mT / 4**0.5).softmax(dim=-1) @ v).mT.reshape(1, 4, 2, 3)
    torch.testing.assert_close(attention(queries, sources), expected)


@pytest.mark.parametrize(("channel", "spatial"), [(True, False), (False, True), (True, True)])
def test_the_deviation_is_positive_with_either_branch(channel: bool, spatial: bool) -> None:
    torch.manual_seed(0)
    config = UncertaintyConfig(channel_attention=channel, spatial_attention=spatial, window=2)
    gaussian = UncertaintyNetwork(8, config)(10 * torch.randn(2, 8, 5, 4))
    assert gaussian.mean.shape == gaussian.std.shape == (2, 8, 5, 4)
    assert (gaussian.std > 0).all()


def test_a_network_without_any_branch_is_refused() -> None:
    with pytest.raises(ValueError, match="channel_attention or spatial_attention"):
        UncertaintyConfig(channel_attention=False, spatial_attention=False)


def test_fully_uncertain_tokens_leave_no_trace_in_the_masked_features() -> None:
    torch.manual_seed(0)
    network = UncertaintyNetwork(4, UncertaintyConfig(window=2))
    tokens = torch.rand(1, 4, 2, 2)
    std = torch.ones(1, 4, 2, 2)
    std[..., 1, 1] = 2.0  # U = 1 there, 0 elsewhere
    changed = tokens.clone()
    changed[..., 1, 1] += 5.0
    gaussian = Gaussian(tokens, std)
    before, after = network.masked(tokens, gaussian.std), network.masked(changed, gaussian.std)
    torch.testing.assert_close(before[..., :1, :], after[..., :1, :])  # as keys and values it vanished


def test_the_residual_adds_the_tokens() -> None:
    torch.manual_seed(0)
    plain = UncertaintyNetwork(4, UncertaintyConfig())
    residual = UncertaintyNetwork(4, UncertaintyConfig(residual=True))
    residual.load_state_dict(plain.state_dict())
    tokens = torch.rand(1, 4, 4, 4)
    gaussian = plain(tokens)
    torch.testing.assert_close(residual.masked(tokens, gaussian.std), plain.masked(tokens, gaussian.std) + tokens)
