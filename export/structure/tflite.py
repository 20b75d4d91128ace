"""What LiteRT's XNNPACK delegate takes of a model: read from the interpreter, which has applied the delegate.

The delegate adds a node for each partition and leaves the nodes it replaced in the list. What is left to the plain
kernels is found by going back from the outputs, through a partition where one gives a tensor, else through its own op.
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from export.bundle.manifest import StructureCheck

DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class Node:
    """An op, or a partition, by the tensors it reads and gives."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def check_tflite(model_path: Path) -> tuple[StructureCheck, ...]:
    """The XNNPACK delegate as this computer's interpreter applied it."""
    interpreter = Interpreter(model_path=str(model_path), num_threads=1)
    interpreter.allocate_tensors()
    nodes = [
        Node(one["op_name"], tuple(map(int, one["inputs"])), tuple(map(int, one["outputs"])))
        for one in interpreter._get_ops_details()
    ]
    outputs = [int(one["index"]) for one in interpreter.get_output_details()]
    return (count_left(nodes, outputs),)


def count_left(nodes: Sequence[Node], outputs: Sequence[int]) -> StructureCheck:
    """The ops that stay outside the partitions; `outputs` are the tensors that the graph gives."""
    ops = [node for node in nodes if node.kind != DELEGATE]
    partitions = [node for node in nodes if node.kind == DELEGATE]
    producers = {tensor: node for group in (ops, partitions) for node in group for tensor in node.outputs}
    left: dict[int, Node] = {}  # by the first tensor it gives
    seen: set[int] = set()
    waiting = list(outputs)
    while waiting:
        tensor = waiting.pop()
        if tensor in seen or tensor not in producers:
            continue
        seen.add(tensor)
        node = producers[tensor]
        if node.kind != DELEGATE:
            left[node.outputs[0]] = node
        waiting += node.inputs
    return StructureCheck(
        backend="XNNPACK",
        evidence="measured",
        source=f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')} here",
        num_ops=len(ops),
        num_taken=len(ops) - len(left),
        num_partitions=len(partitions),
        left=dict(sorted(Counter(node.kind for node in left.values()).items())),
    )
