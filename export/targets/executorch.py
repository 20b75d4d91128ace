"""ExecuTorch, lowered to its XNNPACK backend, which runs on Android, iOS and desktop CPUs."""

from __future__ import annotations

import json

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower

from export.bundle.pixels import HalfTrunk
from export.targets.table import EXACT, FLOAT_ENDS, Exported, ExportRequest, descriptor_output, pixel_input

METADATA_METHOD = "icd_mobile"


def export_executorch(request: ExportRequest) -> Exported:
    """Write `request.model_path`; metadata as the program's constant method `icd_mobile`."""
    size_px, recipe, float_parts = request.card.input_size_px, "none", EXACT
    student = request.student
    if request.precision == "fp16":
        student = student.with_trunk(HalfTrunk(student.trunk))
        recipe = "float16 trunk; the XNNPACK backend still stores convolution weights as float32"
        float_parts = FLOAT_ENDS
    elif request.precision == "int8":
        student = student.with_trunk(request.quantized_trunk())
        recipe, float_parts = request.plan.recipe, FLOAT_ENDS
    program = to_edge_transform_and_lower(
        torch.export.export(student, (torch.zeros(1, 3, size_px, size_px),)),
        partitioner=[XnnpackPartitioner()],
        constant_methods={METADATA_METHOD: json.dumps(request.metadata)},
    ).to_executorch()
    with request.model_path.open("wb") as file:
        program.write_to_file(file)
    return Exported(
        recipe, float_parts, (pixel_input(size_px, "NCHW"),), (descriptor_output(request.card.descriptor_dim),)
    )
