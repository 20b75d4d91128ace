"""Our latencies against the runtimes' own tools: the arithmetic, and one small comparison for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.artifacts.artifact import bundle_artifact
from bench.limits import harness
from bench.limits.harness import Comparison, compare, describe, parse_litert_result
from devices.base import open_device
from icd_mobile.errors import OutsideError


def test_ratio_is_the_median_over_rounds() -> None:
    # A busy spell that slows both rounds of a pair leaves its ratio alone; one that hits half a pair is outvoted.
    comparison = Comparison("x", ours_ms=(11.0, 33.0, 90.0), theirs_ms=(10.0, 30.0, 10.0))
    assert comparison.ratio == pytest.approx(1.1)
    assert not comparison.agrees
    assert "ratio 1.100 (outside 0.95..1.05)" in describe(comparison)
    assert Comparison("x", (10.0,), (10.3,)).agrees


def test_litert_result_is_read_by_its_median() -> None:
    assert parse_litert_result('{"latency": {"avg_ms": 3.0, "median_ms": 2.53, "num_runs": 50}}') == 2.53


@pytest.mark.parametrize("text", ["", "[]", '{"latency": {}}'])
def test_unknown_litert_result_is_told(text: str) -> None:
    with pytest.raises(OutsideError, match="unknown result"):
        parse_litert_result(text)


def test_bare_loop_takes_turns_with_our_own_pass(bundle_dir: Path) -> None:
    with open_device("host") as host:
        comparison = compare(host, bundle_artifact(bundle_dir), num_threads=1, num_rounds=2, round_s=0.01)
    assert len(comparison.ours_ms) == len(comparison.theirs_ms) == 2
    assert min(*comparison.ours_ms, *comparison.theirs_ms) > 0


def test_tool_past_its_limit_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(harness, "TOOL_LIMIT_S", 0.01)
    with pytest.raises(OutsideError, match=r"bare_onnx\.py .* ran past its limit of 0\.01 s"):
        harness.bare_onnx_ms(tmp_path / "model.onnx", num_threads=1, num_runs=1)
