"""Equalisation: outlying channels of an activation are made small, and the weights that read them large.

A scale for each channel moves from what makes a tensor to what reads it, so that one range for all channels fits each
of them better, and in float nothing changes. It is exact

- from a LayerNorm into the Linear layers behind it (SmoothQuant), and
- from a convolution or Linear into the next one, where only a ReLU or nothing stands between and nobody else reads it
  (cross-layer equalisation).

ReLU6, SiLU, GELU and Hardswish are not scale-free: across these nothing moves.

Sources: Xiao et al., "SmoothQuant: accurate and efficient post-training quantization for large language models", 2023,
equation 4 with alpha = 0.5; Nagel et al., "Data-free quantization through weight equalization and bias correction",
2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from export.quantization.ops import is_observer
from export.quantization.parameters import parameter_name, read_parameter, replace_parameter
from export.quantization.simulate import in_float

ALPHA = 0.5
MAX_SCALE = 100.0  # either way: a channel that calibration hardly saw must not take all of the weights' range

_aten = torch.ops.aten
_LAYER_NORM, _CONV2D, _LINEAR = _aten.layer_norm.default, _aten.conv2d.default, _aten.linear.default
_RELUS = frozenset({_aten.relu.default, _aten.relu_.default})


@dataclass(frozen=True)
class Pair:
    """Node names: `source` makes a tensor, observed as `between`, that only `readers` take along `channel_axis`."""

    source: str
    between: str
    readers: tuple[str, ...]
    channel_axis: int  # maps are (N, C, H, W), tokens (..., C)


def equalise(observed: GraphModule, batches: Sequence[Tensor]) -> tuple[Pair, ...]:
    """Change the parameters of a graph that has not observed yet; returns where."""
    pairs = tuple(_pairs(observed))
    largest = _largest(in_float(observed), {pair.between: pair.channel_axis for pair in pairs}, batches)
    nodes = {node.name: node for node in observed.graph.nodes}
    for pair in pairs:
        readers = [nodes[name] for name in pair.readers]
        weights = torch.stack([_input_largest(observed, reader) for reader in readers]).amax(dim=0)
        scales = _scales(largest[pair.between], weights)
        _divide_output(observed, nodes[pair.source], scales)
        for reader in readers:
            _multiply_input(observed, reader, scales)
    return pairs


def _scales(activations: Tensor, weights: Tensor) -> Tensor:
    """(C,) what each channel is divided by, from the largest magnitudes (C,) of either side; 1 where one is zero."""
    scales = (activations**ALPHA / weights.clamp(min=1e-12) ** (1 - ALPHA)).clamp(1 / MAX_SCALE, MAX_SCALE)
    return torch.where((activations > 0) & (weights > 0), scales, torch.ones_like(scales))


def _pairs(graph_module: GraphModule) -> Iterator[Pair]:
    for source in graph_module.graph.nodes:
        if source.target not in {_LAYER_NORM, _CONV2D, _LINEAR} or _affine(source)[0] is None:
            continue
        between, users = source, list(source.users)
        if source.target != _LAYER_NORM and len(users) == 1 and users[0].target in _RELUS:
            between, users = users[0], list(users[0].users)
        readers = [reader for user in users for reader in (user.users if is_observer(user) else [user])]
        may_share = source.target == _LAYER_NORM
        if (
            readers
            and (may_share or len(readers) == 1)
            and all(_reads_channels_of(reader, source) for reader in readers)
        ):
            channel_axis = 1 if source.target == _CONV2D else -1
            yield Pair(source.name, between.name, tuple(reader.name for reader in readers), channel_axis)


def _affine(node: Node) -> tuple[str | None, str | None]:
    """Names of weight and bias; a LayerNorm's arguments have its shape before them."""
    first = 2 if node.target == _LAYER_NORM else 1
    weight, bias = (*node.args[first : first + 2], None, None)[:2]
    return parameter_name(weight), parameter_name(bias)


def _reads_channels_of(reader: Node, source: Node) -> bool:
    if parameter_name(reader.args[1] if len(reader.args) > 1 else None) is None:
        return False
    if source.target == _CONV2D:
        return reader.target == _CONV2D and (_groups(reader) == 1 or _is_depthwise(reader))
    return reader.target == _LINEAR


def _groups(conv2d: Node) -> int:
    arguments: tuple[Any, ...] = conv2d.args
    return int(arguments[6]) if len(arguments) > 6 else 1


def _is_depthwise(conv2d: Node) -> bool:
    out_channels, in_channels = conv2d.meta["val"].shape[1], _groups(conv2d)
    return bool(in_channels > 1 and out_channels == in_channels)


def _largest(graph_module: GraphModule, axes: dict[str, int], batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """The largest magnitude of each channel (C,) that these nodes give; `axes` says which axis is the channels'."""
    largest: dict[str, Tensor] = {}

    class Watch(Interpreter):
        def run_node(self, n: Node) -> Any:
            result = super().run_node(n)
            if n.name in axes:
                seen = _of_channels(result.abs(), axes[n.name])
                largest[n.name] = torch.maximum(largest[n.name], seen) if n.name in largest else seen
            return result

    with torch.inference_mode():
        for batch in batches:
            Watch(graph_module).run(batch)
    return {name: values.clone() for name, values in largest.items()}


def _of_channels(magnitudes: Tensor, axis: int) -> Tensor:
    return magnitudes.movedim(axis, 0).flatten(1).amax(dim=1)


def _input_axis(reader: Node) -> int:
    """Of a weight (out, in, ...): a depthwise convolution's channels are those it puts out."""
    return 0 if reader.target == _CONV2D and _is_depthwise(reader) else 1


def _input_largest(graph_module: GraphModule, reader: Node) -> Tensor:
    name, _ = _affine(reader)
    assert name is not None
    return _of_channels(read_parameter(graph_module, name).abs(), _input_axis(reader))


def _divide_output(graph_module: GraphModule, source: Node, scales: Tensor) -> None:
    for name in _affine(source):
        if name is not None:
            values = read_parameter(graph_module, name)
            replace_parameter(graph_module, name, values / _along(scales, values, 0))


def _multiply_input(graph_module: GraphModule, reader: Node, scales: Tensor) -> None:
    name, _ = _affine(reader)
    assert name is not None
    values = read_parameter(graph_module, name)
    replace_parameter(graph_module, name, values * _along(scales, values, _input_axis(reader)))


def _along(scales: Tensor, values: Tensor, axis: int) -> Tensor:
    """`scales` (C,) shaped so that it multiplies that axis of `values`."""
    return scales.reshape([-1 if index == axis else 1 for index in range(values.ndim)])
