"""Which operations of an ML Program are known to leave the Neural Engine. Core ML, which places them, is not asked.

Sources of the list:
- The Neural Engine computes in float16 (int8 is read, and since the A17 Pro and M4 computed with); convolution kernels
  are at most 13 wide; reduce_prod, the scatter family and recurrent cells have no path on any family:
  ane-guide.readthedocs.io, chapters 4 and 17.
- Tensors have at most 5 dimensions: aneforge.readthedocs.io, graph.
- gather leaves it: github.com/hollance/neural-engine, docs/unsupported-layers.md, which calls some of its list guesses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from export.bundle.manifest import StructureCheck
from export.mil.package import read_package
from export.mil.program import Name, Operation

MAX_RANK, MAX_KERNEL = 5, 13
DTYPES = frozenset({"float16", "int8", "uint8"})
NO_PATH = frozenset(
    {"gather", "gather_along_axis", "gather_nd", "gru", "lstm", "reduce_prod", "rnn"}
    | {"scatter", "scatter_along_axis", "scatter_nd"}
)
SOURCE = "lists of operations known to leave it, see export/structure/coreml.py"


def check_coreml(model_path: Path) -> tuple[StructureCheck, ...]:
    """The Neural Engine, by what is published of it; a partition is a run of operations in the program's order."""
    return (check_operations(read_package(model_path).program.operations),)


def check_operations(operations: Sequence[Operation]) -> StructureCheck:
    """The same for operations alone; constants, packed ones too, are none."""
    computed = [one for one in operations if one.kind != "const" and not one.kind.startswith("constexpr_")]
    shapes = {output.name: output.type.shape for one in operations for output in one.outputs}
    reasons = [_why_not(one, shapes) for one in computed]
    left = Counter(reason for reason in reasons if reason)
    return StructureCheck(
        backend="Neural Engine",
        evidence="published",
        source=SOURCE,
        num_ops=len(computed),
        num_taken=reasons.count(""),
        num_partitions=sum(taken for taken, _ in groupby(not reason for reason in reasons)),
        left=dict(sorted(left.items())),
    )


def _why_not(operation: Operation, shapes: dict[str, tuple[int, ...]]) -> str:
    """Why an operation leaves the Neural Engine, in a word or two; "" where nothing known makes it."""
    other = [output.type.dtype for output in operation.outputs if output.type.dtype not in DTYPES]
    if other:
        return other[0]
    if operation.kind in NO_PATH:
        return operation.kind
    if any(len(output.type.shape) > MAX_RANK for output in operation.outputs):
        return f"rank over {MAX_RANK}"
    if operation.kind == "conv" and _kernel(operation, shapes) > MAX_KERNEL:
        return f"kernel over {MAX_KERNEL}"
    return ""


def _kernel(operation: Operation, shapes: dict[str, tuple[int, ...]]) -> int:
    """The widest side of a convolution's kernel; its weights are (C_out, C_in / groups, ...)."""
    (weight,) = operation.arguments["weight"]
    shape = shapes[weight.name] if isinstance(weight, Name) else np.shape(weight.value)
    return max(shape[2:])
