"""ONNX, opset 20, for ONNX Runtime on servers, Android (NNAPI, XNNPACK), iOS (Core ML provider) and the web."""

from __future__ import annotations

import onnx
import torch

from export.bundle.pixels import HalfTrunk, PixelStudent
from export.targets.lowering import pad_between_pair_and_convolution
from export.targets.onnx_int8 import to_runtime_form
from export.targets.table import EXACT, FLOAT_ENDS, Exported, ExportRequest, descriptor_output, pixel_input


def export_onnx(request: ExportRequest) -> Exported:
    """Write `request.model_path`; metadata in the model's `metadata_props`."""
    size_px, recipe, float_parts = request.card.input_size_px, "none", EXACT
    if request.precision == "int8":
        trunk = pad_between_pair_and_convolution(request.quantized_trunk())
        model = to_runtime_form(_to_onnx(request.student.with_trunk(trunk), size_px))
        recipe, float_parts = f"{request.plan.recipe}, as QDQ with unsigned activations", FLOAT_ENDS
    elif request.precision == "fp16":
        model = _to_onnx(request.student.with_trunk(HalfTrunk(request.student.trunk)), size_px)
        recipe, float_parts = "float16 trunk, weights and activations", FLOAT_ENDS
    else:
        model = _to_onnx(request.student, size_px)
    onnx.helper.set_model_props(model, request.metadata)
    onnx.checker.check_model(model)
    request.model_path.write_bytes(model.SerializeToString())
    return Exported(
        recipe, float_parts, (pixel_input(size_px, "NCHW"),), (descriptor_output(request.card.descriptor_dim),)
    )


def _to_onnx(student: PixelStudent, size_px: int) -> onnx.ModelProto:
    program = torch.onnx.export(
        student,
        (torch.zeros(1, 3, size_px, size_px),),
        dynamo=True,
        input_names=["pixels"],
        output_names=["descriptor"],
        external_data=False,
        verbose=False,
    )
    assert program is not None  # None only where a file name is given
    return _without_traces(program.model_proto)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes on each node: stack traces, with this machine's paths in them."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    return model
