"""High-dimensional Gaussian filtering on the permutohedral lattice, in time and memory linear in the points."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class PermutohedralLattice:
    """Points in feature space, the lattice vertices around them, and the neighbours of the vertices.

    ``filter`` approximates y_i = Σ_j exp(−½ |f_i − f_j|²) x_j, the sum including j = i, up to a constant factor:
    values are splatted onto the d + 1 vertices of the simplex around each point, blurred with (½, 1, ½) along the d + 1
    lattice axes, and read back (Adams, Baek and Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice,
    2010).
    """

    vertices: Int[Tensor, "n d1"]
    """Vertices of the simplex around each point."""
    weights: Float[Tensor, "n d1"]
    """Barycentric weights of these vertices; they sum to 1."""
    neighbours: Int[Tensor, "d1 2 v"]
    """The two neighbours of each vertex along each axis; v, the number of vertices, where there is none."""

    def filter(self, values: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Gaussian-weighted sums of the values of all points, at each point."""
        count = self.neighbours.shape[2]
        lattice = values.new_zeros(count + 1, values.shape[1])  # the last row stands for missing vertices and stays 0
        for vertices, weights in zip(self.vertices.unbind(1), self.weights.unbind(1), strict=True):
            lattice.index_add_(0, vertices, values * weights[:, None])
        for before, after in self.neighbours:
            blurred = lattice[before].add_(lattice[after])
            lattice[:count].add_(blurred, alpha=0.5)
        result = torch.zeros_like(values)
        for vertices, weights in zip(self.vertices.unbind(1), self.weights.unbind(1), strict=True):
            result.addcmul_(lattice[vertices], weights[:, None])
        return result


def permutohedral_lattice(features: Float[Tensor, "n d"]) -> PermutohedralLattice:
    """The lattice for points whose features are measured in standard deviations of the Gaussian.

    Raises:
        ValueError: the features spread so far (thousands of deviations on every axis) that vertices cannot be numbered.
    """
    axes = features.shape[1] + 1
    elevated = _elevated(features)
    origin, rank = _simplex(elevated)
    weights = _barycentric((elevated - origin) / axes, rank)
    # Vertex k of the canonical simplex: k on the axes of low rank, k − (d + 1) on the k of highest rank.
    steps = torch.arange(axes, device=features.device)
    canonical = torch.where(steps <= axes - 1 - steps[:, None], steps[:, None], steps[:, None] - axes)
    keys = origin.long()[:, None] + canonical[:, rank].transpose(0, 1)
    codes, strides = _codes(keys)
    unique, vertices = torch.unique(codes, return_inverse=True)
    return PermutohedralLattice(vertices, weights, _neighbours(unique, strides, axes))


def _elevated(features: Float[Tensor, "n d"]) -> Float[Tensor, "n d1"]:
    """Points on the plane Σx = 0 in d + 1 dimensions, scaled so that splat, blur and slice have unit deviation."""
    dimensions = features.shape[1]
    index = torch.arange(1, dimensions + 1, device=features.device, dtype=features.dtype)
    scaled = features * (dimensions + 1) * (2 / 3) ** 0.5 / (index * (index + 1)).sqrt()
    zero = torch.zeros_like(scaled[:, :1])
    later = scaled.flip(1).cumsum(1).flip(1)  # sums over this and all later coordinates
    return torch.cat([later, zero], dim=1) - torch.cat([zero, index * scaled], dim=1)


def _simplex(elevated: Float[Tensor, "n d1"]) -> tuple[Float[Tensor, "n d1"], Int[Tensor, "n d1"]]:
    """Nearest vertex whose coordinates are multiples of d + 1, and the rank of each residual, 0 the largest."""
    axes = elevated.shape[1]
    rounded = (elevated / axes).round()
    excess = rounded.sum(dim=1, keepdim=True).long()
    residual = elevated - rounded * axes
    rank = residual.argsort(dim=1, descending=True, stable=True).argsort(dim=1) + excess
    # Rounding may leave the plane; moving the coordinates with the most extreme residuals brings it back.
    wrap = (rank < 0).long() - (rank >= axes).long()
    return (rounded + wrap) * axes, rank + wrap * axes


def _barycentric(residual: Float[Tensor, "n d1"], rank: Int[Tensor, "n d1"]) -> Float[Tensor, "n d1"]:
    """Weights of the simplex's vertices: differences of consecutive sorted residuals, in units of d + 1."""
    ascending = torch.empty_like(residual).scatter_(1, residual.shape[1] - 1 - rank, residual)
    first = 1 + ascending[:, :1] - ascending[:, -1:]
    return torch.cat([first, ascending.diff(dim=1)], dim=1)


def _codes(keys: Int[Tensor, "n d1 d1"]) -> tuple[Int[Tensor, "n d1"], Int[Tensor, " d"]]:
    """One integer a vertex, linear in its coordinates, and the stride of each coordinate but the redundant last."""
    axes = keys.shape[2]
    free = keys[..., :-1]
    low = free.amin(dim=(0, 1)) - axes  # room for the neighbours, whose codes must not meet those of other vertices
    spans = (free.amax(dim=(0, 1)) + axes - low + 1).tolist()
    strides = [1]
    for span in spans:
        strides.append(strides[-1] * span)
    if strides.pop() >= 2**62:
        raise ValueError("features spread over too many standard deviations for the lattice; widen the Gaussian")
    stride = torch.tensor(strides, device=keys.device)
    return ((free - low) * stride).sum(dim=-1), stride


def _neighbours(codes: Int[Tensor, " v"], strides: Int[Tensor, " d"], axes: int) -> Int[Tensor, "d1 2 v"]:
    """For each axis j the vertices one step back and forth: coordinate j by ±d, all others by ∓1."""
    total = int(strides.sum())
    offsets = [axes * stride - total for stride in [*strides.tolist(), 0]]
    wanted = torch.stack([torch.stack([codes - offset, codes + offset]) for offset in offsets])
    found = torch.searchsorted(codes, wanted.flatten()).view_as(wanted).clamp_(max=len(codes) - 1)
    return torch.where(codes[found] == wanted, found, len(codes))
