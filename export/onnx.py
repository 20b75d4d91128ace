"""ONNX, opset 20, for ONNX Runtime on servers, Android (NNAPI, XNNPACK), iOS (Core ML provider) and the web."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import compose
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from export.calibration import CalibrationSet
from export.pixels import HalfTrunk, PixelStudent, to_batch
from export.targets import EXACT, FLOAT_ENDS, Exported, ExportRequest, descriptor_output, pixel_input

INT8_RECIPE = "ONNX Runtime static QDQ: weights int8 per channel symmetric, activations uint8 per tensor (min-max)"


def export_onnx(request: ExportRequest) -> Exported:
    """Write `request.model_path`; metadata in the model's `metadata_props`."""
    size_px, recipe, float_parts = request.card.input_size_px, "none", EXACT
    pixels = torch.zeros(1, 3, size_px, size_px)
    if request.precision == "int8":
        model = _quantize(request.student, request.calibration())
        recipe, float_parts = INT8_RECIPE, FLOAT_ENDS
    elif request.precision == "fp16":
        half = request.student.with_trunk(HalfTrunk(request.student.trunk))
        model = _to_onnx(half, pixels, "pixels", "descriptor")
        recipe, float_parts = "float16 trunk, weights and activations", FLOAT_ENDS
    else:
        model = _to_onnx(request.student, pixels, "pixels", "descriptor")
    onnx.helper.set_model_props(model, request.metadata)
    onnx.checker.check_model(model)
    request.model_path.write_bytes(model.SerializeToString())
    return Exported(
        recipe, float_parts, (pixel_input(size_px, "NCHW"),), (descriptor_output(request.card.descriptor_dim),)
    )


def _to_onnx(module: nn.Module, example: Tensor, input_name: str, output_name: str) -> onnx.ModelProto:
    program = torch.onnx.export(
        module.eval(),
        (example,),
        dynamo=True,
        input_names=[input_name],
        output_names=[output_name],
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


class _Normalize(nn.Module):
    def __init__(self, student: PixelStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, pixels: Tensor) -> Tensor:
        return self.student.normalize(pixels)


def _quantize(student: PixelStudent, calibration: CalibrationSet) -> onnx.ModelProto:
    """Quantise the trunk apart, then join normalisation, trunk and tail: the ends stay in float by construction."""
    pixels = to_batch(calibration.views[0])
    with torch.inference_mode():
        images = student.normalize(pixels)
        features = student.trunk(images)
    ends = (
        _to_onnx(_Normalize(student), pixels, "pixels", "images"),
        _to_onnx(student.tail, torch.zeros_like(features), "features", "descriptor"),
    )
    trunk = _quantize_trunk(_to_onnx(student.trunk, images, "images", "features"), student, calibration)
    head, body, tail = (
        compose.add_prefix(_same_versions(part, trunk), prefix, rename_inputs=False, rename_outputs=False)
        for part, prefix in ((ends[0], "normalize."), (trunk, "trunk."), (ends[1], "tail."))
    )
    joined = compose.merge_models(head, body, io_map=[("images", "images")])
    return compose.merge_models(joined, tail, io_map=[("features", "features")])


def _same_versions(model: onnx.ModelProto, other: onnx.ModelProto) -> onnx.ModelProto:
    """Give `model` the IR version and opsets of `other`, which `merge_models` asks for; all are exported alike."""
    model.ir_version = other.ir_version
    del model.opset_import[:]
    model.opset_import.extend(other.opset_import)
    return model


def _quantize_trunk(trunk: onnx.ModelProto, student: PixelStudent, calibration: CalibrationSet) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantized = (Path(folder) / name for name in ("trunk.onnx", "prepared.onnx", "int8.onnx"))
        plain.write_bytes(trunk.SerializeToString())
        # Symbolic shape inference raises on these graphs, and their shapes are all static.
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantized),
            _Reader(student, calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        return onnx.load(quantized)


class _Reader(CalibrationDataReader):
    """One normalised view at a time, as ONNX Runtime's calibrator wants them."""

    def __init__(self, student: PixelStudent, calibration: CalibrationSet) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = (
            {"images": student.normalize(to_batch(view)).numpy()} for view in calibration.views
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)
