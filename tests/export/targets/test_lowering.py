"""One quantised graph and what each converter makes of it: the same integers, and float where the plan says float."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn
from torch.fx import GraphModule

from distill.students.checkpoint import load_checkpoint
from distill.students.pooling import GeM, L2Normalize
from export.bundle.parity import cosines, run_artifact
from export.bundle.pixels import PixelStudent, to_batch
from export.calibration.calibration_set import CalibrationSet, calibration_set
from export.quantization.graph import quantize_trunk
from export.quantization.plan import QuantizationPlan
from export.targets.lowering import (
    DEQUANTIZE,
    QUANTIZE,
    pad_between_pair_and_convolution,
    with_concatenated_padding,
    with_float_constants,
)
from export.targets.table import TARGETS, ExportRequest, load_exporter

CONV2D, PAD = torch.ops.aten.conv2d.default, torch.ops.aten.pad.default
COSINE_MIN = dict.fromkeys(TARGETS, 0.9999) | {"coreml": 0.999}  # Core ML's scales and sums are float16
FLOAT_OP = "conv2d_1"  # the strided one: it reads int8, and int8 ops read it


class SmallTrunk(nn.Module):
    """(N, 3, S, S) -> (N, 8, S / 2, S / 2): what Lite0 is made of, "same" padding before a stride of 2 among it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.strided = nn.Conv2d(8, 8, 3, stride=2, groups=8)
        self.project = nn.Conv2d(8, 8, 1)
        self.expand = nn.Conv2d(8, 8, 1)

    def forward(self, images: Tensor) -> Tensor:
        wide = relu6(self.stem(images))
        narrow = relu6(self.strided(nn.functional.pad(wide, (0, 1, 0, 1))))
        return narrow + self.expand(relu6(self.project(narrow)))


def relu6(features: Tensor) -> Tensor:
    """What nn.ReLU6 is traced to."""
    return nn.functional.hardtanh(features, 0.0, 6.0)


@pytest.fixture(scope="module")
def student(tiny_checkpoint: Path) -> PixelStudent:
    torch.manual_seed(0)
    small = PixelStudent(load_checkpoint(tiny_checkpoint)).with_trunk(SmallTrunk().eval())
    small.tail = nn.Sequential(GeM(), nn.Linear(8, 64), L2Normalize(64)).requires_grad_(False)
    small.trunk.requires_grad_(False)
    scales = torch.logspace(-1.5, 1.5, 8)  # channels so unlike each other that one scale for all would be seen
    small.trunk.strided.weight.mul_(scales[:, None, None, None])
    return small


@pytest.fixture(scope="module")
def calibration() -> CalibrationSet:
    return calibration_set(None, 64)


@pytest.fixture(scope="module")
def quantized(student: PixelStudent, calibration: CalibrationSet) -> GraphModule:
    return quantize_trunk(student, calibration, QuantizationPlan())


@pytest.fixture(scope="module")
def with_float_op(student: PixelStudent, calibration: CalibrationSet) -> GraphModule:
    return quantize_trunk(student, calibration, QuantizationPlan(float_ops=(FLOAT_OP,)))


@pytest.fixture(scope="module")
def image(student: PixelStudent, calibration: CalibrationSet) -> Tensor:
    return student.normalize(to_batch(calibration.views[0]))


def export(student: PixelStudent, quantized: GraphModule, target: str, checkpoint: Path, folder: Path) -> Path:
    """The target's int8 artifact of a quantised trunk."""
    path, card = folder / TARGETS[target].model_name, load_checkpoint(checkpoint).card
    no_views = partial(pytest.fail, "calibration views are not needed")
    request = ExportRequest(student, card, "int8", QuantizationPlan(), lambda: quantized, {}, path, no_views)
    load_exporter(TARGETS[target])(request)
    return path


def by_pytorch(student: PixelStudent, quantized: GraphModule, pixels: np.ndarray) -> np.ndarray:
    whole = student.with_trunk(quantized)
    with torch.inference_mode():
        return np.concatenate([whole(to_batch(view)).numpy() for view in pixels])


def test_padding_keeps_the_scale_of_what_it_pads(quantized: GraphModule) -> None:
    (pad,) = [node for node in quantized.graph.nodes if node.target == PAD]
    (before,), (after,) = pad.all_input_nodes, pad.users
    assert (before.target, after.target) == (DEQUANTIZE, QUANTIZE)
    assert before.args[1:] == after.args[1:]


def test_padding_moves_to_its_convolution_and_every_value_stays(quantized: GraphModule, image: Tensor) -> None:
    moved = pad_between_pair_and_convolution(quantized)
    (pad,) = [node for node in moved.graph.nodes if node.target == PAD]
    assert [user.target for user in pad.users] == [CONV2D]
    assert pad.all_input_nodes[0].target == DEQUANTIZE
    count = [Counter(node.target for node in graph.graph.nodes)[QUANTIZE] for graph in (quantized, moved)]
    assert count[0] - count[1] == 1  # of one scale with the pair before it, the pair behind it was spare
    assert torch.equal(moved(image), quantized(image))


def test_zeros_joined_on_are_the_padding(quantized: GraphModule, image: Tensor) -> None:
    joined = with_concatenated_padding(pad_between_pair_and_convolution(quantized))
    assert PAD not in [node.target for node in joined.graph.nodes]
    assert torch.equal(joined(image), quantized(image))


def test_float_constants_are_quantised_to_the_integers_they_were(quantized: GraphModule, image: Tensor) -> None:
    unfolded = with_float_constants(quantized)
    stored = [
        getattr(unfolded, str(node.target)) for node in unfolded.graph.nodes if str(node.target).startswith("float_")
    ]
    assert [values.dtype for values in stored] == [torch.float32] * 4
    assert torch.equal(unfolded(image), quantized(image))


def test_the_onnx_file_has_the_integers_of_the_graph(
    student: PixelStudent, quantized: GraphModule, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    graph = onnx.load(export(student, quantized, "onnx", tiny_checkpoint, tmp_path)).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    weights = [constants[makers[node.input[1]].input[0]] for node in graph.node if node.op_type == "Conv"]
    convolutions = [node for node in quantized.graph.nodes if node.target == CONV2D]
    expected = [getattr(quantized, node.args[1].args[0].target).numpy() for node in convolutions]
    assert len(weights) == len(expected) == 4
    assert all(map(np.array_equal, weights, expected))
    pairs = [
        tuple(constants[name] for name in node.input[1:]) for node in graph.node if node.op_type == "QuantizeLinear"
    ]
    moved = pad_between_pair_and_convolution(quantized).graph.nodes
    assert pairs == [(np.float32(node.args[1]), node.args[2] + 128) for node in moved if node.target == QUANTIZE]


@pytest.mark.parametrize(("float_ops", "in_int8", "in_float"), [((), 4, 0), ((FLOAT_OP,), 3, 1)])
def test_onnx_runtime_computes_in_int8_what_is_int8_and_nothing_else(
    request: pytest.FixtureRequest,
    student: PixelStudent,
    tiny_checkpoint: Path,
    tmp_path: Path,
    float_ops: tuple[str, ...],
    in_int8: int,
    in_float: int,
) -> None:
    graph_module = request.getfixturevalue("with_float_op" if float_ops else "quantized")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(export(student, graph_module, "onnx", tiny_checkpoint, tmp_path), options)
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert (kinds["QLinearConv"], kinds["Conv"] + kinds["FusedConv"]) == (in_int8, in_float)


def test_no_two_weights_share_a_zero_point_which_the_precise_mode_of_onnx_runtime_could_not_rewrite(
    student: PixelStudent, quantized: GraphModule, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    graph = onnx.load(export(student, quantized, "onnx", tiny_checkpoint, tmp_path)).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type == "DequantizeLinear" and len(node.input) == 3]
    zero_points = [node.input[2] for node in pairs if shapes[node.input[1]]]  # a scale for each channel
    assert len(zero_points) > 1
    assert len(set(zero_points)) == len(zero_points)


def test_onnx_s_own_reference_evaluator_gives_the_same_descriptors(
    student: PixelStudent,
    quantized: GraphModule,
    calibration: CalibrationSet,
    tiny_checkpoint: Path,
    tmp_path: Path,
) -> None:
    evaluator = ReferenceEvaluator(str(export(student, quantized, "onnx", tiny_checkpoint, tmp_path)))
    pixels = calibration.views[:1]
    (found,) = evaluator.run(None, {"pixels": to_batch(pixels[0]).numpy()})
    assert cosines(found, by_pytorch(student, quantized, pixels)).min() > 0.9999


def test_tflite_transposes_nothing_between_convolutions(
    student: PixelStudent, quantized: GraphModule, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model = schema.Model.GetRootAs(export(student, quantized, "tflite", tiny_checkpoint, tmp_path).read_bytes())
    graph = model.Subgraphs(0)
    kinds = [
        model.OperatorCodes(graph.Operators(index).OpcodeIndex()).BuiltinCode()
        for index in range(graph.OperatorsLength())
    ]
    convolutions = {schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D}
    first, *_, last = [index for index, kind in enumerate(kinds) if kind in convolutions]
    assert schema.BuiltinOperator.TRANSPOSE not in kinds[first:last]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_gives_what_the_graph_gives(
    student: PixelStudent,
    quantized: GraphModule,
    calibration: CalibrationSet,
    tiny_checkpoint: Path,
    tmp_path: Path,
    target: str,
) -> None:
    pixels = calibration.views[:4]
    found = run_artifact(target, export(student, quantized, target, tiny_checkpoint, tmp_path), pixels).descriptors
    assert cosines(found, by_pytorch(student, quantized, pixels)).min() > COSINE_MIN[target]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_takes_a_graph_with_an_op_in_float(
    student: PixelStudent,
    with_float_op: GraphModule,
    calibration: CalibrationSet,
    tiny_checkpoint: Path,
    tmp_path: Path,
    target: str,
) -> None:
    pixels = calibration.views[:4]
    found = run_artifact(target, export(student, with_float_op, target, tiny_checkpoint, tmp_path), pixels).descriptors
    assert cosines(found, by_pytorch(student, with_float_op, pixels)).min() > COSINE_MIN[target]
