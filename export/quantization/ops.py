"""The ops of an observed graph, and leaving some of them in float.

An op that is left in float takes its weights and inputs as they are. A tensor stays in float where neither the op that
makes it nor the one that takes it is int8: an int8 op reads and writes integers whatever its neighbours do.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator

import torch
from torch.fx import Graph, GraphModule, Node
from torchao.quantization.pt2e.quantizer import SharedQuantizationSpec

_aten = torch.ops.aten
CLAMPS = frozenset({_aten.hardtanh.default, _aten.hardtanh_.default, _aten.relu.default, _aten.relu_.default})
_OBSERVER = "activation_post_process"


def is_observer(node: Node) -> bool:
    return node.op == "call_module" and str(node.target).startswith(_OBSERVER)


def int8_ops(observed: GraphModule) -> tuple[str, ...]:
    """Names of the ops that the quantizer makes int8, in the order they run: what `float_ops` may name."""
    return tuple(node.name for node in observed.graph.nodes if _is_own_op(node))


def leave_in_float(observed: GraphModule, float_ops: Collection[str]) -> GraphModule:
    """The same graph without the observers that `float_ops` do not need; parameters and observers are shared.

    Raises:
        ValueError: a name that is no int8 op of this graph.
    """
    unknown = set(float_ops) - set(int8_ops(observed))
    if unknown:
        raise ValueError(f"{sorted(unknown)[0]} is no int8 op of this graph")
    graph = copy.deepcopy(observed.graph)
    for observer, user in list(_float_edges(graph, frozenset(float_ops))):
        user.replace_input_with(observer, observer.all_input_nodes[0])
    for node in reversed(list(graph.nodes)):
        if is_observer(node) and not node.users:
            graph.erase_node(node)
    without = GraphModule(observed, graph)
    without.meta.update(observed.meta)  # by which `convert_pt2e` knows an observed graph
    return without


def _float_edges(graph: Graph, float_ops: frozenset[str]) -> Iterator[tuple[Node, Node]]:
    """(observer, user) where the user takes what the observer is fed with."""
    for observer in graph.nodes:
        if is_observer(observer):
            (source,) = observer.all_input_nodes
            for user in observer.users:
                if not _is_int8(source, float_ops) and not _is_int8(user, float_ops):
                    yield observer, user


def _is_int8(node: Node, float_ops: frozenset[str]) -> bool:
    if _is_own_op(node):
        return node.name not in float_ops
    if _follows_its_input(node):
        return _is_int8(_input(node), float_ops)
    return False


def _is_own_op(node: Node) -> bool:
    annotation = node.meta.get("quantization_annotation")
    return annotation is not None and bool(annotation.input_qspec_map) and not _follows_its_input(node)


def _follows_its_input(node: Node) -> bool:
    """A clamp that is observed in its op's stead, or an op that only moves values and shares its input's range."""
    annotation = node.meta.get("quantization_annotation")
    if annotation is None or len(node.all_input_nodes) != 1:
        return False
    return node.target in CLAMPS or isinstance(annotation.output_qspec, SharedQuantizationSpec)


def _input(node: Node) -> Node:
    """The node that makes what this one takes, an observer between them passed over."""
    (source,) = node.all_input_nodes
    return source.all_input_nodes[0] if is_observer(source) else source
