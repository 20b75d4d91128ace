"""A quantised ONNX graph in the form that ONNX Runtime runs fastest, with the integers it came with.

`torch.onnx.export` writes signed activations and float32 biases. ONNX Runtime then fuses fewer convolutions and turns
each to channel-last and back: twice the time (docs/decisions/0010-one-quantised-graph-for-every-target.md). Here
activations become unsigned, the same scale with integers and zero point moved by 128, and a convolution's bias becomes
int32, which the execution providers of phones ask for. A Linear's bias stays float32: the runtime quantises it. Weights
share no zero point, because ONNX Runtime's precise mode for x86 without VNNI cannot rewrite one that is shared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_SIGNED_TO_UNSIGNED = 128
_MAX_INT32 = 2**31 - 1

Constants = dict[str, NDArray[Any]]  # of whatever type the file has


def to_runtime_form(model: ModelProto) -> ModelProto:
    """The model itself, changed in place."""
    graph = model.graph
    constants: Constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    _use_unsigned_activations(graph, constants)
    _part_zero_points(graph, constants)
    _quantize_biases(graph, constants)
    _keep_float_weights(graph, constants)
    used = {name for node in graph.node for name in node.input}
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in constants.items() if name in used
    )
    del graph.value_info[:]  # it has the signed types; runtimes infer the new ones
    return model


def _use_unsigned_activations(graph: GraphProto, constants: Constants) -> None:
    """Every pair of one scale; weights have one for each channel, and stay signed."""
    for node in graph.node:
        if node.op_type in {QUANTIZE, DEQUANTIZE} and constants[node.input[1]].ndim == 0:
            node.input[2] = _unsigned(constants, node.input[2])
            if node.input[0] in constants:  # ViT's position embedding
                node.input[0] = _unsigned(constants, node.input[0])


def _unsigned(constants: Constants, name: str) -> str:
    signed = constants[name].astype(np.int16)
    constants[f"{name}.unsigned"] = (signed + np.int16(_SIGNED_TO_UNSIGNED)).astype(np.uint8)
    return f"{name}.unsigned"


def _part_zero_points(graph: GraphProto, constants: Constants) -> None:
    """A zero point for each weight, by a name of its own."""
    for node in graph.node:
        if node.op_type == DEQUANTIZE and constants[node.input[1]].ndim == 1:
            name = f"{node.output[0]}.zero_point"
            constants[name] = constants[node.input[2]]
            node.input[2] = name


def _quantize_biases(graph: GraphProto, constants: Constants) -> None:
    """int32, with the product of both scales for scale: what the int8 kernel adds up in."""
    producers = _producers(graph)
    for node in [node for node in graph.node if node.op_type == "Conv" and len(node.input) == 3]:
        weight, source = producers.get(node.input[1]), _before_padding(node, producers)
        if weight is None or source is None or {weight.op_type, source.op_type} != {DEQUANTIZE}:
            continue
        bias, input_scale = constants[node.input[2]].astype(np.float64), constants[source.input[1]]
        _leave_room_for_bias(weight, bias, float(input_scale), constants)
        scales = np.asarray(input_scale * constants[weight.input[1]], dtype=np.float32)
        name = f"{node.output[0]}.bias"
        constants[f"{name}.int32"], constants[f"{name}.scale"] = np.rint(bias / scales).astype(np.int32), scales
        _insert_before(node, graph, [f"{name}.int32", f"{name}.scale"], name, axis=0)
        node.input[2] = name


def _leave_room_for_bias(
    weight: NodeProto, bias: NDArray[np.float64], input_scale: float, constants: Constants
) -> None:
    """A channel that batch normalisation left with hardly any weights gets a scale at which its bias is an int32."""
    scales = constants[weight.input[1]].astype(np.float64)
    wider = np.maximum(scales, 2 * np.abs(bias) / (_MAX_INT32 * input_scale))
    if (wider == scales).all():
        return
    integers, name = constants[weight.input[0]], weight.output[0]
    ratios = (scales / wider).reshape(-1, *[1] * (integers.ndim - 1))
    constants[f"{name}.int8"] = np.rint(integers * ratios).astype(np.int8)
    constants[f"{name}.scale"] = wider.astype(np.float32)
    weight.input[0], weight.input[1] = f"{name}.int8", f"{name}.scale"


def _keep_float_weights(graph: GraphProto, constants: Constants) -> None:
    """Give each convolution left in float a `DequantizeLinear` of its own, with the scale repeated for each channel.

    ONNX Runtime rounds the float weights of a convolution behind a `DequantizeLinear` of one scale to int8, with one
    scale for all of them (its WeightBiasQuantization). It passes over one that has a scale per channel.
    """
    producers = _producers(graph)
    shapes = {info.name: [axis.dim_value for axis in info.type.tensor_type.shape.dim] for info in graph.value_info}
    for node in [node for node in graph.node if node.op_type == "Conv" and node.input[1] in constants]:
        source = _before_padding(node, producers)
        if source is None or source.op_type != DEQUANTIZE:
            continue
        name = f"{node.output[0]}.input"
        reader = node if node.input[0] == source.output[0] else producers[node.input[0]]
        for index, part in ((1, f"{name}.scale"), (2, f"{name}.zero_point")):
            constants[part] = np.repeat(constants[source.input[index]], shapes[source.output[0]][1])
        _insert_before(reader, graph, [source.input[0], f"{name}.scale", f"{name}.zero_point"], name, axis=1)
        reader.input[0] = name


def _producers(graph: GraphProto) -> dict[str, NodeProto]:
    return {output: node for node in graph.node for output in node.output}


def _before_padding(node: NodeProto, producers: dict[str, NodeProto]) -> NodeProto | None:
    """What makes a node's first input, zero padding passed over."""
    source = producers.get(node.input[0])
    return producers.get(source.input[0]) if source is not None and source.op_type == "Pad" else source


def _insert_before(node: NodeProto, graph: GraphProto, inputs: list[str], output: str, axis: int) -> None:
    dequantize = helper.make_node(DEQUANTIZE, inputs, [output], name=output, axis=axis)
    graph.node.insert(list(graph.node).index(node), dequantize)
