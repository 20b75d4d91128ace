"""Convolution, pooling, padding and upsampling; parameter names are MIL's.

Source: coremltools/converters/mil/mil/ops/defs (conv, pool, image_resizing, tensor_operation), iOS 15 to 18.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor

Ints = tuple[int, ...]

_CONVS = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
_MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG_POOLS = {1: torch.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def conv(
    x: Tensor,
    weight: Tensor,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
    bias: Tensor | None = None,
) -> Tensor:
    """(N, C_in, *D) with weights (C_out, C_in / groups, *K) -> (N, C_out, *D_out)."""
    rank = x.ndim - 2
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    kernel = tuple((size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations, strict=True))
    before, after = padding(pad_type, pad, x.shape[2:], kernel, strides)
    if before != after:
        x, before = _pad(x, before, after, 0.0), (0,) * rank
    return _CONVS[rank](x, weight, bias, strides, before, dilations, groups)


def max_pool(
    x: Tensor,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints | None = None,
    pad: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Padding never wins: it counts as minus infinity."""
    rank = x.ndim - 2
    strides = strides or (1,) * rank
    before, after = padding(pad_type, pad, x.shape[2:], kernel_sizes, strides)
    if before != after:
        x, before = _pad(x, before, after, float("-inf")), (0,) * rank
    pooled: Tensor = _MAX_POOLS[rank](x, kernel_sizes, strides, before, ceil_mode=ceil_mode)
    return pooled


def avg_pool(
    x: Tensor,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints | None = None,
    pad: Ints | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    """Padding counts as zeros, unless it is excluded from the number that the sum is divided by."""
    rank = x.ndim - 2
    strides = strides or (1,) * rank
    before, after = padding(pad_type, pad, x.shape[2:], kernel_sizes, strides)
    pool = _AVG_POOLS[rank]
    if before == after:
        return pool(x, kernel_sizes, strides, before, ceil_mode, not exclude_padding_from_average)
    average = pool(_pad(x, before, after, 0.0), kernel_sizes, strides)
    if not exclude_padding_from_average:
        return average
    return average / pool(_pad(torch.ones_like(x), before, after, 0.0), kernel_sizes, strides)


def padding(pad_type: str, pad: Ints | None, sizes: Ints, kernel: Ints, strides: Ints) -> tuple[Ints, Ints]:
    """Numbers of elements to add before and after each spatial dimension.

    `same` makes the output ceil(size / stride) large, the odd element after; `same_lower` puts it before.
    """
    if pad_type == "valid":
        return (0,) * len(sizes), (0,) * len(sizes)
    if pad_type == "custom":
        pairs = pad or (0,) * (2 * len(sizes))
        return tuple(pairs[0::2]), tuple(pairs[1::2])
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"padding of type '{pad_type}'")
    totals = [
        max(0, stride * -(-size // stride) - size + width - stride)
        for size, width, stride in zip(sizes, kernel, strides, strict=True)
    ]
    smaller, larger = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (smaller, larger) if pad_type == "same" else (larger, smaller)


def pad(x: Tensor, pad: Ints, mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    """The last len(pad) / 2 dimensions, pairs of before and after in the order of the dimensions."""
    if mode != "constant":
        raise ValueError(f"pad of mode '{mode}'")
    return _pad(x, pad[0::2], pad[1::2], constant_val)


def _pad(x: Tensor, before: Ints, after: Ints, value: float) -> Tensor:
    """PyTorch wants the pairs from the last dimension backwards."""
    pairs = zip(reversed(before), reversed(after), strict=True)
    return F.pad(x, [size for pair in pairs for size in pair], value=value)


def upsample_bilinear(
    x: Tensor,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    """(N, C, H, W) -> (N, C, floor(H * factor), floor(W * factor))."""
    if half_pixel_centers is not None and half_pixel_centers == align_corners:
        raise ValueError("upsample_bilinear where half_pixel_centers equals align_corners")
    height, width = int(x.shape[-2] * scale_factor_height), int(x.shape[-1] * scale_factor_width)
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=align_corners)
