import inspect
import math

import pytest
import torch

from medwsss.losses.distribution import distribution_loss, gaussian_regulariser, sampled_channel_mean


def test_loss_without_spread_is_the_divergence_between_two_softmaxes() -> None:
    mean = torch.tensor([[[[0.0, math.log(3.0)]], [[0.0, math.log(3.0)]]]])  # softmax of the channel mean: 1/4, 3/4
    target = torch.tensor([[[0, 1]]])  # softmax: 1/(1+e), e/(1+e)
    expected = 1 / 4 * math.log(1 / 4 * (1 + math.e)) + 3 / 4 * math.log(3 / 4 * (1 + math.e) / math.e)
    loss = distribution_loss(mean, torch.zeros_like(mean), target)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_regulariser_is_zero_for_the_standard_normal_and_worked_out_for_another() -> None:
    mean = torch.zeros(1, 2, 2, 2)
    assert gaussian_regulariser(mean, torch.ones_like(mean)).item() == 0.0
    expected = (3.0**2 + 2.0**2 - 1) / 2 - math.log(2.0)
    assert gaussian_regulariser(mean + 3, torch.full_like(mean, 2.0)).item() == pytest.approx(expected)


def test_gradients_are_the_derivatives() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    std = (torch.rand(2, 3, 2, 2, dtype=torch.float64, generator=generator) + 0.5).requires_grad_()
    target = torch.randint(0, 2, (2, 2, 2), generator=generator)

    def loss(mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        return distribution_loss(mean, std, target, samples=2, generator=torch.Generator().manual_seed(1))

    assert torch.autograd.gradcheck(loss, (mean, std))
    assert torch.autograd.gradcheck(gaussian_regulariser, (mean, std))


def test_adding_a_constant_to_the_mean_changes_nothing() -> None:
    mean = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    std, target = torch.ones_like(mean), (mean[:, 0] > 0).long()
    losses = [distribution_loss(m, std, target, generator=torch.Generator().manual_seed(1)) for m in (mean, mean + 5)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-6)


def test_one_draw_has_the_mean_variance_and_gradients_of_all_samples_and_channels() -> None:
    samples, channels, trials = 4, 3, 20000
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    std = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    as_maps = [x[None, :, None, None].expand(1, -1, 1, trials) for x in (mean, std)]  # every position is a trial
    one_draw = sampled_channel_mean(*as_maps, samples=samples, generator=generator).flatten()
    noise = torch.randn(trials, samples, channels, dtype=torch.float64, generator=generator)
    all_draws = (mean + std * noise).mean(dim=(1, 2))

    expected_variance = (0.5**2 + 1.0**2 + 2.0**2) / (channels**2 * samples)
    for drawn in (one_draw, all_draws):
        assert drawn.mean().item() == pytest.approx((1 - 2 + 0.5) / 3, abs=0.02)
        assert drawn.var().item() == pytest.approx(expected_variance, rel=0.05)
        grad_mean, grad_std = torch.autograd.grad(drawn.square().mean(), (mean, std))  # E[S²] = (mean μ)² + variance
        expected_mean = torch.full((3,), 2 * (-0.5 / 3) / 3, dtype=torch.float64)
        expected_std = 2 * std.detach() / (channels**2 * samples)
        torch.testing.assert_close(grad_mean, expected_mean, rtol=0.1, atol=0.01)
        torch.testing.assert_close(grad_std, expected_std, rtol=0.1, atol=0.01)


@pytest.mark.parametrize("value", [0, 1])
def test_constant_target_is_uniform_and_no_spread_gives_no_nan(value: int) -> None:
    mean = torch.zeros(1, 2, 3, 3, requires_grad=True)
    std = torch.zeros(1, 2, 3, 3, requires_grad=True)
    loss = distribution_loss(mean, std, torch.full((1, 3, 3), value)) + gaussian_regulariser(mean, std)
    loss.backward()
    assert loss.isfinite()
    assert mean.grad is not None
    assert mean.grad.isfinite().all()
    assert std.grad is not None
    assert std.grad.isfinite().all()
    assert distribution_loss(mean, std, torch.full((1, 3, 3), value)).item() == pytest.approx(0.0, abs=1e-6)


def test_the_regulariser_of_16_bits_does_not_overflow() -> None:
    mean = torch.full((1, 2, 3, 3), 300.0, dtype=torch.float16)
    assert gaussian_regulariser(mean, torch.ones_like(mean)).item() == pytest.approx(300**2 / 2)


def test_bad_arguments_are_refused_by_name() -> None:
    mean, target = torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3)
    with pytest.raises(ValueError, match="std"):
        distribution_loss(mean, mean - 1, target)
    with pytest.raises(ValueError, match="mean"):
        inspect.unwrap(distribution_loss)(mean.long(), mean, target)
    with pytest.raises(ValueError, match="target"):
        distribution_loss(mean, mean, target + 255)
    with pytest.raises(ValueError, match="target"):
        inspect.unwrap(distribution_loss)(mean, mean, target[:, :2])
    with pytest.raises(ValueError, match="samples"):
        distribution_loss(mean, mean, target, samples=0)
    with pytest.raises(ValueError, match="std"):
        inspect.unwrap(gaussian_regulariser)(mean, mean[:, :1])


def test_positions_outside_take_no_part() -> None:
    mean = torch.randn(1, 3, 2, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target, inside = torch.tensor([[[0, 1, 0, 1], [0, 0, 1, 1]]]), torch.tensor([[[True, True, False, False]] * 2])
    cropped = distribution_loss(mean[..., :2], torch.zeros(1, 3, 2, 2), target[..., :2])
    whole = distribution_loss(mean, torch.zeros_like(mean), target, inside=inside)
    assert whole.item() == pytest.approx(cropped.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(whole, mean)
    assert gradient[..., 2:].abs().max() == 0
