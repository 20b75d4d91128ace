"""Core ML ML Program: an RGB image in, so that a CVPixelBuffer goes straight to the model. Made on any machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm  # noqa: F401 (loads triton; once coremltools has loaded TensorFlow, where that is installed, it crashes)

# isort: split
import coremltools as ct
import numpy as np
import torch

from export.targets.table import EXACT, Exported, ExportRequest, descriptor_output, pixel_input

_MATMULS = frozenset({"conv", "linear", "matmul"})
_TAIL_MATMULS = 2


def export_coreml(request: ExportRequest) -> Exported:
    """Write `request.model_path`, an .mlpackage folder; metadata in its user-defined metadata."""
    size_px, recipe, float_parts = request.card.input_size_px, "none", EXACT
    student, precision, target = request.student, ct.precision.FLOAT32, ct.target.iOS16
    if request.precision != "fp32":
        precision = ct.transform.FP16ComputePrecision(op_selector=_before_tail())
        recipe, float_parts = "float16 weights and activations", "GeM, head and L2 in float32"
    if request.precision == "int8":
        student, target = student.with_trunk(request.quantized_trunk()), ct.target.iOS17
        recipe, float_parts = request.plan.recipe, "what is not quantised in float16; GeM, head and L2 in float32"
    program = torch.export.export(student, (torch.zeros(1, 3, size_px, size_px),)).run_decompositions({})
    model = ct.convert(
        program,
        inputs=[ct.ImageType(name="pixels", shape=(1, 3, size_px, size_px), color_layout=ct.colorlayout.RGB)],
        outputs=[ct.TensorType(name="descriptor", dtype=np.float32)],
        convert_to="mlprogram",
        compute_precision=precision,
        minimum_deployment_target=target,
        skip_model_load=True,
    )
    model.short_description = "Image copy detection: one RGB image to an L2-normalised descriptor."
    model.license = request.card.licence
    model.input_description["pixels"] = f"RGB, {size_px} x {size_px}, the whole image squeezed to a square"
    model.output_description["descriptor"] = "L2-normalised descriptor; compare two by their inner product"
    model.user_defined_metadata.update(request.metadata)
    model.save(str(request.model_path))
    return Exported(
        recipe, float_parts, (pixel_input(size_px, "image"),), (descriptor_output(request.card.descriptor_dim),)
    )


def _before_tail() -> Callable[[Any], bool]:
    """Selects the MIL ops to compute in float16: all but the tail, which has the head's product and L2's ahead."""
    ahead: dict[Any, int] = {}  # matrix products from an op, itself included, on the longest way to the output

    def select(op: Any) -> bool:
        if op not in ahead:
            for other in reversed(op.enclosing_block.operations):
                children = (child for output in other.outputs for child in output.child_ops)
                ahead[other] = (other.op_type in _MATMULS) + max((ahead.get(child, 0) for child in children), default=0)
        return ahead[op] > _TAIL_MATMULS

    return select
