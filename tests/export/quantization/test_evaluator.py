"""A whole search over a tiny student, and the same search again, from what was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.bundle.pixels import PixelStudent
from export.calibration.calibration_set import CalibrationSet
from export.quantization.evaluator import PlanEvaluator
from export.quantization.plan import QuantizationPlan
from export.quantization.search import search
from export.quantization.search_state import SearchState
from export.quantization.validation import Benchmark, read_benchmark, read_dataset_of


def test_a_search_is_measured_and_then_remembered(
    convnet: PixelStudent, views: np.ndarray, benchmark_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calibration = CalibrationSet("made by a test", views, (), "c" * 64, ())
    steps: list[str] = []

    def evaluator(read: object) -> PlanEvaluator:
        state = SearchState(tmp_path / "search.json", "key")
        return PlanEvaluator(convnet, calibration, read, state, steps.append)

    def read() -> Benchmark:
        dataset = read_dataset_of(str(benchmark_dir), lambda _done, _all: None)
        return read_benchmark(dataset, 32, lambda _done, _all: None)

    first = evaluator(read)
    in_float = QuantizationPlan(float_ops=first.ops)
    assert first.error(in_float) == pytest.approx(0.0, abs=1e-6)
    assert first.drops(in_float).drop == pytest.approx(0.0, abs=1e-9)
    assert first.int8_share(in_float) == 0.0
    found = search(first, 0.0)
    errors = {one.plan.estimator: one.error for one in found.tried[:5]}
    assert all(0 < error < 0.5 for error in errors.values())
    assert found.drops == first.drops(found.plan)
    assert first.sensitivities(QuantizationPlan()).keys() == set(first.ops)
    assert any("judging" in step and "s left" in step for step in steps)

    again = evaluator(lambda: pytest.fail("was read already"))
    assert search(again, 0.0) == found
    assert again.micro_ap_fp32 == first.micro_ap_fp32
    assert again.int8_share(found.plan) == first.int8_share(found.plan)
