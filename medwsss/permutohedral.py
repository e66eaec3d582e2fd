"""High-dimensional Gaussian filtering on the permutohedral lattice, in time and memory linear in the points."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from medwsss.sparse_rows import SparseRows, regular_rows

_CHANNELS_AT_ONCE = 24
"""More values a point are filtered in parts, so that the lattice's share of memory does not grow with them."""


@dataclass(frozen=True)
class PermutohedralLattice:
    """Points in feature space, the lattice vertices around them, and the neighbours of the vertices.

    ``filter`` approximates y_i = Σ_j exp(−½ |f_i − f_j|²) x_j, the sum including j = i, up to a constant factor:
    values are splatted onto the d + 1 vertices of the simplex around each point, blurred with (½, 1, ½) along the d + 1
    lattice axes, and read back (Adams, Baek and Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice,
    2010).
    """

    weights: Float[Tensor, "n d1"]
    """Barycentric weights of the simplex's vertices around each point; they sum to 1."""
    splat: SparseRows
    """From points to vertices."""
    blurs: tuple[SparseRows, ...]
    """From vertices to vertices, along each axis."""
    read: SparseRows
    """From vertices to points."""

    def filter(self, values: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Gaussian-weighted sums of the values of all points, at each point."""
        parts = [self._filter(part) for part in torch.split(values, _CHANNELS_AT_ONCE, dim=1)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def normalised(self) -> "PermutohedralLattice":
        """The lattice whose ``filter`` applies D^(−½) K D^(−½), with D the row sums of the kernel K of this one."""
        scale = self.filter(torch.ones_like(self.weights[:, :1])).clamp_min(1e-20).rsqrt()
        scaled = (self.weights * scale).flatten()
        splat = replace(self.splat, weights=self.splat.weights * scale[self.splat.columns, 0])
        return replace(self, splat=splat, read=replace(self.read, weights=scaled))

    def _filter(self, values: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        lattice = self.splat @ values
        for blur in self.blurs:
            lattice = blur @ lattice
        return self.read @ lattice


def permutohedral_lattice(features: Float[Tensor, "n d"]) -> PermutohedralLattice:
    """The lattice for points whose features are measured in standard deviations of the Gaussian.

    Raises:
        ValueError: the features spread so far (thousands of deviations on every axis) that vertices cannot be numbered.
    """
    axes = features.shape[1] + 1
    elevated = _elevated(features)
    origin, rank = _simplex(elevated)
    weights = _barycentric((elevated - origin) / axes, rank)
    codes, strides = _codes(origin.long(), rank)
    # Equal codes stand together once sorted: each run of them is a vertex, and lists the points around it.
    ordered, order = codes.flatten().sort(stable=True)
    begins = torch.cat([torch.ones_like(ordered[:1], dtype=torch.bool), ordered[1:] != ordered[:-1]])
    vertices = torch.empty_like(order).scatter_(0, order, begins.cumsum(0) - 1)
    splat = SparseRows(
        F.pad(begins.nonzero()[:, 0], (0, 1), value=len(order)).int(), (order // axes).int(), weights.flatten()[order]
    )
    read = regular_rows(vertices.view_as(codes), weights)
    return PermutohedralLattice(weights, splat, _blurs(ordered[begins], strides, weights), read)


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


def _codes(origin: Int[Tensor, "n d1"], rank: Int[Tensor, "n d1"]) -> tuple[Int[Tensor, "n d1"], Int[Tensor, " d1"]]:
    """One integer a vertex of each simplex, linear in its coordinates, and the stride of each coordinate.

    The last coordinate is minus the sum of the others: its stride is 0. From each vertex of a simplex to the next, one
    coordinate falls by d, the one of highest rank first, and all others rise by 1.
    """
    axes = origin.shape[1]
    reach = 2 * axes  # of a simplex and its neighbours, whose codes must not meet those of other vertices
    free = origin[:, :-1]
    low, high = free.amin(dim=0) - reach, free.amax(dim=0) + reach
    strides = [1]
    for span in (high - low + 1).tolist():
        strides.append(strides[-1] * span)
    if strides.pop() >= 2**62:
        raise ValueError("features spread over too many standard deviations for the lattice; widen the Gaussian")
    stride = torch.tensor([*strides, 0], device=origin.device)
    first = ((free - low) * stride[:-1]).sum(dim=1, keepdim=True)
    falling = torch.empty_like(rank).scatter_(1, axes - 1 - rank, stride.expand_as(rank))
    return torch.cat([first, stride.sum() - axes * falling[:, :-1]], dim=1).cumsum(dim=1), stride


def _blurs(
    codes: Int[Tensor, " v"], strides: Int[Tensor, " d1"], like: Float[Tensor, "n d1"]
) -> tuple[SparseRows, ...]:
    """½ of the vertex before, the vertex and ½ of the one after, along each axis: a coordinate by ±d, others by ∓1."""
    count = len(codes)
    own = torch.arange(count, device=codes.device)
    blurs = []
    for offset in len(strides) * strides - strides.sum():
        found = torch.searchsorted(codes, codes + offset).clamp_(max=count - 1)
        after = torch.where(codes[found] == codes + offset, found, count)
        before = codes.new_full((count + 1,), count)  # the last one takes what leads nowhere
        before[after] = own
        columns = torch.stack([before[:-1], own, after], dim=1)
        there = columns < count
        weights = there * like.new_tensor([0.5, 1.0, 0.5])
        blurs.append(regular_rows(torch.where(there, columns, own[:, None]), weights))
    return tuple(blurs)
