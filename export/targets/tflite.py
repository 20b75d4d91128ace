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
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig
from torch import Tensor, nn

from export.bundle.pixels import PixelStudent
from export.quantization.graph import round_weights
from export.targets.lowering import pad_between_pair_and_convolution, with_concatenated_padding, with_float_constants
from export.targets.table import EXACT, FLOAT_ENDS, W8A16, Exported, ExportRequest, descriptor_output, pixel_input
from export.targets.tflite_w8a16 import RECIPE, to_w8a16

METADATA_NAME = "icd_mobile"
_EVERY_OP = qtyping.TFLOperationName.ALL_SUPPORTED
# The graph comes quantised: the quantizer in here is never asked, it tells the converter that the pairs are static.
_STATIC = QuantConfig(
    pt2e_quantizer=PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False))
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
        self.training = False  # not eval(): an exported trunk refuses it

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        return {"descriptor": self.student(pixels.permute(0, 3, 1, 2))}


def export_tflite(request: ExportRequest) -> Exported:
    """Write `request.model_path`; metadata as the flatbuffer's `icd_mobile` entry."""
    size_px, recipe, float_parts = request.card.input_size_px, "none", EXACT
    if request.precision == "int8":
        padded = pad_between_pair_and_convolution(request.quantized_trunk())
        trunk = with_float_constants(with_concatenated_padding(padded))
        content = _convert(request.student.with_trunk(trunk), size_px, _STATIC)
        recipe, float_parts = request.plan.recipe, FLOAT_ENDS
    elif request.precision == W8A16:
        trunk = round_weights(request.student, request.calibration_views())
        content = _convert(request.student.with_trunk(trunk), size_px, None)
    else:
        content = _convert(request.student, size_px, None)
    # Before the quantizer: it keeps metadata, but writes buffers that this schema code cannot pack again.
    content = _with_metadata(content, request.metadata)
    if request.precision == "fp16":
        quantizer = Quantizer(content)
        quantizer.update_quantization_recipe(".*", _EVERY_OP, _HALF, AlgorithmName.FLOAT_CASTING)
        content = bytes(quantizer.quantize().quantized_model)
        recipe, float_parts = "weights stored as float16", "activations as the delegate computes: float16 on GPUs"
    elif request.precision == W8A16:
        content = to_w8a16(content, request.calibration_views())
        recipe, float_parts = RECIPE, FLOAT_ENDS
    request.model_path.write_bytes(content)
    return Exported(
        recipe, float_parts, (pixel_input(size_px, "NHWC"),), (descriptor_output(request.card.descriptor_dim),)
    )


def _convert(student: PixelStudent, size_px: int, quant_config: QuantConfig | None) -> bytes:
    pixels = torch.zeros(1, size_px, size_px, 3)
    converted = litert_torch.convert(_ChannelLast(student), sample_kwargs={"pixels": pixels}, quant_config=quant_config)
    return bytes(converted.model_content())


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
