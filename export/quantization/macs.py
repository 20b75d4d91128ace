"""Multiply-accumulates of each op of a traced graph, counted from the shapes that were traced."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch.fx import GraphModule, Node

_aten = torch.ops.aten
_WEIGHTED = frozenset({_aten.conv2d.default, _aten.linear.default})
_PRODUCTS = frozenset({_aten.matmul.default, _aten.bmm.default})


def macs(graph_module: GraphModule) -> dict[str, int]:
    """Of one image, by node name: convolutions, Linear layers, matrix products and attention; nothing else has any."""
    counted = {node.name: _macs(node) for node in graph_module.graph.nodes}
    return {name: number for name, number in counted.items() if number}


def _macs(node: Node) -> int:
    if node.target in _WEIGHTED:  # every output value reads one row of the weight (out, ...)
        weight = _shape(node, 1)
        return int(node.meta["val"].numel() * weight[1:].numel())
    if node.target in _PRODUCTS:
        return int(node.meta["val"].numel() * _shape(node, 0)[-1])
    if node.target == _aten.scaled_dot_product_attention.default:  # queries (..., N, d), keys (..., M, d), values
        queries, keys, values = (_shape(node, index) for index in range(3))
        return int(queries[:-1].numel() * keys[-2] * (keys[-1] + values[-1]))
    return 0


def _shape(node: Node, index: int) -> torch.Size:
    argument = node.args[index]
    assert isinstance(argument, Node)
    while "val" not in argument.meta:  # an observer
        argument = argument.all_input_nodes[0]
    shape: torch.Size = argument.meta["val"].shape
    return shape


def int8_share(counted: dict[str, int], int8: Collection[str], float_macs: int) -> float:
    """Which part of all multiply-accumulates, `float_macs` outside the graph included, these ops make in int8."""
    total = sum(counted.values()) + float_macs
    return sum(counted.get(name, 0) for name in int8) / total if total else 0.0
