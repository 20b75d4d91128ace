"""An observed graph with quantisation simulated in float, so that many plans are tried without converting each.

Every observer becomes the rounding that its range implies: the same integers as the converted graph has, in one op
instead of a quantize / dequantize pair, and with weights rounded once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from export.quantization.observer import set_estimator
from export.quantization.ops import int8_ops, is_observer, leave_in_float
from export.quantization.parameters import parameter_name, read_parameter, replace_parameter
from export.quantization.plan import HISTOGRAM

_RESHAPES = frozenset({"reshape", "view", "expand", "unflatten"})  # they name the batch of the example
BATCH_SIZE = 8


class _Round(nn.Module):
    """Float in, the nearest of 256 levels out."""

    def __init__(self, scale: float, zero_point: int, low: int, high: int) -> None:
        super().__init__()
        self.arguments = scale, zero_point, low, high

    def forward(self, values: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(values, *self.arguments)


class _Rounded(nn.Module):
    """A weight as it is once rounded."""

    values: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values)

    def forward(self, _weight: Tensor) -> Tensor:
        return self.values


def rounding(observed: GraphModule, estimator: str) -> dict[str, nn.Module]:
    """What takes the place of each observer, by its name in the graph."""
    set_estimator(observed, estimator)
    modules: dict[str, nn.Module] = {}
    for node in observed.graph.nodes:
        if not is_observer(node):
            continue
        observer: Any = observed.get_submodule(str(node.target))  # torchao ships no types
        scales, zero_points = observer.calculate_qparams()
        low, high = observer.quant_min, observer.quant_max
        weight = parameter_name(node.args[0])
        if weight is None:
            modules[str(node.target)] = _Round(float(scales), int(zero_points), low, high)
            continue
        values = read_parameter(observed, weight)
        if scales.numel() == 1:
            rounded = torch.fake_quantize_per_tensor_affine(values, float(scales), int(zero_points), low, high)
        else:
            rounded = torch.fake_quantize_per_channel_affine(values, scales, zero_points.int(), 0, low, high)
        modules[str(node.target)] = _Rounded(rounded)
    return modules


def rounding_of_weights(observed: GraphModule) -> dict[str, nn.Module]:
    """As `rounding`, with activations left as they are; how their ranges were read does not matter then."""
    modules = rounding(observed, HISTOGRAM)
    return {name: module if isinstance(module, _Rounded) else nn.Identity() for name, module in modules.items()}


def simulate(
    observed: GraphModule,
    rounding_modules: Mapping[str, nn.Module],
    float_ops: Collection[str],
    biases: Mapping[str, Tensor] | None = None,
) -> GraphModule:
    """Normalised images -> trunk features as int8 would give them, with `float_ops` in float and these biases."""
    simulated = leave_in_float(observed, float_ops)
    for node in simulated.graph.nodes:
        if is_observer(node):
            simulated.add_module(str(node.target), rounding_modules[str(node.target)])
    for name, bias in (biases or {}).items():
        replace_parameter(simulated, name, bias)
    return _without_in_place_ops(simulated)


def in_float(observed: GraphModule) -> GraphModule:
    """The graph as it was before it was observed, batch normalisations folded."""
    return _without_in_place_ops(leave_in_float(observed, int8_ops(observed)))


def batch_size(graph_module: GraphModule) -> int:
    """How many images a graph that was exported for one can take at once."""
    names = {str(node.target).split(".")[1] for node in graph_module.graph.nodes if "aten." in str(node.target)}
    return 1 if names & _RESHAPES else BATCH_SIZE


def _without_in_place_ops(graph_module: GraphModule) -> GraphModule:
    """Values that are kept, to be compared or to go on from, must not be overwritten by the op behind them."""
    for node in graph_module.graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable:
            packet, overload = str(node.target).removeprefix("aten.").split(".")
            node.target = getattr(getattr(torch.ops.aten, packet.removesuffix("_")), overload)
    graph_module.recompile()
    return graph_module
