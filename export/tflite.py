"""TFLite for LiteRT on Android, iOS and boards: channel-last pixels in, named signature, metadata in the flatbuffer."""

from __future__ import annotations

import json

import flatbuffers
import litert_torch
import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.quantizer import Quantizer
from torch import Tensor, nn

from export.calibration import CalibrationSet
from export.pixels import PixelStudent
from export.targets import EXACT, FLOAT_ENDS, Exported, ExportRequest, descriptor_output, pixel_input

METADATA_NAME = "icd_mobile"
INT8_RECIPE = "AI Edge Quantizer static W8A8: weights int8 per channel symmetric, activations int8 per tensor (min-max)"
_SIGNATURE = "serving_default"
_TRUNK_SCOPE = r"_trunk"  # tensors are named by module path; everything outside the trunk stays in float
_EVERY_OP = qtyping.TFLOperationName.ALL_SUPPORTED

_WEIGHTS_INT8 = qtyping.TensorQuantizationConfig(
    num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
)
_INT8 = qtyping.OpQuantizationConfig(
    weight_tensor_config=_WEIGHTS_INT8,
    activation_tensor_config=qtyping.TensorQuantizationConfig(num_bits=8, symmetric=False),
    compute_precision=qtyping.ComputePrecision.INTEGER,
)
_HALF = qtyping.OpQuantizationConfig(
    weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
    compute_precision=qtyping.ComputePrecision.FLOAT,
    explicit_dequantize=True,
)


class _ChannelLast(nn.Module):
    """Pixels (1, S, S, 3) -> {"descriptor": (1, D)}: the layout and the names that apps see."""

    def __init__(self, student: PixelStudent) -> None:
        super().__init__()
        self.student = student
        self.eval()

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        return {"descriptor": self.student(pixels.permute(0, 3, 1, 2))}


def export_tflite(request: ExportRequest) -> Exported:
    """Write `request.model_path`; metadata as the flatbuffer's `icd_mobile` entry."""
    size_px, recipe, float_parts = request.card.input_size_px, "none", EXACT
    pixels = torch.zeros(1, size_px, size_px, 3)
    converted = litert_torch.convert(_ChannelLast(request.student), sample_kwargs={"pixels": pixels})
    # Before quantising: the quantizer keeps metadata, but writes buffers that this schema code cannot pack again.
    content = _with_metadata(bytes(converted.model_content()), request.metadata)
    if request.precision == "int8":
        content = _quantize(content, request.calibration())
        recipe, float_parts = INT8_RECIPE, FLOAT_ENDS
    elif request.precision == "fp16":
        quantizer = Quantizer(content)
        quantizer.update_quantization_recipe(".*", _EVERY_OP, _HALF, AlgorithmName.FLOAT_CASTING)
        content = bytes(quantizer.quantize().quantized_model)
        recipe, float_parts = "weights stored as float16", "activations as the delegate computes: float16 on GPUs"
    request.model_path.write_bytes(content)
    return Exported(
        recipe, float_parts, (pixel_input(size_px, "NHWC"),), (descriptor_output(request.card.descriptor_dim),)
    )


def _quantize(content: bytes, calibration: CalibrationSet) -> bytes:
    quantizer = Quantizer(content)
    quantizer.update_quantization_recipe(_TRUNK_SCOPE, _EVERY_OP, _INT8, AlgorithmName.MIN_MAX_UNIFORM_QUANT)
    feeds = [{"pixels": view[None].astype(np.float32)} for view in calibration.views]
    ranges = quantizer.calibrate({_SIGNATURE: feeds})
    return bytes(quantizer.quantize(ranges).quantized_model)


def _with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """Add one named metadata buffer: a JSON object, which apps read through TFLite's own metadata calls."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(metadata).encode(), dtype=np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
