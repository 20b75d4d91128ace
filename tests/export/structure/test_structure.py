"""Structure checks on graphs small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export import structure
from export.bundle.manifest import StructureCheck
from export.mil.program import Argument, Literal, Name, Named, Operation, TensorType
from export.structure import CHECKERS, check_structure, summary
from export.structure.coreml import check_operations
from export.structure.tflite import DELEGATE, Node, count_left
from export.targets.table import TARGETS


def test_every_target_whose_runtime_hands_its_graph_on_has_a_checker() -> None:
    assert {"onnx", "coreml", "tflite", "executorch"} <= CHECKERS.keys() <= TARGETS.keys()
    assert check_structure("torchscript", Path("absent")) == ()


def test_a_checker_that_cannot_be_had_costs_the_check_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(structure.CHECKERS, "onnx", "export.structure.gone:check")
    (check,) = check_structure("onnx", Path("absent"))
    assert check.evidence == "not measured"
    assert check.line() == (
        "onnx: not measured (its graph was not read (ModuleNotFoundError: No module named 'export.structure.gone'))"
    )


def test_a_graph_that_cannot_be_read_costs_the_check_alone(tmp_path: Path) -> None:
    (tmp_path / "model.mlpackage").mkdir()
    (check,) = check_structure("coreml", tmp_path / "model.mlpackage")
    assert (check.evidence, check.num_ops) == ("not measured", None)
    assert "it has no Manifest.json" in check.source


def test_a_check_is_one_line() -> None:
    check = StructureCheck(
        backend="XNNPACK",
        evidence="measured",
        source="a tool",
        num_ops=10,
        num_taken=7,
        num_partitions=2,
        left={"POW": 1, "DIV": 2},
    )
    assert check.line() == "XNNPACK: 7 of 10 ops in 2 partitions, left: 1 POW, 2 DIV (measured, a tool)"
    assert summary([check, check]) == "XNNPACK 7 of 10 ops in 2; XNNPACK 7 of 10 ops in 2"
    whole = check.model_copy(update={"num_taken": 10, "num_partitions": 1, "left": {}})
    assert whole.line() == "XNNPACK: 10 of 10 ops in 1 partition (measured, a tool)"


def test_onnx_nodes_that_a_provider_does_not_list_split_its_partitions(tmp_path: Path) -> None:
    """Relu, Tan, Relu: NNAPI and Core ML list Relu, neither lists Tan."""
    kinds = ("Relu", "Tan", "Relu")
    nodes = [helper.make_node(kind, [f"t{n}"], [f"t{n + 1}"]) for n, kind in enumerate(kinds)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("t0", "t3")]
    graph = helper.make_graph(nodes, "three", ends[:1], ends[1:])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    for check in check_structure("onnx", path):
        assert (check.num_ops, check.num_taken, check.num_partitions, check.left) == (3, 2, 2, {"Tan": 1})
        assert check.evidence == "reference"


def test_tflite_ops_outside_the_partitions_are_found_from_the_outputs_back() -> None:
    """0 -CONV-> 1 -POW-> 2 -DIV-> 3, the first and the last in a partition each."""
    nodes = [
        Node("CONV_2D", (0,), (1,)),
        Node("POW", (1,), (2,)),
        Node("DIV", (2,), (3,)),
        Node(DELEGATE, (0,), (1,)),
        Node(DELEGATE, (2,), (3,)),
    ]
    check = count_left(nodes, [3])
    assert (check.num_ops, check.num_taken, check.num_partitions, check.left) == (3, 2, 2, {"POW": 1})


def test_tflite_ops_inside_a_partition_are_taken_though_they_stay_in_the_list() -> None:
    """The delegate's node gives tensor 2 alone; tensor 1, between its ops, is nobody's any more."""
    nodes = [Node("CONV_2D", (0,), (1,)), Node("ADD", (1,), (2,)), Node(DELEGATE, (0,), (2,))]
    check = count_left(nodes, [2])
    assert (check.num_taken, check.num_partitions, check.left) == (2, 1, {})


def operation(kind: str, dtype: str, shape: tuple[int, ...], **arguments: Argument) -> Operation:
    return Operation(kind, kind, arguments, (Named(f"{kind}_{dtype}_{len(shape)}", TensorType(dtype, shape)),))


def weight(*shape: int) -> Argument:
    return (Literal(np.zeros(shape, dtype=np.float16)),)


def test_ml_program_operations_leave_the_neural_engine_for_known_reasons() -> None:
    image = (1, 8, 16, 16)
    operations = [
        operation("const", "float32", ()),  # not computed
        operation("conv", "float16", image, weight=weight(8, 3, 3, 3)),
        operation("relu", "float16", image),
        operation("gather", "float16", image),
        operation("reshape", "float16", (1, 2, 4, 2, 8, 16)),
        operation("conv", "float16", image, weight=weight(8, 1, 15, 15)),
        operation("quantize", "int8", image),
        operation("cast", "float32", image),
        operation("mul", "float32", image),
    ]
    check = check_operations(operations)
    assert (check.num_ops, check.num_taken, check.num_partitions) == (8, 3, 2)
    assert check.left == {"float32": 2, "gather": 1, "kernel over 13": 1, "rank over 5": 1}
    assert check.evidence == "published"


def test_a_packed_convolution_weight_is_read_by_its_declared_shape() -> None:
    packed = operation("constexpr_affine_dequantize", "float16", (8, 1, 15, 15))
    conv = operation("conv", "float16", (1, 8, 16, 16), weight=(Name(packed.outputs[0].name),))
    assert check_operations([packed, conv]).left == {"kernel over 13": 1}


def test_executorch_counts_the_operators_inside_a_partition_and_the_kernels_between(tmp_path: Path) -> None:
    """Two ReLUs for XNNPACK around an erf, which it has no operator for."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    class Three(torch.nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return torch.relu(torch.erf(torch.relu(values)))

    exported = torch.export.export(Three().eval(), (torch.ones(1, 4),))
    program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    path = tmp_path / "model.pte"
    with path.open("wb") as file:
        program.write_to_file(file)
    (check,) = check_structure("executorch", path)
    assert (check.num_ops, check.num_taken, check.num_partitions, check.left) == (3, 2, 2, {"erf": 1})
