"""What plans of one student do to its descriptors, measured on simulated int8 and remembered.

Descriptor errors are taken on a few images of the validation benchmark, micro-AP on all of them. Nothing is computed
that the state has already: pixels, fp32's descriptors and the observed graphs are made when first needed.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from export.bundle.pixels import PixelStudent, to_batch
from export.calibration.calibration_set import CalibrationSet
from export.quantization.graph import ObservedTrunk, observe_trunk
from export.quantization.macs import int8_share, macs
from export.quantization.ops import int8_ops
from export.quantization.plan import QuantizationPlan
from export.quantization.search import Drops
from export.quantization.search_state import SearchState
from export.quantization.sensitivity import sensitivities
from export.quantization.simulate import batch_size, in_float, rounding, simulate
from export.quantization.validation import Benchmark, spread
from icd_mobile.arrays import Descriptors
from icd_mobile.pictures.preprocessing import Pixels

NUM_ERROR_IMAGES = 32
NUM_SENSITIVITY_IMAGES = 16
CODE_VERSION = 1  # raised whenever a plan's figures change with the code
PACKAGES = ("torch", "torchao", "executorch")

OnStep = Callable[[str], None]


def versions() -> str:
    """Of everything that a plan's figures depend on beside the images and the weights."""
    return ", ".join([f"code {CODE_VERSION}", *(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)])


class PlanEvaluator:
    """`export.quantization.search.Evaluator` for one student, calibration set and validation benchmark."""

    def __init__(
        self,
        student: PixelStudent,
        calibration: CalibrationSet,
        read_benchmark: Callable[[], Benchmark],
        state: SearchState,
        on_step: OnStep,
    ) -> None:
        self._student = student
        self._calibration = calibration
        self._read_benchmark = read_benchmark
        self._state = state
        self._on_step = on_step
        self._observed: dict[bool, ObservedTrunk] = {}
        self._rounding: dict[tuple[bool, str], dict[str, nn.Module]] = {}
        self._last: tuple[QuantizationPlan, GraphModule] | None = None  # its error, then its drops

    @cached_property
    def ops(self) -> tuple[str, ...]:
        return tuple(self._state.get("ops", lambda: int8_ops(self._observe(False).graph)))

    @cached_property
    def benchmark(self) -> Benchmark:
        self._on_step("reading the validation benchmark")
        return self._read_benchmark()

    def error(self, plan: QuantizationPlan) -> float:
        def find() -> float:
            rows = spread(len(self.benchmark.pixels), NUM_ERROR_IMAGES)
            found = self._describe(self._simulated(plan), self.benchmark.pixels[rows], f"errors of {_name(plan)}")
            return float((1 - (found * self._fp32[rows]).sum(axis=1)).mean())

        return float(self._state.get(f"error {_key(plan)}", find))

    def drops(self, plan: QuantizationPlan) -> Drops:
        fp32 = self.micro_ap_fp32

        def find() -> dict[str, float]:
            found = self._describe(self._simulated(plan), self.benchmark.pixels, f"judging {_name(plan)}")
            num_queries = self.benchmark.num_queries
            int8 = self.benchmark.micro_ap(found[:num_queries], found[num_queries:])
            cross = self.benchmark.micro_ap(found[:num_queries], self._fp32[num_queries:])
            return asdict(Drops(fp32 - int8, fp32 - cross))

        return Drops(**self._state.get(f"drops {_key(plan)}", find))

    @property
    def micro_ap_fp32(self) -> float:
        def find() -> float:
            num_queries = self.benchmark.num_queries
            return self.benchmark.micro_ap(self._fp32[:num_queries], self._fp32[num_queries:])

        return float(self._state.get("micro-AP of fp32", find))

    def sensitivities(self, plan: QuantizationPlan) -> dict[str, float]:
        plan = replace(plan, bias_corrected=False, float_ops=())  # a corrected bias fits one choice of ops only

        def find() -> dict[str, float]:
            observed = self._observe(plan.equalised)
            rows = spread(len(self.benchmark.pixels), NUM_SENSITIVITY_IMAGES)
            batches = self._batches(self.benchmark.pixels[rows], batch_size(observed.graph))
            steps = _TimeLeft("sensitivity of each op", self._on_step)
            return sensitivities(
                observed.graph, self._rounding_of(plan), self._student.tail, list(batches), steps.on_step
            )

        return dict(self._state.get(f"sensitivities {_key(plan)}", find))

    def int8_share(self, plan: QuantizationPlan) -> float:
        """Share of the student's multiply-accumulates, the head's included, that run in int8."""
        int8 = set(self.ops) - set(plan.float_ops)

        def find() -> float:
            head_macs = sum(part.weight.numel() for part in self._student.tail.modules() if isinstance(part, nn.Linear))
            return int8_share(macs(self._observe(plan.equalised).graph), int8, head_macs)

        return float(self._state.get(f"int8 share {_key(plan)}", find))

    @cached_property
    def _fp32(self) -> Descriptors:
        """(Q + R, D), by the trunk as it is before any quantisation."""
        graph = in_float(self._observe(False).graph)
        return self._describe(graph, self.benchmark.pixels, "descriptors in fp32")

    def _observe(self, equalised: bool) -> ObservedTrunk:
        if equalised not in self._observed:
            steps = _TimeLeft(f"observing calibration views{', equalised' * equalised}", self._on_step)
            self._observed[equalised] = observe_trunk(self._student, self._calibration.views, equalised, steps.on_step)
        return self._observed[equalised]

    def _rounding_of(self, plan: QuantizationPlan) -> dict[str, nn.Module]:
        key = plan.equalised, plan.estimator
        if key not in self._rounding:
            self._on_step(f"ranges by {plan.estimator}")
            self._rounding[key] = rounding(self._observe(plan.equalised).graph, plan.estimator)
        return self._rounding[key]

    def _simulated(self, plan: QuantizationPlan) -> GraphModule:
        if self._last is not None and self._last[0] == plan:
            return self._last[1]
        observed, modules = self._observe(plan.equalised), self._rounding_of(plan)
        biases = None
        if plan.bias_corrected:
            self._on_step(f"correcting biases of {_name(plan)}")
            biases = observed.corrected_biases(modules, plan.float_ops)
        self._last = plan, simulate(observed.graph, modules, plan.float_ops, biases)
        return self._last[1]

    def _batches(self, pixels: Pixels, size: int) -> Iterator[Tensor]:
        for start in range(0, len(pixels), size):
            images = torch.cat([to_batch(image) for image in pixels[start : start + size]])
            yield self._student.normalize(images)

    @torch.inference_mode()
    def _describe(self, trunk: GraphModule, pixels: Pixels, what: str) -> Descriptors:
        steps = _TimeLeft(what, self._on_step)
        rows: list[Descriptors] = []
        num_done = 0
        for batch in self._batches(pixels, batch_size(trunk)):
            rows.append(self._student.tail(trunk(batch)).numpy())
            num_done += len(batch)
            steps.on_step(num_done, len(pixels))
        return np.concatenate(rows)


class _TimeLeft:
    """Turns counts into a line of progress."""

    def __init__(self, what: str, on_step: OnStep) -> None:
        self._what, self._on_step, self._start = what, on_step, time.monotonic()

    def on_step(self, num_done: int, num_all: int) -> None:
        left = (time.monotonic() - self._start) / num_done * (num_all - num_done)
        self._on_step(f"{self._what}: {num_done} of {num_all}, {left:.0f} s left")


def _name(plan: QuantizationPlan) -> str:
    extras = [", equalised"] * plan.equalised + [", biases corrected"] * plan.bias_corrected
    return plan.estimator + "".join(extras) + (f", {len(plan.float_ops)} in float" if plan.float_ops else "")


def _key(plan: QuantizationPlan) -> str:
    flags = ["equalised"] * plan.equalised + ["bias corrected"] * plan.bias_corrected
    return " ".join([plan.estimator, *flags, *plan.float_ops])
