"""The quantised trunk on PyTorch's own int8 kernels (oneDNN or QNNPACK), so that TorchScript runs it fast.

`convert_pt2e` leaves `quantize` / `dequantize` pairs around float ops. Here each convolution, linear and residual add
between such a pair becomes one quantised op; every other op keeps its pair and computes in float. A ReLU or ReLU6
behind a convolution needs no op: its output range starts at 0 and ends below 6, and int8 saturates there.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.ao.nn import quantized as nnq
from torch.fx import GraphModule, Node

from export.quantization.ops import CLAMPS

_qd = torch.ops.quantized_decomposed
_aten = torch.ops.aten
_QUANTIZE = _qd.quantize_per_tensor.default
_DEQUANTIZE = _qd.dequantize_per_tensor.default
_DEQUANTIZE_WEIGHT = _qd.dequantize_per_channel.default
_ADDS = frozenset({_aten.add.Tensor, _aten.add_.Tensor})
ENGINE_NOTE = "on x86 set torch.backends.quantized.engine to 'onednn' with AVX512-VNNI, else 'qnnpack': others saturate"
_SIGNED_TO_UNSIGNED = 128  # PyTorch's kernels take unsigned activations: the same scale, the zero point moved


def lower_to_int8_kernels(trunk: GraphModule) -> GraphModule:
    """A copy of a `quantize_trunk` graph whose convolutions, linears and adds run in int8."""
    lowered = copy.deepcopy(trunk)
    for node in list(lowered.graph.nodes):
        if node.target == _aten.conv2d.default:
            _replace_matmul(lowered, node, _conv2d)
        elif node.target == _aten.linear.default:
            _replace_matmul(lowered, node, _linear)
        elif node.target in _ADDS:
            _replace_add(lowered, node)
    for node in list(lowered.graph.nodes):
        _use_quantized_tensors(lowered, node)
    lowered.graph.eliminate_dead_code(is_impure_node=lambda node: node.op in {"placeholder", "output"})
    lowered.delete_all_unused_submodules()
    lowered.recompile()
    return lowered.eval()


def _output_quantize(node: Node) -> Any:
    """The `quantize` that is all there is behind a node, a ReLU or ReLU6 between them passed over; or None."""
    while len(node.users) == 1:
        node = next(iter(node.users))
        if node.target == _QUANTIZE:
            return node
        if node.target not in CLAMPS:
            return None
    return None


def _dequantized(argument: Any) -> Node | None:
    """The int8 value behind an argument that is a `dequantize`."""
    is_dequantize = isinstance(argument, Node) and argument.target == _DEQUANTIZE
    return argument.args[0] if is_dequantize and argument.args[0].op != "get_attr" else None


def _replace_matmul(
    graph_module: GraphModule, node: Node, build: Callable[[tuple[Any, ...], Tensor, Tensor | None], Any]
) -> None:
    arguments: Any = node.args
    source, weight, output = _dequantized(arguments[0]), arguments[1], _output_quantize(node)
    if source is None or output is None or weight.target != _DEQUANTIZE_WEIGHT:
        return
    values, scales, zero_points = (operator.attrgetter(arg.target)(graph_module) for arg in weight.args[:3])
    axis = weight.args[3]
    packed = torch._make_per_channel_quantized_tensor(values, scales.double(), zero_points.long(), axis)
    has_bias = len(arguments) > 2 and arguments[2] is not None
    bias = operator.attrgetter(arguments[2].target)(graph_module).detach() if has_bias else None
    module = build(arguments, packed, bias)
    module.scale, module.zero_point = output.args[1], output.args[2] + _SIGNED_TO_UNSIGNED
    name = f"int8_{node.name}"
    graph_module.add_module(name, module)
    with graph_module.graph.inserting_before(output):
        output.replace_all_uses_with(graph_module.graph.call_module(name, (source,)))
    graph_module.graph.erase_node(output)


def _conv2d(args: tuple[Any, ...], weight: Tensor, bias: Tensor | None) -> Any:
    defaults: tuple[Any, ...] = ([1, 1], [0, 0], [1, 1], 1)
    stride, padding, dilation, groups = (*args[3:], *defaults[len(args[3:]) :])
    module = nnq.Conv2d(
        weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), stride, padding, dilation, groups
    )
    module.set_weight_bias(weight, bias)
    return module


def _linear(_args: tuple[Any, ...], weight: Tensor, bias: Tensor | None) -> Any:
    module = nnq.Linear(weight.shape[1], weight.shape[0])
    module.set_weight_bias(weight, bias)
    return module


def _replace_add(graph_module: GraphModule, node: Node) -> None:
    left, right, output = _dequantized(node.args[0]), _dequantized(node.args[1]), _output_quantize(node)
    if left is None or right is None or output is None:
        return
    with graph_module.graph.inserting_before(output):
        added = graph_module.graph.call_function(
            torch.ops.quantized.add, (left, right, output.args[1], output.args[2] + _SIGNED_TO_UNSIGNED)
        )
    output.replace_all_uses_with(added)
    graph_module.graph.erase_node(output)


def _use_quantized_tensors(graph_module: GraphModule, node: Node) -> None:
    """Swap the remaining decomposed pairs, which pass plain int8 around, for PyTorch's quantised tensors."""
    given: Any = node.args
    with graph_module.graph.inserting_before(node):
        if node.target == _QUANTIZE:
            arguments = (*given[:2], given[2] + _SIGNED_TO_UNSIGNED, torch.quint8)
            new = graph_module.graph.call_function(torch.quantize_per_tensor, arguments)
        elif node.target == _DEQUANTIZE and given[0].op == "get_attr":
            new = _float_constant(graph_module, node)
        elif node.target == _DEQUANTIZE:
            new = graph_module.graph.call_method("dequantize", (node.args[0],))
        else:
            return
    node.replace_all_uses_with(new)
    graph_module.graph.erase_node(node)


def _float_constant(graph_module: GraphModule, node: Node) -> Node:
    """A constant that was stored as plain int8 (ViT's position embedding), as the float32 it stands for."""
    given: Any = node.args
    stored, scale, zero_point = given[:3]
    values = operator.attrgetter(stored.target)(graph_module)
    name = f"float_{node.name}"
    graph_module.register_buffer(name, (values.float() - zero_point) * scale)
    return graph_module.graph.get_attr(name)
