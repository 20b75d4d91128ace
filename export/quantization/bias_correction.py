"""Empirical bias correction: what quantisation shifts an output channel by, on average, is added to the op's bias.

The quantised and the float graph run side by side, node by node over all views, and each bias is corrected before
anything behind it runs: a shift is thus corrected where it arises, and not once more by every layer behind it.

Source: Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019, appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from export.quantization.ops import int8_ops
from export.quantization.parameters import parameter_name, read_parameter

_CONV2D, _LINEAR = torch.ops.aten.conv2d.default, torch.ops.aten.linear.default


class _Stepper(Interpreter):
    """Runs a graph a node at a time on one batch; a value is dropped after its last use."""

    def __init__(self, graph_module: GraphModule, batch: Tensor) -> None:
        super().__init__(graph_module)
        self.args_iter = iter([batch])
        self.env: dict[Node, Any] = {}

    def step(self, node: Node) -> Any:
        self.env[node] = self.run_node(node)
        for used in self.user_to_last_uses.get(node, []):
            if used is not node:
                del self.env[used]
        return self.env[node]


def corrected_biases(simulated: GraphModule, in_float: GraphModule, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """New values, by parameter name, for the bias of every int8 convolution and Linear that has one."""
    quantized = [_Stepper(simulated, batch) for batch in batches]
    reference = [_Stepper(in_float, batch) for batch in batches]
    float_nodes = {node.name: node for node in in_float.graph.nodes}
    is_int8 = frozenset(int8_ops(simulated))
    biases: dict[str, Tensor] = {}
    with torch.inference_mode():
        for node in simulated.graph.nodes:
            outputs = [stepper.step(node) for stepper in quantized]
            twin = float_nodes.get(node.name)
            expected = [stepper.step(twin) for stepper in reference] if twin is not None else []
            bias = _bias(node)
            if bias is None or node.name not in is_int8:
                continue
            shift = _mean_shift(expected, outputs, channel_axis=1 if node.target == _CONV2D else -1)
            biases[bias] = read_parameter(simulated, bias) + shift
            for stepper, output in zip(quantized, outputs, strict=True):
                stepper.env[node] = output + (shift[:, None, None] if node.target == _CONV2D else shift)
    return {name: values.clone() for name, values in biases.items()}


def _bias(node: Node) -> str | None:
    if node.target not in {_CONV2D, _LINEAR} or len(node.args) < 3:
        return None
    return parameter_name(node.args[2])


def _mean_shift(expected: list[Tensor], outputs: list[Tensor], channel_axis: int) -> Tensor:
    """(C,) mean of float minus quantised, over all batches of one size and all places."""
    shifts = [(left - right).movedim(channel_axis, 0).flatten(1) for left, right in zip(expected, outputs, strict=True)]
    return torch.cat(shifts, dim=1).mean(dim=1)
