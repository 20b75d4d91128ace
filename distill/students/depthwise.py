"""Depthwise convolutions stay in float32 where a CPU trains in bfloat16.

oneDNN has no fast bfloat16 backward pass for those of 5 x 5 pixels or of stride 2: with them in float32 a step of
EfficientNet-Lite0 takes a fraction of the time, and loses no precision.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn


def keep_slow_depthwise_in_float32(trunk: nn.Module) -> int:
    """Wrap those layers, for CPU tensors under autocast alone; returns how many there are."""
    slow = [
        layer
        for layer in trunk.modules()
        if isinstance(layer, nn.Conv2d) and layer.groups > 1 and (layer.kernel_size[0] >= 5 or layer.stride[0] > 1)
    ]
    for layer in slow:
        layer.forward = functools.partial(_in_float32, type(layer).forward, layer)  # type: ignore[method-assign, arg-type]
    return len(slow)


def _in_float32(forward: Callable[[nn.Module, Tensor], Tensor], layer: nn.Module, maps: Tensor) -> Tensor:
    if maps.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return forward(layer, maps)
    with torch.autocast("cpu", enabled=False):
        return forward(layer, maps.float())
