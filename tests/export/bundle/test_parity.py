"""Parity: cosine by hand, a bar for each precision, and no descriptor that is not finite ever passes."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import export.runtimes
from export.bundle.parity import COSINE_MIN_BARS, ArtifactRun, cosines, measure_parity, run_artifact
from icd_mobile.errors import OutsideError

UNIT = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)


def test_cosines_by_hand() -> None:
    """(1, 0) with (3, 4) / 5 is 0.6; a vector with itself is 1."""
    other = np.array([[3.0, 4.0], [0.6, 0.8]], dtype=np.float32)
    assert cosines(UNIT, other) == pytest.approx([0.6, 1.0])


@pytest.mark.parametrize(("precision", "cosine", "passed"), [
    ("fp32", 0.99995, True), ("fp32", 0.9998, False), ("fp16", 0.9992, True), ("fp16", 0.998, False),
    ("int8", 0.95, True), ("int8", 0.85, False),
])  # fmt: skip
def test_the_least_cosine_is_held_to_the_bar_of_the_precision(precision: str, cosine: float, passed: bool) -> None:
    sine = np.sqrt(1 - cosine**2)
    turned = np.array([[cosine, sine], [0.6, 0.8]], dtype=np.float32)
    parity = measure_parity(UNIT, ArtifactRun(turned, "measured", "run here"), precision)
    assert parity.passed is passed
    assert parity.cosine_min == pytest.approx(cosine, abs=1e-6)
    assert parity.bar_cosine_min == COSINE_MIN_BARS[precision]


def test_a_nan_fails() -> None:
    parity = measure_parity(
        UNIT, ArtifactRun(np.full((2, 2), np.nan, dtype=np.float32), "measured", "run here"), "int8"
    )
    assert parity.passed is False
    assert "not finite" in parity.reason


def test_an_artifact_that_was_not_run_is_not_measured_rather_than_passed() -> None:
    parity = measure_parity(UNIT, None, "fp16", "Core ML runs on Apple systems only")
    assert (parity.evidence, parity.passed, parity.cosine_min) == ("not measured", None, None)


def test_a_target_without_a_runtime_here_says_so(tmp_path) -> None:
    with pytest.raises(OutsideError, match="no runtime for 'palmos' here"):
        run_artifact("palmos", tmp_path / "model", np.zeros((1, 8, 8, 3), dtype=np.uint8))


class _Fixed:
    """A runtime, and a session of it, that give the same descriptor for every image."""

    def __init__(self, descriptor: list[float]) -> None:
        self._descriptor = np.array(descriptor, dtype=np.float32)

    def load(self, _path, _num_threads) -> _Fixed:
        return self

    def feed(self, _pixels) -> None: ...

    def invoke(self) -> None: ...

    def read(self) -> np.ndarray:
        return self._descriptor


@pytest.fixture
def _two_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Core ML's runtime gives (1, 0), the reference (0.6, 0.8)."""
    fakes = {"export.runtimes.coreml": _Fixed([1.0, 0.0]), "export.mil.session": _Fixed([0.6, 0.8])}
    monkeypatch.setattr(importlib, "import_module", fakes.__getitem__)


ONE = np.zeros((1, 8, 8, 3), dtype=np.uint8)


@pytest.mark.usefixtures("_two_runtimes")
def test_where_core_ml_is_not_the_reference_is_computed_and_labelled(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(export.runtimes, "NO_RUNTIME", {"coreml": "Core ML runs on Apple systems only"})
    run = run_artifact("coreml", tmp_path, ONE)
    assert run.evidence == "reference"
    assert (
        run.how == "by the reference evaluator, blind to Neural Engine accumulation, op placement and compiler rewrites"
    )
    assert run.descriptors.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    parity = measure_parity(run.descriptors, run, "fp16")
    assert (parity.evidence, parity.passed, parity.reason) == ("reference", True, run.how)


@pytest.mark.usefixtures("_two_runtimes")
def test_on_a_mac_predict_counts_and_the_reference_s_difference_is_told(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(export.runtimes, "NO_RUNTIME", {})
    run = run_artifact("coreml", tmp_path, ONE)
    assert run.evidence == "measured"
    assert run.descriptors.tolist() == [[1.0, 0.0]]
    assert run.how.endswith("the reference evaluator's least cosine to it is 0.600000, the largest difference 0.8")
