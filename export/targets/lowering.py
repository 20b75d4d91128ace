"""The quantised graph in the forms that converters take: the same integers, other places for quantize / dequantize."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import cast

import torch
import torchao.quantization.pt2e  # noqa: F401 (registers torch.ops.quantized_decomposed)
from torch import Tensor
from torch.fx import GraphModule, Node

_qd = torch.ops.quantized_decomposed
QUANTIZE = _qd.quantize_per_tensor.default
DEQUANTIZE = _qd.dequantize_per_tensor.default
_QUANTIZE_OF = {
    DEQUANTIZE: QUANTIZE,
    _qd.dequantize_per_channel.default: _qd.quantize_per_channel.default,
}
_PAD = torch.ops.aten.pad.default
_CAT = torch.ops.aten.cat.default


def pad_between_pair_and_convolution(trunk: GraphModule) -> GraphModule:
    """A copy in which a convolution reads its zero padding, and the padding reads a `dequantize`.

    PyTorch has no asymmetric padding in a convolution, so "same" padding is an op of its own, quantised as one. Behind
    the pair, converters join it to the convolution. Nothing changes: a zero is an integer's zero in every range.
    """
    moved = copy.deepcopy(trunk)
    for pad in _zero_paddings(moved):
        quantize = _only_user(pad, QUANTIZE)
        dequantize = quantize and _only_user(quantize, DEQUANTIZE)
        if quantize is None or dequantize is None:
            continue
        pad.replace_input_with(pad.all_input_nodes[0], _pair_of(pad.all_input_nodes[0], quantize, dequantize, pad))
        dequantize.replace_all_uses_with(pad)
        moved.graph.erase_node(dequantize)
        moved.graph.erase_node(quantize)
    moved.recompile()
    return moved


def _zero_paddings(graph_module: GraphModule) -> list[Node]:
    paddings = [node for node in graph_module.graph.nodes if node.target == _PAD]
    return [node for node in paddings if node.args[2:] in {(), ("constant",), ("constant", 0.0), ("constant", None)}]


def _only_user(node: Node, target: object) -> Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target == target else None


def _pair_of(source: Node, quantize: Node, dequantize: Node, before: Node) -> Node:
    """`source` through the pair's scale; itself, where it comes from a pair of that scale already."""
    if source.target == DEQUANTIZE and source.args[1:] == dequantize.args[1:]:
        return source
    with before.graph.inserting_before(before):
        integers = before.graph.call_function(QUANTIZE, (source, *quantize.args[1:]))
        return before.graph.call_function(DEQUANTIZE, (integers, *dequantize.args[1:]))


def with_concatenated_padding(trunk: GraphModule) -> GraphModule:
    """A copy that joins zeros on, in the scale of what they pad, where it had an op for padding.

    litert-torch makes convolutions channel-last, and concatenations too, but leaves padding as it is, between two
    transpositions.
    """
    joined = copy.deepcopy(trunk)
    for pad in _zero_paddings(joined):
        value = pad.all_input_nodes[0]
        if value.target != DEQUANTIZE:  # a float op's
            continue
        left, right, top, bottom = cast(list[int], pad.args[1])
        padded = pad.meta["val"].shape
        shape = [*padded[:2], padded[2] - top - bottom, padded[3] - left - right]
        pair = value
        for axis, before, after in ((2, top, bottom), (3, left, right)):
            parts = [
                *_zeros(joined, pad, pair, shape, axis, before),
                value,
                *_zeros(joined, pad, pair, shape, axis, after),
            ]
            with joined.graph.inserting_before(pad):
                value = joined.graph.call_function(_CAT, (parts, axis))
            shape[axis] = padded[axis]
        pad.replace_all_uses_with(value)
        joined.graph.erase_node(pad)
    joined.recompile()
    return joined


def _zeros(
    graph_module: GraphModule, pad: Node, pair: Node, shape: list[int], axis: int, size_px: int
) -> tuple[Node, ...]:
    """A border of zeros before `pad`, through a pair of `pair`'s scale; nothing where it is 0 px wide."""
    if not size_px:
        return ()
    name = f"{pad.name}_zeros_{axis}_{size_px}"
    graph_module.register_buffer(name, torch.zeros(*shape[:axis], size_px, *shape[axis + 1 :]))
    with graph_module.graph.inserting_before(pad):
        integers = graph_module.graph.call_function(QUANTIZE, (graph_module.graph.get_attr(name), *pair.args[1:]))
        return (graph_module.graph.call_function(DEQUANTIZE, (integers, *pair.args[1:])),)


def with_float_constants(trunk: GraphModule) -> GraphModule:
    """A copy that holds its weights in float and quantises them in the graph, to the integers they were.

    The same rounding twice: an integer times its scale, divided by that scale, is within half a step of the integer.
    """
    unfolded = copy.deepcopy(trunk)
    for node in [node for node in unfolded.graph.nodes if node.target in _QUANTIZE_OF]:
        stored = node.all_input_nodes[0]
        if stored.op != "get_attr":
            continue
        name = f"float_{node.name}"
        unfolded.register_buffer(name, _constant(unfolded, node))
        with unfolded.graph.inserting_before(node):
            values = unfolded.graph.get_attr(name)
            node.update_arg(
                0, unfolded.graph.call_function(_QUANTIZE_OF[node.target], (values, *node.args[1:]), dict(node.kwargs))
            )
    unfolded.graph.eliminate_dead_code(is_impure_node=lambda node: node.op in {"placeholder", "output"})
    unfolded.recompile()
    return unfolded


def _constant(graph_module: GraphModule, dequantize: Node) -> Tensor:
    """What a `dequantize` of constants gives."""
    arguments = [
        operator.attrgetter(str(argument.target))(graph_module) if isinstance(argument, Node) else argument
        for argument in dequantize.args
    ]
    return cast(Callable[..., Tensor], dequantize.target)(*arguments)
