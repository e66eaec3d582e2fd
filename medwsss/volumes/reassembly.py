"""Slices to volume: the inverse of ``slicing.slices_of``, back on the native grid of the file."""

from dataclasses import replace

import numpy as np
from jaxtyping import Shaped

from medwsss.volumes.slicing import slice_axes
from medwsss.volumes.volume import Volume


def reassemble(slices: Shaped[np.ndarray, "n h w"], *, like: Volume) -> Volume:
    """A 3D volume on the grid of ``like`` from its slices in the order and orientation of ``slices_of``; any dtype.

    Raises:
        ValueError: number or size of the slices does not fit the grid of ``like``.
    """
    return replace(like, array=_native(slices, like))


def reassemble_channels(slices: Shaped[np.ndarray, "n c h w"], *, like: Volume) -> Volume:
    """A 4D volume (x, y, z, c) from slices with channels, such as class probabilities.

    Raises:
        ValueError: as ``reassemble``.
    """
    channels = [_native(slices[:, channel], like) for channel in range(slices.shape[1])]
    return replace(like, array=np.stack(channels, axis=-1), frame_spacing=1.0)


def _native(slices: Shaped[np.ndarray, "n h w"], like: Volume) -> Shaped[np.ndarray, "x y z"]:
    axes = slice_axes(like.affine, like.spacing_mm, like.grid)
    expected = tuple(like.grid[axis] for axis in axes.permutation)
    if slices.shape != expected:
        raise ValueError(f"slices must have shape {expected} to fit the grid {like.grid}, not {slices.shape}")
    native = np.flip(slices, axes.flipped).transpose(np.argsort(axes.permutation))
    return np.ascontiguousarray(native)
