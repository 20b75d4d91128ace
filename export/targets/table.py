"""The targets by name, and what a target's exporter is given and gives back.

Command lines make their help of the names, so nothing heavy is imported here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from icd_mobile.errors import OutsideError, unknown_name
from icd_mobile.extras import not_installed

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from distill.students.checkpoint import StudentCard
    from export.bundle.manifest import TensorInfo
    from export.bundle.pixels import PixelStudent
    from export.quantization.plan import QuantizationPlan
    from icd_mobile.pictures.preprocessing import Pixels

PRECISIONS = ("fp32", "fp16", "int8")  # of every target
W8A16 = "w8a16"  # int8 weights, int16 activations
CALIBRATED = ("int8", W8A16)


@dataclass(frozen=True)
class ExportRequest:
    """One artifact to make. The quantised trunk (by `plan`) is made once, when first asked for."""

    student: PixelStudent
    card: StudentCard
    precision: str
    plan: QuantizationPlan
    quantized_trunk: Callable[[], GraphModule]
    metadata: dict[str, str]
    model_path: Path
    calibration_views: Callable[[], Pixels]  # (N, S, S, 3) uint8


@dataclass(frozen=True)
class Exported:
    """What the exporter made: how it became small, what stayed float, and the graph's ends."""

    recipe: str
    float_parts: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True)
class Target:
    """A row of the table: adding a target is adding one, and the module it names (docs/add-a-target.md)."""

    export: str  # "module:function", imported when used
    model_name: str
    packages: tuple[str, ...]  # distributions whose versions the manifest records; the first is what to install
    recommended_precision: str
    more_precisions: tuple[str, ...] = ()

    @property
    def precisions(self) -> tuple[str, ...]:
        """All that it can be exported in."""
        return PRECISIONS + self.more_precisions


TARGETS: dict[str, Target] = {
    "torchscript": Target(
        "export.targets.torchscript:export_torchscript", "model.torchscript.pt", ("torch", "torchao"), "int8"
    ),
    "onnx": Target(
        "export.targets.onnx:export_onnx", "model.onnx", ("onnxruntime", "onnx", "onnxscript", "torch"), "int8"
    ),
    "coreml": Target(
        "export.targets.coreml:export_coreml", "model.mlpackage", ("coremltools", "torch", "torchao"), "fp16"
    ),
    "tflite": Target(
        "export.targets.tflite:export_tflite",
        "model.tflite",
        ("litert-torch", "ai-edge-quantizer", "ai-edge-litert", "torch"),
        "int8",
        (W8A16,),
    ),
    "executorch": Target(
        "export.targets.executorch:export_executorch", "model.pte", ("executorch", "torch", "torchao"), "int8"
    ),
}


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        InputError: no such target; the closest name is suggested.
    """
    if name not in TARGETS:
        raise unknown_name("target", name, [*TARGETS, "all"])
    return TARGETS[name]


def load_exporter(target: Target) -> Callable[[ExportRequest], Exported]:
    """Import the target's function.

    Raises:
        OutsideError: a package it needs is not installed.
    """
    module_name, function_name = target.export.split(":")
    try:
        exporter: Callable[[ExportRequest], Exported] = getattr(importlib.import_module(module_name), function_name)
    except ImportError as error:
        if missing := not_installed(error):
            raise missing from error
        raise OutsideError(f"needs {target.packages[0]} ({error}): pip install {target.packages[0]}") from error
    return exporter


def pixel_input(size_px: int, layout: str) -> TensorInfo:
    """The one input every artifact has."""
    from export.bundle.manifest import TensorInfo

    shape = (1, size_px, size_px, 3) if layout == "NHWC" else (1, 3, size_px, size_px)
    dtype = "RGB image" if layout == "image" else "float32"
    return TensorInfo(name="pixels", shape=shape, dtype=dtype, layout=layout)


def descriptor_output(descriptor_dim: int) -> TensorInfo:
    """The one output every artifact has."""
    from export.bundle.manifest import TensorInfo

    return TensorInfo(name="descriptor", shape=(1, descriptor_dim), dtype="float32", layout="ND")


FLOAT_ENDS = "pixel normalisation, GeM, head and L2 in float32"
EXACT = "none: float32 throughout"
