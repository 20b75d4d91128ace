"""Quantised forms: integers to floats and back, half to even, as coremltools' own value inference rounds.

Source: coremltools/converters/mil/mil/ops/defs (iOS16/constexpr_ops, iOS17/quantization_ops, iOS18/compression).
"""

from __future__ import annotations

import torch
from torch import Tensor

_OUTPUTS = {"int8": (torch.int8, -128, 127), "uint8": (torch.uint8, 0, 255)}


def quantize(
    input: Tensor, scale: Tensor, output_dtype: str, zero_point: Tensor | None = None, axis: int | None = None
) -> Tensor:
    """clip(round(input / scale) + zero_point); scale and zero point are scalars, or vectors along `axis`."""
    if output_dtype not in _OUTPUTS:
        raise ValueError(f"quantize to '{output_dtype}'; evaluated are {', '.join(_OUTPUTS)}")
    dtype, low, high = _OUTPUTS[output_dtype]
    rounded = torch.round(input / _along(scale, input, axis))
    if zero_point is not None:
        rounded = rounded + _along(zero_point, input, axis).float()
    return rounded.clamp(low, high).to(dtype)


def dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: int | None = None) -> Tensor:
    """scale * (input - zero_point)."""
    shifted = input.float()
    if zero_point is not None:
        shifted = shifted - _along(zero_point, input, axis).float()
    return shifted * _along(scale, input, axis)


def constexpr_affine_dequantize(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: int) -> Tensor:
    """`dequantize` of a weight, when the model loads."""
    return dequantize(quantized_data, scale, zero_point, axis)


def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """scale * (data - offset), where one scale is for a block of the data in each dimension."""
    shifted = data.float()
    if offset is not None:
        shifted = shifted - _blocks(offset.float(), data)
    return shifted * _blocks(scale, data)


def _along(parameter: Tensor, data: Tensor, axis: int | None) -> Tensor:
    if parameter.ndim == 0:
        return parameter
    if axis is None:
        raise ValueError("a vector of scales needs an axis")
    shape = [1] * data.ndim
    shape[axis] = -1
    return parameter.reshape(shape)


def _blocks(parameter: Tensor, data: Tensor) -> Tensor:
    for dim, (blocks, size) in enumerate(zip(parameter.shape, data.shape, strict=True)):
        parameter = parameter.repeat_interleave(size // blocks, dim)
    return parameter
