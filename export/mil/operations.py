"""The operations that are evaluated: MIL's name -> the function that defines it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from export.mil import ops_elementwise as elementwise
from export.mil import ops_linear as linear
from export.mil import ops_quantized as quantized
from export.mil import ops_shape as shape
from export.mil import ops_window as window

Function = Callable[..., Tensor | tuple[Tensor, ...]]

OPERATIONS: dict[str, Function] = {
    "add": elementwise.add,
    "cast": elementwise.cast,
    "clip": elementwise.clip,
    "gelu": elementwise.gelu,
    "inverse": elementwise.inverse,
    "maximum": elementwise.maximum,
    "minimum": elementwise.minimum,
    "mul": elementwise.mul,
    "pow": elementwise.pow_,
    "real_div": elementwise.real_div,
    "relu": elementwise.relu,
    "relu6": elementwise.relu6,
    "rsqrt": elementwise.rsqrt,
    "sigmoid": elementwise.sigmoid,
    "sigmoid_hard": elementwise.sigmoid_hard,
    "silu": elementwise.silu,
    "softmax": elementwise.softmax,
    "sqrt": elementwise.sqrt,
    "square": elementwise.square,
    "sub": elementwise.sub,
    "thresholded_relu": elementwise.thresholded_relu,
    "avg_pool": window.avg_pool,
    "conv": window.conv,
    "max_pool": window.max_pool,
    "pad": window.pad,
    "upsample_bilinear": window.upsample_bilinear,
    "batch_norm": linear.batch_norm,
    "layer_norm": linear.layer_norm,
    "linear": linear.linear,
    "matmul": linear.matmul,
    "reduce_l2_norm": linear.reduce_l2_norm,
    "reduce_mean": linear.reduce_mean,
    "reduce_sum": linear.reduce_sum,
    "concat": shape.concat,
    "expand_dims": shape.expand_dims,
    "identity": shape.identity,
    "reshape": shape.reshape,
    "slice_by_index": shape.slice_by_index,
    "split": shape.split,
    "squeeze": shape.squeeze,
    "tile": shape.tile,
    "transpose": shape.transpose,
    "constexpr_affine_dequantize": quantized.constexpr_affine_dequantize,
    "constexpr_blockwise_shift_scale": quantized.constexpr_blockwise_shift_scale,
    "dequantize": quantized.dequantize,
    "quantize": quantized.quantize,
}
