"""Element-wise operations, each as coremltools' operation reference defines it; parameter names are MIL's.

Source: coremltools/converters/mil/mil/ops/defs (elementwise_binary, elementwise_unary, activation), iOS 15 to 18.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor

_CASTS = {
    "fp16": torch.float32,  # the evaluator holds float16 values as float32, and rounds what is declared float16
    "fp32": torch.float32,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
    "bool": torch.bool,
}


def add(x: Tensor, y: Tensor) -> Tensor:
    return x + y


def sub(x: Tensor, y: Tensor) -> Tensor:
    return x - y


def mul(x: Tensor, y: Tensor) -> Tensor:
    return x * y


def real_div(x: Tensor, y: Tensor) -> Tensor:
    return x / y


def maximum(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x, y)


def minimum(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(x, y)


def pow_(x: Tensor, y: Tensor) -> Tensor:
    return torch.pow(x, y)


def sqrt(x: Tensor) -> Tensor:
    return torch.sqrt(x)


def rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    return torch.rsqrt(x + epsilon)


def inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    """1 / (x + epsilon): the epsilon is Core ML's own."""
    return torch.reciprocal(x + epsilon)


def square(x: Tensor) -> Tensor:
    return x * x


def clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    return x.clamp(alpha, beta)


def cast(x: Tensor, dtype: str) -> Tensor:
    """To an integer: towards zero. To bool: whether it is not zero."""
    if dtype not in _CASTS:
        raise ValueError(f"cast to '{dtype}'; evaluated are {', '.join(_CASTS)}")
    return x.to(_CASTS[dtype])


def relu(x: Tensor) -> Tensor:
    return torch.relu(x)


def relu6(x: Tensor) -> Tensor:
    return x.clamp(0, 6)


def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    """x where x >= alpha, else 0."""
    return torch.where(x < alpha, torch.zeros_like(x), x)


def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def sigmoid_hard(x: Tensor, alpha: float, beta: float) -> Tensor:
    return (alpha * x + beta).clamp(0, 1)


def silu(x: Tensor) -> Tensor:
    return F.silu(x)


def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    if mode not in ("EXACT", "TANH_APPROXIMATION"):
        raise ValueError(f"gelu of mode '{mode}'")
    return F.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)
