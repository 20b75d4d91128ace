"""A Linear left in float, in the ONNX file: ONNX Runtime makes a Gemm of it, and may quantise the weights of a Gemm."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
import torch

from distill.students.checkpoint import load_checkpoint
from export.bundle.pixels import PixelStudent, to_batch
from export.quantization.graph import observe_trunk, to_int8
from export.quantization.plan import QuantizationPlan
from export.runtimes.onnxruntime import exact_int8_options
from export.targets.onnx import export_onnx
from export.targets.table import ExportRequest


def test_a_linear_in_float_keeps_its_weights_and_the_other_one_is_int8(
    transformer: PixelStudent, views, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    plan = QuantizationPlan(float_ops=("linear_1",))
    quantized = to_int8(observe_trunk(transformer, views, equalised=False), plan)
    card = load_checkpoint(tiny_checkpoint).card.model_copy(update={"input_size_px": views.shape[1]})
    path = tmp_path / "model.onnx"
    export_onnx(ExportRequest(transformer, card, "int8", plan, lambda: quantized, {}, path, lambda: views))
    options = exact_int8_options()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options)
    optimised = onnx.load(tmp_path / "optimised.onnx").graph
    assert Counter(node.op_type for node in optimised.node)["QGemm"] == 1
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in optimised.initializer}
    expected = transformer.trunk.outer.weight.detach().numpy()
    assert any(values.shape == expected.T.shape and (values == expected.T).all() for values in weights.values())
    pixels = to_batch(views[0])
    with torch.inference_mode():
        descriptor = transformer.with_trunk(quantized)(pixels).numpy()
    (found,) = session.run(None, {"pixels": pixels.numpy()})
    assert (found * descriptor).sum() > 0.9999
