"""Parameters of a traced graph, read and replaced through the nodes that fetch them."""

from __future__ import annotations

import operator
from typing import Any

from torch import Tensor, nn
from torch.fx import GraphModule, Node


def parameter_name(argument: Any) -> str | None:
    """The attribute that an op's argument fetches, through its observer where it has one; None for anything else."""
    while isinstance(argument, Node) and argument.op == "call_module" and len(argument.all_input_nodes) == 1:
        argument = argument.all_input_nodes[0]
    return str(argument.target) if isinstance(argument, Node) and argument.op == "get_attr" else None


def read_parameter(graph_module: GraphModule, name: str) -> Tensor:
    found: Tensor = operator.attrgetter(name)(graph_module)
    return found.detach()


def replace_parameter(graph_module: GraphModule, name: str, values: Tensor) -> None:
    """Put other values of the same shape in its place; who shares the old tensor keeps it."""
    path, _, leaf = name.rpartition(".")
    owner = graph_module.get_submodule(path)
    is_parameter = isinstance(getattr(owner, leaf), nn.Parameter)
    setattr(owner, leaf, nn.Parameter(values, requires_grad=False) if is_parameter else values)
