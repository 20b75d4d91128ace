"""Fake quantisation of a trunk in training, so that the student learns to live with int8 weights and activations.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
2018. What is rounded is what the exporters round: the weights of every convolution and linear layer, int8 symmetric
with a scale per output channel, and their inputs, int8 affine with a scale per tensor. A batch norm that is folded into
a convolution multiplies each output channel, and its scale with it: the integers are the same before and after, so
nothing is folded in training. The gradient passes the rounding as if it were not there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.func import functional_call

from distill.losses.gather import world_size

ROUNDED = (nn.Conv2d, nn.Linear)
_MOMENTUM = 0.01  # of the ranges; a first batch sets them
_LEAST_RANGE = 1e-6


class QuantizationAware(nn.Module):
    """Ranges of the inputs of a trunk's layers, and the trunk as int8 would compute it."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self._layers = {name: layer for name, layer in trunk.named_modules() if isinstance(layer, ROUNDED)}
        self.inputs = nn.ModuleDict({name.replace(".", "/"): InputRange() for name in self._layers})

    def forward(self, trunk: nn.Module, images: Tensor) -> Tensor:
        """Normalised images (N, 3, S, S) -> the trunk's features with everything rounded."""
        weights = {f"{name}.weight": rounded_weight(layer.weight) for name, layer in self._layers.items()}
        hooks = [layer.register_forward_pre_hook(self._round_input_of(name)) for name, layer in self._layers.items()]
        try:
            features: Tensor = functional_call(trunk, weights, (images,))
        finally:
            for hook in hooks:
                hook.remove()
        return features

    def _round_input_of(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        observed = self.inputs[name.replace(".", "/")]
        return lambda _layer, given: (observed(given[0]), *given[1:])


class InputRange(nn.Module):
    """Rounds to 256 steps between a running minimum and maximum; 0 is one of the steps."""

    low: Tensor
    high: Tensor
    num_seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("num_seen", torch.zeros((), dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            self._observe(values.detach())
        scale = ((self.high - self.low) / 255.0).clamp(min=_LEAST_RANGE)
        zero_point = (-128 - self.low / scale).round().to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(values.float(), scale, zero_point, -128, 127).to(values.dtype)

    @torch.no_grad()
    def _observe(self, values: Tensor) -> None:
        ends = torch.stack([-values.amin(), values.amax()]).float().clamp(min=0.0)
        if world_size() > 1:
            dist.all_reduce(ends, dist.ReduceOp.MAX)
        share = 1.0 if int(self.num_seen) == 0 else _MOMENTUM
        self.low.lerp_(-ends[0], share)
        self.high.lerp_(ends[1], share)
        self.num_seen += 1


def rounded_weight(weight: Tensor) -> Tensor:
    """(O, ...) rounded to -127..127 times a scale for each output channel."""
    scale = (weight.detach().float().flatten(1).abs().amax(dim=1) / 127.0).clamp(min=_LEAST_RANGE)
    zero_points = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight.float(), scale, zero_points, 0, -127, 127).to(weight.dtype)
