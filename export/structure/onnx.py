"""ONNX Runtime's own mobile usability checker: which nodes its NNAPI and Core ML execution providers list.

It goes by kinds of nodes, after the optimisation that ONNX Runtime does for every device; a provider refuses some nodes
of a kind on its list. For XNNPACK the tool has no list.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
from onnxruntime.tools.mobile_helpers import usability_checker
from onnxruntime.tools.onnx_model_utils import ModelProtoWithShapeInfo, optimize_model

from export.bundle.manifest import StructureCheck

_Partitions = Callable[[onnx.ModelProto], usability_checker.PartitioningInfo]

_CHECKS: dict[str, _Partitions] = {
    "NNAPI": lambda model: usability_checker.check_nnapi_partitions(model, require_fixed_input_sizes=True),
    "Core ML (NeuralNetwork)": lambda model: usability_checker.check_coreml_partitions(
        model, require_fixed_input_sizes=True, config_filename="coreml_supported_neuralnetwork_ops.md"
    ),
    "Core ML (ML Program)": lambda model: usability_checker.check_coreml_partitions(
        model, require_fixed_input_sizes=True, config_filename="coreml_supported_mlprogram_ops.md"
    ),
}


def check_onnx(model_path: Path) -> tuple[StructureCheck, ...]:
    """One check for each execution provider that the tool knows; Core ML's has two formats."""
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / model_path.name
        optimize_model(model_path, optimized, use_external_initializers=True)
        shaped = ModelProtoWithShapeInfo(optimized)
        model: onnx.ModelProto = shaped.model_with_shape_info
        return tuple(_check(backend, model, partitions(model)) for backend, partitions in _CHECKS.items())


def _check(backend: str, model: onnx.ModelProto, found: usability_checker.PartitioningInfo) -> StructureCheck:
    kinds = Counter(node.op_type for node in model.graph.node)
    kinds.subtract(node.op_type for group in found.supported_groups for node in group)
    return StructureCheck(
        backend=backend,
        evidence="reference",
        source=f"the usability checker of onnxruntime {importlib.metadata.version('onnxruntime')}",
        num_ops=found.num_nodes,
        num_taken=found.num_supported_nodes,
        num_partitions=found.num_partitions,
        left={kind: count for kind, count in sorted(kinds.items()) if count},
    )
