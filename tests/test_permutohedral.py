import pytest
import torch

from medwsss.permutohedral import permutohedral_lattice


def exact_filter(features: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.exp(-0.5 * torch.cdist(features, features).square()) @ values


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_filtering_is_the_gaussian_sum_up_to_a_constant(dimensions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    features = 2 * torch.randn(1500, dimensions, generator=generator, dtype=torch.float64)
    values = torch.rand(1500, 3, generator=generator, dtype=torch.float64)
    approximate, exact = permutohedral_lattice(features).filter(values), exact_filter(features, values)
    similarity = torch.nn.functional.cosine_similarity(approximate.flatten(), exact.flatten(), dim=0)
    assert similarity > 0.97


def test_filtering_is_linear_and_keeps_the_order_of_points() -> None:
    generator = torch.Generator().manual_seed(1)
    features, values = torch.randn(50, 3, generator=generator), torch.rand(50, 2, generator=generator)
    order = torch.randperm(50, generator=generator)
    lattice = permutohedral_lattice(features)
    torch.testing.assert_close(lattice.filter(3 * values), 3 * lattice.filter(values))
    torch.testing.assert_close(
        permutohedral_lattice(features[order]).filter(values[order]), lattice.filter(values)[order]
    )


def test_barycentric_weights_are_positive_sum_to_one_and_recover_the_point() -> None:
    features = 5 * torch.randn(200, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights = permutohedral_lattice(features).weights
    assert (weights >= -1e-12).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(200, dtype=torch.float64))


def test_points_far_apart_do_not_reach_each_other() -> None:
    features = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, -50.0]])
    filtered = permutohedral_lattice(features).filter(torch.eye(3))
    assert torch.equal(filtered, filtered.diagonal().diag())
    assert (filtered.diagonal() > 0).all()


def test_features_too_far_apart_to_number_are_refused() -> None:
    with pytest.raises(ValueError, match="features"):
        permutohedral_lattice(torch.tensor([[0.0] * 5, [1e6] * 5]))
