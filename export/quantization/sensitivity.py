"""How much each op loses in int8: measured, with that op alone quantised and everything else in float.

The op's inputs, weights and output are rounded as they will be. What runs before the op is the same for every op, so it
is run once, in float, and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from export.quantization.ops import int8_ops
from export.quantization.simulate import in_float, simulate

Describe = Callable[[Tensor], Tensor]  # trunk features -> descriptors (N, D)
OnOp = Callable[[int, int], None]  # ops done, number of all


class _Keep(Interpreter):
    """Keeps the value of every node by its name."""

    def __init__(self, graph_module: GraphModule) -> None:
        super().__init__(graph_module, garbage_collect_values=False)
        self.values: dict[str, Any] = {}

    def run_node(self, n: Node) -> Any:
        self.values[n.name] = super().run_node(n)
        return self.values[n.name]


@torch.inference_mode()
def sensitivities(
    observed: GraphModule,
    rounding_modules: Mapping[str, nn.Module],
    describe: Describe,
    batches: Sequence[Tensor],
    on_op: OnOp = lambda _done, _all: None,
) -> dict[str, float]:
    """Mean over the views of 1 - cosine to the float descriptor, by name of the op that alone is int8."""
    names = int8_ops(observed)
    alone = {name: simulate(observed, rounding_modules, [other for other in names if other != name]) for name in names}
    lost = dict.fromkeys(names, 0.0)
    float_graph = in_float(observed)
    num_views = sum(len(batch) for batch in batches)
    for index, batch in enumerate(batches):
        kept = _Keep(float_graph)
        expected = describe(kept.run(batch))
        for number, name in enumerate(names):
            found = describe(_run_from(alone[name], name, kept.values, batch))
            lost[name] += float((1 - (expected * found).sum(dim=1)).sum()) / num_views
            on_op(index * len(names) + number + 1, len(batches) * len(names))
    return lost


def _run_from(graph_module: GraphModule, name: str, values: Mapping[str, Any], batch: Tensor) -> Tensor:
    """Run a graph whose nodes before `name` give these values; those without one (roundings) are run."""
    known: dict[Node, Any] = {}
    for node in graph_module.graph.nodes:
        if node.name == name:
            break
        if node.name in values:
            known[node] = values[node.name]
    found: Tensor = Interpreter(graph_module).run(batch, initial_env=known)
    return found
