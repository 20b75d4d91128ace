"""`--max-drop`: from a budget to a plan that keeps it, and the record of the search for the manifest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from export.bundle.manifest import QuantizationSearch, TriedPlan, ValidationInfo
from export.calibration.calibration_set import CalibrationSet
from export.quantization.plan import QuantizationPlan
from export.quantization.search import CROSS_ALLOWANCE, Tried, search
from icd_mobile.errors import InputError

if TYPE_CHECKING:
    from distill.students.checkpoint import Checkpoint
    from export.bundle.pixels import PixelStudent
    from icd_mobile.datasets.dataset import Dataset

NOTE = "int8 search: "  # how lines of progress begin that are to stay on the screen
Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Budget:
    """The most micro-AP that int8 may lose, absolute, and the benchmark it is measured on (None: made pictures).

    Raises:
        InputError: not a number from 0 to 1.
    """

    max_drop: float
    validation: str | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_drop) and 0 <= self.max_drop < 1):
            raise InputError(
                f"--max-drop needs the micro-AP that int8 may lose, 0 or more and below 1 (0.005), got {self.max_drop}"
            )


@dataclass(frozen=True)
class Searched:
    """The plan to quantise by, and what a manifest says of it."""

    plan: QuantizationPlan
    record: QuantizationSearch


def open_validation(budget: Budget, calibration: CalibrationSet, out: Path, progress: Progress) -> Dataset:
    """Read the benchmark's list of images, and compare them with the calibration's, before any work.

    Raises:
        InputError: no such benchmark, a broken one, one for testing, or one that shares an image with the calibration;
            where there are many, all are listed in a file in `out`.
    """
    from export.calibration.disjoint import check_apart
    from export.quantization.validation import read_dataset_of

    def on_drawn(done: int, num_images: int) -> None:
        progress("", f"int8: drawing picture {done} of {num_images} for validation, once")

    def on_compared(done: int, num_images: int) -> None:
        progress("", f"int8: comparing the calibration with validation image {done} of {num_images}")

    dataset = read_dataset_of(budget.validation, on_drawn)
    check_apart(calibration.images, dataset.name, dataset.folder, list(dataset.images), out, on_compared)
    return dataset


def search_plan(
    checkpoint: Checkpoint,
    student: PixelStudent,
    calibration: CalibrationSet,
    budget: Budget,
    dataset: Dataset,
    state_path: Path,
    progress: Progress,
) -> Searched:
    """Search, going on from what `state_path` has of the same student, images and versions."""
    from export.quantization.evaluator import PlanEvaluator, versions
    from export.quantization.search_state import SearchState, search_key
    from export.quantization.validation import read_benchmark

    size_px = checkpoint.card.input_size_px
    key = search_key(checkpoint.weights_sha256, calibration.sha256, dataset.sha256, str(size_px), versions())
    state = SearchState(state_path, key)
    if state.num_reused:
        progress("", f"{NOTE}{state.num_reused} findings reused from {state_path}")

    def on_image(done: int, num_images: int) -> None:
        progress("", f"int8: reading validation image {done} of {num_images}")

    evaluator = PlanEvaluator(
        student,
        calibration,
        lambda: read_benchmark(dataset, size_px, on_image),
        state,
        lambda what: progress("", f"int8: {what}"),
    )
    found = search(evaluator, budget.max_drop, lambda tried: progress("", f"{NOTE}{describe(tried)}"))
    micro_ap_fp32 = evaluator.micro_ap_fp32
    record = QuantizationSearch(
        evidence="reference",
        estimator=found.plan.estimator,
        equalised=found.plan.equalised,
        bias_corrected=found.plan.bias_corrected,
        float_ops=found.plan.float_ops,
        num_ops=len(evaluator.ops),
        int8_mac_share=evaluator.int8_share(found.plan),
        max_drop=budget.max_drop,
        max_cross_drop=CROSS_ALLOWANCE * budget.max_drop,
        micro_ap_fp32=micro_ap_fp32,
        micro_ap=micro_ap_fp32 - found.drops.drop,
        micro_ap_cross=micro_ap_fp32 - found.drops.cross_drop,
        drop=found.drops.drop,
        cross_drop=found.drops.cross_drop,
        fits=found.fits,
        tried=tuple(_recorded(tried) for tried in found.tried),
        validation=ValidationInfo(
            name=dataset.name,
            sha256=dataset.sha256,
            num_queries=len(dataset.queries),
            num_references=len(dataset.references),
            num_pairs=len(dataset.pairs),
        ),
        seconds=state.seconds,
    )
    return Searched(found.plan, record)


def _recorded(tried: Tried) -> TriedPlan:
    plan, drops = tried.plan, tried.drops
    return TriedPlan(
        estimator=plan.estimator,
        equalised=plan.equalised,
        bias_corrected=plan.bias_corrected,
        num_float_ops=len(plan.float_ops),
        error=tried.error,
        drop=drops.drop if drops else None,
        cross_drop=drops.cross_drop if drops else None,
    )


def describe(tried: Tried) -> str:
    """One line of progress."""
    plan = tried.plan
    extras = ", equalised" * plan.equalised + ", biases corrected" * plan.bias_corrected
    num_float = len(plan.float_ops)
    in_float = f", {num_float} op{'s' * (num_float > 1)} in float" if num_float else ""
    judged = (
        f", micro-AP drop {tried.drops.drop:+.4f}, cross {tried.drops.cross_drop:+.4f} (reference)"
        if tried.drops
        else ""
    )
    return f"{plan.estimator}{extras}{in_float}: mean 1 - cosine {tried.error:.5f}{judged}"
