"""TorchScript: traced and frozen, so that batch norms are folded and it loads without this project."""

from __future__ import annotations

import io
import json
from typing import Any

import torch

from export.bundle.pixels import PixelStudent
from export.targets.table import EXACT, FLOAT_ENDS, Exported, ExportRequest, descriptor_output, pixel_input

METADATA_FILE = "icd_mobile.json"
_WRITTEN_BY_THE_WRITER = frozenset({"version", "byteorder", ".data/version", ".data/serialization_id"})
_MIN_HALF_ELEMENTS = 256  # smaller constants are biases and scales; halving them saves nothing


def export_torchscript(request: ExportRequest) -> Exported:
    """Write `request.model_path`; metadata in the archive's extra file `icd_mobile.json`."""
    student, recipe, float_parts = request.student, "none", EXACT
    if request.precision == "int8":
        from export.targets.torchscript_int8 import ENGINE_NOTE, lower_to_int8_kernels

        student = student.with_trunk(lower_to_int8_kernels(request.quantized_trunk()))
        recipe, float_parts = f"{request.plan.recipe}, on PyTorch's int8 kernels; {ENGINE_NOTE}", FLOAT_ENDS
    module = _trace(student, request.card.input_size_px)
    if request.precision == "fp16":
        _store_weights_as_half(module)
        recipe, float_parts = "weights stored as float16", "activations in float32, as CPU kernels want"
    extra_files = {METADATA_FILE: json.dumps(request.metadata)}
    content = io.BytesIO()  # given a path, libtorch aborts the process when the disk is full
    torch.jit.save(module, content, _extra_files=extra_files)
    request.model_path.write_bytes(_without_traces(content))
    return Exported(
        recipe,
        float_parts,
        (pixel_input(request.card.input_size_px, "NCHW"),),
        (descriptor_output(request.card.descriptor_dim),),
    )


def _trace(student: PixelStudent, size_px: int) -> torch.jit.ScriptModule:
    with torch.no_grad():
        traced = torch.jit.trace(student, torch.zeros(1, 3, size_px, size_px), check_trace=False)
        frozen: torch.jit.ScriptModule = torch.jit.freeze(traced)
    return frozen


def _without_traces(content: io.BytesIO) -> bytes:
    """Drop the archive's debug records: they hold stack traces, with this machine's paths in them."""
    stripped = io.BytesIO()
    reader = torch._C.PyTorchFileReader(io.BytesIO(content.getvalue()))
    writer = torch._C.PyTorchFileWriter(stripped)
    for name in reader.get_all_records():
        if not name.endswith(".debug_pkl") and name not in _WRITTEN_BY_THE_WRITER:
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return stripped.getvalue()


def _store_weights_as_half(module: torch.jit.ScriptModule) -> None:
    """Swap each float32 weight of a frozen graph for a float16 one and a cast.

    The executor folds the cast at load. Computing in float16 is far slower (docs/decisions/0004-what-fp16-is.md).
    """
    graph: Any = module.graph  # its stub lacks most of what it can do
    for node in list(graph.findAllNodes("prim::Constant")):
        value = node.output().toIValue()
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32 or value.numel() < _MIN_HALF_ELEMENTS:
            continue
        graph.setInsertPoint(node)
        half, dtype, no, nothing = (
            graph.insertConstant(constant) for constant in (value.half(), _SCALAR_TYPE_FLOAT, False, None)
        )
        cast = graph.create("aten::to", [half, dtype, no, no, nothing])
        cast.insertBefore(node)
        cast.output().setType(node.output().type())
        node.output().replaceAllUsesWith(cast.output())
        node.destroy()
    graph.lint()


_SCALAR_TYPE_FLOAT = 6  # c10::ScalarType::Float, which TorchScript passes as an int
