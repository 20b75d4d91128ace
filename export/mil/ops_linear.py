"""Matrix products, normalisations and reductions; parameter names are MIL's.

Source: coremltools/converters/mil/mil/ops/defs (linear, normalization, reduction), iOS 15 to 18.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor

Ints = tuple[int, ...]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., D_in) with weights (D_out, D_in) -> (..., D_out)."""
    return F.linear(x, weight, bias)


def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    left = x.transpose(-1, -2) if transpose_x else x
    return left @ (y.transpose(-1, -2) if transpose_y else y)


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """(N, C, *D); statistics and affine parameters are (C,)."""
    return torch.batch_norm(x, gamma, beta, mean, variance, False, 0.0, epsilon, False)


def layer_norm(
    x: Tensor,
    axes: Ints | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Over `axes`, all of them where they are not given; gamma and beta have the shape of those axes."""
    dims = _axes(x, axes)
    centred = x - x.mean(dims, keepdim=True)
    normalized = centred / torch.sqrt((centred * centred).mean(dims, keepdim=True) + epsilon)
    shape = [size if dim in dims else 1 for dim, size in enumerate(x.shape)]
    if gamma is not None:
        normalized = normalized * gamma.reshape(shape)
    return normalized if beta is None else normalized + beta.reshape(shape)


def reduce_mean(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.mean(_axes(x, axes), keepdim=keep_dims)


def reduce_sum(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    return x.sum(_axes(x, axes), keepdim=keep_dims)


def reduce_l2_norm(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
    """The square root of the sum of squares."""
    return torch.sqrt((x * x).sum(_axes(x, axes), keepdim=keep_dims))


def _axes(x: Tensor, axes: Ints | None) -> Ints:
    return tuple(range(x.ndim)) if axes is None else tuple(axis % x.ndim for axis in axes)
