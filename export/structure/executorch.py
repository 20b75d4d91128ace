"""What ExecuTorch's XNNPACK backend was given at export: its partitions, and the kernels called between them.

The operators inside a partition are counted in the partition's own flatbuffer (`XNNGraph.xnodes` of XNNPACK's schema).
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from pathlib import Path

from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.exir.schema import DelegateCall, KernelCall
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from export.bundle.manifest import StructureCheck

METHOD = "forward"
_XNODES = 6  # the second field's place in the table of fields


def check_executorch(model_path: Path) -> tuple[StructureCheck, ...]:
    """The delegate calls and kernel calls of the method that apps run."""
    program = deserialize_pte_binary(model_path.read_bytes()).program
    plan = next(plan for plan in program.execution_plan if plan.name == METHOD)
    calls = [instruction.instr_args for chain in plan.chains for instruction in chain.instructions]
    kernels = Counter(
        plan.operators[call.op_index].name.removeprefix("aten::") for call in calls if isinstance(call, KernelCall)
    )
    partitions = [plan.delegates[call.delegate_index] for call in calls if isinstance(call, DelegateCall)]
    num_taken = sum(_num_nodes(program.backend_delegate_data[one.processed.index].data) for one in partitions)
    return (
        StructureCheck(
            backend="XNNPACK",
            evidence="measured",
            source=f"the program of executorch {importlib.metadata.version('executorch')}",
            num_ops=num_taken + kernels.total(),
            num_taken=num_taken,
            num_partitions=len(partitions),
            left=dict(sorted(kernels.items())),
        ),
    )


def _num_nodes(payload: bytes) -> int:
    header = XNNHeader.from_bytes(payload[: XNNHeader.EXPECTED_LENGTH])
    graph = bytes(payload[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size])
    table = Table(graph, encode.Get(number_types.UOffsetTFlags.packer_type, graph, 0))
    place = table.Offset(_XNODES)
    return int(table.VectorLen(place)) if place else 0
