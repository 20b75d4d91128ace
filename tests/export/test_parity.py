"""Parity: cosine by hand, a bar for each precision, and no descriptor that is not finite ever passes."""

from __future__ import annotations

import numpy as np
import pytest

from distill.errors import OutsideError
from export.parity import COSINE_MIN_BARS, cosines, measure_parity, run_artifact

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
    parity = measure_parity(UNIT, turned, precision, "run here")
    assert parity.passed is passed
    assert parity.cosine_min == pytest.approx(cosine, abs=1e-6)
    assert parity.bar_cosine_min == COSINE_MIN_BARS[precision]


def test_a_nan_fails() -> None:
    parity = measure_parity(UNIT, np.full((2, 2), np.nan, dtype=np.float32), "int8", "run here")
    assert parity.passed is False
    assert "not finite" in parity.reason


def test_an_artifact_that_was_not_run_is_not_measured_rather_than_passed() -> None:
    parity = measure_parity(UNIT, None, "fp16", "Core ML runs on Apple systems only")
    assert (parity.evidence, parity.passed, parity.cosine_min) == ("not measured", None, None)


def test_a_target_without_a_runtime_here_says_why(tmp_path) -> None:
    with pytest.raises(OutsideError, match="Apple"):
        run_artifact("coreml", tmp_path / "model.mlpackage", np.zeros((1, 8, 8, 3), dtype=np.uint8))
