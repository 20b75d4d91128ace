"""What the artifacts of one export share, and what became of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from distill.students.checkpoint import Checkpoint
from export.bundle.golden import Golden, make_golden
from export.bundle.manifest import Parity, QuantizationSearch, StructureCheck
from export.bundle.pixels import PixelStudent
from export.calibration.calibration_set import CalibrationSet, calibration_set
from export.quantization.plan import UNSEARCHED

if TYPE_CHECKING:
    from torch.fx import GraphModule

State = Literal["ok", "exported but failed its check", "failed"]
Progress = Callable[[str, str], None]  # (bundle name, what is being done)


@dataclass(frozen=True)
class Outcome:
    """What became of one (target, precision); `search` where a budget of micro-AP was kept or missed.

    `is_outside` where it failed for want of something outside this project, such as a package.
    """

    target: str
    precision: str
    state: State
    reason: str
    bundle_dir: Path | None
    model_bytes: int | None
    parity: Parity | None
    seconds: float
    structure: tuple[StructureCheck, ...] = ()
    search: QuantizationSearch | None = None
    is_outside: bool = False


class ExportPlan:
    """What the artifacts of one run share; each part is made once, when first needed."""

    def __init__(self, checkpoint: Checkpoint, calibration_dir: Path | None, progress: Progress) -> None:
        self.checkpoint = checkpoint
        self.student = PixelStudent(checkpoint)
        self.progress = progress
        self.disjoint_from: tuple[str, ...] = ()  # the benchmarks that calibration was found to share no image with
        self.quantization = UNSEARCHED
        self.search: QuantizationSearch | None = None
        self._calibration_dir = calibration_dir

    @cached_property
    def golden(self) -> Golden:
        return make_golden(self.student, self.checkpoint.card.input_size_px)

    @cached_property
    def calibration(self) -> CalibrationSet:
        return calibration_set(self._calibration_dir, self.checkpoint.card.input_size_px)

    @cached_property
    def quantized_trunk(self) -> GraphModule:
        from export.quantization.graph import quantize_trunk

        def on_view(done: int, num_views: int) -> None:
            self.progress("", f"observing calibration view {done} of {num_views}")

        return quantize_trunk(self.student, self.calibration, self.quantization, on_view)
