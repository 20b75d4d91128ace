"""int8 weights and int16 activations in TFLite: what is int16, whose weights, and how near to float."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.students.checkpoint import load_checkpoint
from export.bundle.pixels import PixelStudent, to_batch
from export.calibration.calibration_set import calibration_set
from export.quantization.graph import round_weights
from export.runtimes import litert
from export.targets.table import ExportRequest
from export.targets.tflite import export_tflite

UNUSED = None


@pytest.fixture(scope="module")
def made(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PixelStudent, np.ndarray]:
    """The artifact, its student and the calibration views."""
    from export.quantization.plan import UNSEARCHED

    checkpoint = load_checkpoint(tiny_checkpoint)
    student, views = PixelStudent(checkpoint), calibration_set(None, checkpoint.card.input_size_px).views
    path = tmp_path_factory.mktemp("w8a16") / "model.tflite"
    no_graph = lambda: pytest.fail("the int8 graph is not needed")  # noqa: E731
    export_tflite(ExportRequest(student, checkpoint.card, "w8a16", UNSEARCHED, no_graph, {}, path, lambda: views))
    return path, student, views


@pytest.fixture(scope="module")
def graph(made) -> object:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(made[0].read_bytes()))


def test_every_convolution_and_addition_of_the_trunk_is_int16_with_int8_weights(graph) -> None:
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.BuiltinOperator
    tensors = graph.subgraphs[0].tensors
    outputs: Counter[tuple[int, int]] = Counter()
    for op in graph.subgraphs[0].operators:
        kind = graph.operatorCodes[op.opcodeIndex].builtinCode
        outputs[kind, tensors[op.outputs[0]].type] += 1
        if kind in {kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D}:
            assert tensors[op.inputs[1]].type == schema.TensorType.INT8
    assert outputs[kinds.CONV_2D, schema.TensorType.INT16] == 33
    assert outputs[kinds.DEPTHWISE_CONV_2D, schema.TensorType.INT16] == 16
    assert outputs[kinds.CONV_2D, schema.TensorType.FLOAT32] == 0
    assert outputs[kinds.ADD, schema.TensorType.INT16] == 9  # of the blocks; the normalisation's stays in float


def test_the_ends_are_float(graph) -> None:
    from ai_edge_litert import schema_py_generated as schema

    (subgraph,) = graph.subgraphs
    ends = [*subgraph.inputs, *subgraph.outputs]
    assert {subgraph.tensors[index].type for index in ends} == {schema.TensorType.FLOAT32}


def test_int16_adds_next_to_nothing_to_what_rounding_the_weights_costs(made) -> None:
    path, student, views = made
    rounded = student.with_trunk(round_weights(student, views))
    session = litert.load(path, 1)
    for view in views[:4]:
        with torch.inference_mode():
            expected = rounded(to_batch(view)).numpy()
        session.feed(view)
        session.invoke()
        found = session.read()
        assert float((expected[0] * found).sum()) > 0.9999
